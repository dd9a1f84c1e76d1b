"""Small networks for the tests of receptive fields and maps.

`pool` and `activation` are arguments so that the same structure can be measured:
with means instead of maxima, and without rectification.
"""

import itertools

import keras
from keras import layers


def keras_ct(grid, pool=layers.MaxPooling3D, filters=(64, 64, 128, 256)):
    """The network of Keras' example on CT scans: valid convolutions 3³."""
    stack = [keras.Input((*grid, 1))]
    for number, channels in enumerate(filters, 1):
        stack += [
            layers.Conv3D(channels, 3, activation="relu", name=f"conv{number}"),
            pool(2),
            layers.BatchNormalization(),
        ]
    head = [
        layers.GlobalAveragePooling3D(),
        layers.Dense(512, activation="relu"),
        layers.Dropout(0.3),
        layers.Dense(1),
    ]
    return keras.Sequential([*stack, *head])


def valid_stack(pool):
    return keras.Sequential(
        [
            keras.Input((33, 40, 1)),
            layers.Conv2D(2, (3, 5), activation="relu"),
            pool(2),
            layers.BatchNormalization(),
            layers.Conv2D(2, (4, 3), strides=(1, 2), name="target"),
        ]
    )


def same_odd_and_even(pool):
    return keras.Sequential(
        [
            keras.Input((31, 32, 1)),
            layers.Conv2D(2, 3, strides=2, padding="same"),
            layers.ReLU(),
            layers.Conv2D(2, 3, strides=2, padding="same", name="target"),
        ]
    )


def same_pooling(pool):
    return keras.Sequential(
        [
            keras.Input((37, 38, 1)),
            pool(3, strides=2, padding="same"),
            layers.Conv2D(2, 2, padding="same", activation="relu"),
            pool(2, padding="same"),
            layers.Conv2D(2, 3, padding="same", name="target"),
        ]
    )


def dilated(pool):
    return keras.Sequential(
        [
            keras.Input((41, 36, 1)),
            layers.Conv2D(2, 3, padding="same", dilation_rate=(2, 3)),
            layers.DepthwiseConv2D(3, dilation_rate=2, activation="relu"),
            layers.SeparableConv2D(2, (2, 3), strides=2, padding="same", name="target"),
        ]
    )


