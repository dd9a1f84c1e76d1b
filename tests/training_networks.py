"""Small networks for the tests of receptive fields and maps.

`pool` and `activation` are arguments so that the same structure can be measured:
with means instead of maxima, and without rectification.
"""

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
