"""Receptive fields as gradients show them, independent of vcam's rules."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from vcam_training.cams.receptive_field import find_layer


def make_positive(model):
    """Positive kernels, zero biases, normalisation that does nothing."""
    generator = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.GroupNormalization):
            layer.call = tf.identity  # its statistics see the whole volume
        if getattr(layer, "layers", None) is None and layer.weights:
            layer.set_weights([_positive(w, generator) for w in layer.weights])
    return model


def _positive(weight, generator):
    if weight.name in ("bias", "beta", "moving_mean"):
        return np.zeros(weight.shape)
    if weight.name in ("gamma", "moving_variance"):
        return np.ones(weight.shape)
    return generator.uniform(0.5, 1.5, weight.shape)


def measured_fields(model, name):
    """For each axis {cell: (first, last input index)} of the cells that see something.

    The cells lie on the lines through the middle of a layer's map.
    """
    shape = model.inputs[0].shape[1:]
    features_of = _up_to(model, find_layer(model, name))
    cells = features_of(tf.ones((1, *shape))).shape[1:-1]

    @tf.function
    def gradient_of(chosen):
        volume = tf.ones((1, *shape))
        with tf.GradientTape() as tape:
            tape.watch(volume)
            value = tf.reduce_sum(features_of(volume)[0] * chosen[..., None])
        return tape.gradient(value, volume)

    found = [{} for _ in cells]
    for axis, count in enumerate(cells):
        for cell in range(count):
            index = [n // 2 for n in cells]
            index[axis] = cell
            chosen = np.zeros(cells, np.float32)
            chosen[tuple(index)] = 1
            gradient = gradient_of(tf.constant(chosen)).numpy()[0, ..., 0]
            others = tuple(a for a in range(len(cells)) if a != axis)
            seen = np.flatnonzero(np.abs(gradient).max(axis=others))
            if seen.size:
                found[axis][cell] = (int(seen[0]), int(seen[-1]))
    return found


def _up_to(model: keras.Model, layer):
    """A function of volumes to the outputs of a layer, wherever it is nested."""
    call, outputs = layer.call, []

    def noting(*args, **kwargs):
        outputs.append(call(*args, **kwargs))
        return outputs[-1]

    def features_of(volume):
        outputs.clear()
        object.__setattr__(layer, "call", noting)
        try:
            model(volume, training=False)
        finally:
            object.__setattr__(layer, "call", call)
        (output,) = outputs
        return output

    return features_of