def padded_residual(pool):
    """A ResNet's stem and one block with a projection."""
    x = inputs = keras.Input((64, 61, 1))
    x = layers.ZeroPadding2D(((3, 2), (3, 3)))(x)
    x = layers.Conv2D(2, 7, strides=2)(x)
    x = layers.BatchNormalization()(x)
    x = pool(3, strides=2, padding="same")(layers.ReLU()(x))
    short = layers.Conv2D(2, 1, strides=2, padding="same")(x)
    x = layers.Conv2D(2, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2D(2, 3, padding="same")(x)
    x = layers.ReLU(name="target")(layers.Add()([x, short]))
    return keras.Model(inputs, x)


def cropped_residual(pool):
    """The skip connection is cropped; the paths' intervals differ."""
    x = inputs = keras.Input((30, 33, 1))
    x = layers.Conv2D(2, 3)(x)
    short = layers.Cropping2D(((1, 3), (2, 0)))(x)
    x = layers.Conv2D(2, (5, 3))(x)
    x = layers.Activation("relu", name="target")(x + 0.5 * short)
    return keras.Model(inputs, x)


def dense_blocks(pool):
    """Concatenations, a transition with pooling, and concatenations again."""
    x = inputs = keras.Input((29, 34, 1))
    for size in (3, 5):
        x = layers.Concatenate()([x, layers.Conv2D(2, size, padding="same")(x)])
    x = pool(2)(layers.Conv2D(2, 1)(x))
    new = layers.Conv2D(2, 3, padding="same", activation="relu")(x)
    x = layers.concatenate([new, x], name="target")
    return keras.Model(inputs, x)


def nested(pool):
    inner = keras.Sequential(
        [
            keras.Input((None, None, 2)),
            layers.Conv2D(2, 3, padding="same", strides=2),
            layers.BatchNormalization(),
            layers.ReLU(name="target"),
        ],
        name="inner",
    )
    middle_in = keras.Input((None, None, 2))
    middle = keras.Model(middle_in, inner(pool(2)(middle_in)), name="middle")
    x = inputs = keras.Input((45, 42, 1))
    x = middle(layers.Conv2D(2, 3)(x))
    return keras.Model(inputs, x)


def shared_nested(pool):
    """One nested model called twice, in front of the target."""
    half = keras.Sequential(
        [keras.Input((None, None, 2)), layers.Conv2D(2, 3, padding="same"), pool(2)]
    )
    x = inputs = keras.Input((41, 50, 1))
    x = half(half(layers.Conv2D(2, 1)(x)))
    return keras.Model(inputs, layers.Conv2D(2, 3, name="target")(x))


def volume_3d(pool):
    three = {layers.MaxPooling2D: layers.MaxPooling3D}.get(pool, layers.AveragePooling3D)
    return keras.Sequential(
        [
            keras.Input((14, 19, 24, 1)),
            layers.Conv3D(2, (1, 3, 3), activation="relu"),
            three((1, 2, 2)),
            layers.ZeroPadding3D(1),
            layers.Conv3D(2, 3, strides=(2, 1, 2)),
            layers.GroupNormalization(1),
            layers.ReLU(name="target"),
        ]
    )


MEASURED = (
    valid_stack,
    same_odd_and_even,
    same_pooling,
    dilated,
    padded_residual,
    cropped_residual,
    dense_blocks,
    nested,
    shared_nested,
    volume_3d,
)


def one_layer(rank, layer):
    """A layer that enlarges a map, behind a convolution that shrinks it."""
    first = (layers.Conv2D if rank == 2 else layers.Conv3D)(1, 3, strides=2)
    return keras.Sequential([keras.Input((*(21, 23, 19)[:rank], 1)), first, layer])


def enlarging_layers():
    """{name: network}: every kind of upsampling, with the target at its end."""
    found = {}
    for factor in (2, 3, 4):
        for interpolation in ("nearest", "bilinear"):
            layer = layers.UpSampling2D(factor, interpolation=interpolation, name="target")
            found[f"{interpolation} {factor}"] = one_layer(2, layer)
    found["nearest (1, 2, 3)"] = one_layer(3, layers.UpSampling3D((1, 2, 3), name="target"))
    for kernel, strides in itertools.product((2, 3, 4, 5), (1, 2, 3)):
        for padding in ("same", "valid"):
            layer = layers.Conv2DTranspose(1, kernel, strides, padding, name="target")
            found[f"transposed {kernel} / {strides} {padding}"] = one_layer(2, layer)
    layer = layers.Conv3DTranspose(1, (1, 2, 3), (1, 2, 2), "same", name="target")
    found["transposed (1, 2, 3) / (1, 2, 2)"] = one_layer(3, layer)
    return found


def autoencoder(pool):
    """Down by four and up again, with convolutions between the steps and no skips."""
    return keras.Sequential(
        [
            keras.Input((40, 48, 1)),
            layers.Conv2D(2, 3, padding="same", activation="relu"),
            pool(2),
            layers.Conv2D(2, 3, strides=2, padding="same", activation="relu"),
            layers.UpSampling2D(2, interpolation="bilinear"),
            layers.Conv2D(2, 3, padding="same", activation="relu"),
            layers.Conv2DTranspose(2, 3, strides=2, padding="same", name="target"),
        ]
    )


def u_net(pool, rank=2, up="upsampling", head=True):
    """Two steps down and up again, skips concatenated, then a classifier."""
    conv = layers.Conv2D if rank == 2 else layers.Conv3D
    three = {layers.MaxPooling2D: layers.MaxPooling3D}.get(pool, layers.AveragePooling3D)
    pool = pool if rank == 2 else three
    x = inputs = keras.Input((*(48, 40, 32)[:rank], 1))
    skips = []
    for step in (1, 2):
        x = conv(2, 3, padding="same", activation="relu", name=f"down{step}")(x)
        skips.append(x)
        x = pool(2)(x)
    x = conv(4, 3, padding="same", activation="relu", name="bottom")(x)
    for step in (2, 1):
        if up == "upsampling":
            x = (layers.UpSampling2D if rank == 2 else layers.UpSampling3D)(2)(x)
        else:
            kind = layers.Conv2DTranspose if rank == 2 else layers.Conv3DTranspose
            x = kind(2, 2, strides=2, padding="same", name=f"spread{step}")(x)
        x = layers.Concatenate(name=f"skip{step}")([skips.pop(), x])
        name = "target" if step == 1 else f"up{step}"
        x = conv(2, 3, padding="same", activation="relu", name=name)(x)
    if head:
        pooled = layers.GlobalAveragePooling2D if rank == 2 else layers.GlobalAveragePooling3D
        x = layers.Dense(2, name="head")(pooled()(x))
    return keras.Model(inputs, x)
