"""A strided convolution 1 wide that can be trained on a CPU."""

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="vcam")
class StridedPointwiseConv2D(layers.Conv2D):
    """What Conv2D computes with a kernel 1 wide and strides, without its gradient's fault.

    TensorFlow 2.21 with oneDNN writes beyond its memory in the kernel's gradient of such a
    convolution and may crash. Here the cells that count are taken first.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """[B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), filters]."""
        rows, columns = self.strides
        taken = inputs[:, ::rows, ::columns]
        return ops.conv(taken, kernel, strides=1, padding="valid", data_format="channels_last")


def is_strided_pointwise(layer: Any) -> bool:
    """Whether a layer is a convolution that `StridedPointwiseConv2D` can stand in for."""
    return (
        type(layer) is layers.Conv2D
        and layer.kernel_size == (1, 1)
        and max(layer.strides) > 1
        and layer.groups == 1
        and layer.data_format == "channels_last"
    )
