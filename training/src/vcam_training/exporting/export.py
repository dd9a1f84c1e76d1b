"""From a training model to a verified, published SavedModel."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vcam_client.errors import ConfigError
from vcam_client.spec import Activation, CamLayer, ExplainDefault, ModelSpec
from vcam_serving.publish import publish, staging
from vcam_serving.verify import MODEL_FILE, SPEC_FILE, TOLERANCE, Example, verify
from vcam_training.cams._graph import flatten
from vcam_training.cams.target_layer import target_layer
from vcam_training.exporting._warmup import write_warmup
from vcam_training.exporting.signatures import SPEC_KEY, ServingModel, is_one_logit
from vcam_training.learning.precision import in_float32

VERIFIED_BATCH = 3
"""Samples with which each signature is compared to the Keras model; the first also alone."""

ROUNDING: dict[str | None, float] = {"gradcam_plus_plus": 1e-2}
"""How far maps may be off after rounding, as a share of their largest magnitude, where a
method magnifies it: the denominator 2 + g ΣA of Grad-CAM++ comes close to 0 in some of many
thousand cells, and the sum of the quotients with it. For others, what `verify` allows."""

_FINAL_ACTIVATIONS = ("sigmoid", "softmax", "Sigmoid", "Softmax")

_DEFAULTS_OF = {
    Activation.SOFTMAX: (ExplainDefault.TOP_CLASS, ExplainDefault.POSITIVE_CLASS),
    Activation.SIGMOID: (ExplainDefault.HIGHEST_FINDING,),
    Activation.IDENTITY: (ExplainDefault.TARGET,),
}


def export(
    model: keras.Model,
    spec: ModelSpec,
    base: Path | str,
    *,
    version: int | None = None,
    example: np.ndarray | None = None,
) -> Path:
    """Builds, warms up, verifies and publishes a servable.

    Args:
        model: a training model, float32 [B, *grid, 1] in physical values to logits; one
            that was trained in mixed precision is exported in float32.
        spec: its model spec; CAM layers must be as `target_layer` places them. Its
            explanations are exported; without any, Grad-CAM on the first layer.
        base: the folder of the model's versions.
        version: a free version number; by default the next one.
        example: [B, *grid, 1] in physical values, to verify with; noise in the
            window by default. Up to three samples are used.

    Returns:
        `<base>/<version>`.

    Raises:
        ConfigError: the model and the spec don't fit each other.
        ServableError: the export can't be verified or published.
    """
    check(model, spec)
    model = in_float32(model)
    volumes = _volumes(spec, example)
    with staging(base) as staged:
        serving = ServingModel(model, spec)
        _write(model, serving, staged)
        (staged / SPEC_FILE).parent.mkdir(exist_ok=True)
        (staged / SPEC_FILE).write_text(spec.to_json(), encoding="utf-8")
        model.save(staged / MODEL_FILE, include_optimizer=False)
        write_warmup(staged, _warmup_requests(spec, serving))
        verify(staged, spec, _examples(model, serving, volumes))
        return publish(staged, base, version)


def check(model: keras.Model, spec: ModelSpec) -> None:
    """Refuses a model and a spec that contradict each other.

    Raises:
        ConfigError: says what was expected and received.
    """
    wanted = (None, *spec.grid.shape, 1)
    if len(model.inputs) != 1 or tuple(model.inputs[0].shape) != wanted:
        raise ConfigError(
            f"Expected a model with one input of shape {wanted}, the spec's grid, received "
            f"{[tuple(t.shape) for t in model.inputs]}. Build the model on the grid it is "
            "exported with; it owns intensity and takes one channel of physical values."
        )
    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        raise ConfigError(
            f"Expected a model with one output of logits [B, K], received "
            f"{[tuple(t.shape) for t in model.outputs]}. End it with a Dense layer."
        )
    _check_no_activation(model)
    _check_labels(model, spec)
    _check_intensity(spec)
    _check_scores(spec)
    for layer in spec.cam_layers:
        _check_layer(layer, target_layer(model, layer.name).place)


def _check_layer(layer: CamLayer, found: CamLayer) -> None:
    for name in ("cells", "offset", "stride"):
        if getattr(layer, name) != getattr(found, name):
            raise ConfigError(
                f"CAM layer {layer.name!r}: the spec says {name} = {getattr(layer, name)}, the "
                f"model has {getattr(found, name)}. Take it from target_layer(model, name).place."
            )


def _check_no_activation(model: keras.Model) -> None:
    last = flatten(model).last.operation
    activation = getattr(last, "activation", None)
    name = getattr(activation, "__name__", type(last).__name__)
    if name in _FINAL_ACTIVATIONS:
        raise ConfigError(
            f"Expected logits, but the last layer {last.name!r} ends in {name}. Remove it: the "
            "spec names the activation, and maps are taken on logits because saturated scores "
            "have no gradient."
        )


def _check_labels(model: keras.Model, spec: ModelSpec) -> None:
    outputs = model.outputs[0].shape[-1]
    classes = 2 if is_one_logit(model, spec) else outputs
    if outputs == 1 and spec.activation is Activation.SIGMOID:
        raise ConfigError(
            "A model with one logit tells two exclusive classes apart and is exported with both. "
            "Use Activation.SOFTMAX and two labels, the positive one last."
        )
    if len(spec.labels) != classes:
        raise ConfigError(
            f"Expected {classes} labels for a model with {outputs} logits and "
            f"{spec.activation.name}, received {spec.labels}. Name each class once, in order."
        )


def _check_intensity(spec: ModelSpec) -> None:
    if spec.intensity.dtype != "int16":
        return
    limits = np.iinfo(np.int16)
    values: list[Any] = [spec.grid.padding_value, *spec.intensity.band_edges]
    values += spec.intensity.window or ()
    if any(not limits.min <= value <= limits.max for value in values):
        raise ConfigError(
            f"The window, band edges and padding value {values} don't fit an int16 input "
            f"({limits.min} … {limits.max}). Export with Intensity(dtype='float32')."
        )
    if spec.grid.padding_value != round(spec.grid.padding_value):
        raise ConfigError(
            f"Expected a whole padding value for an int16 input, received "
            f"{spec.grid.padding_value}. Export with Intensity(dtype='float32')."
        )


def _check_scores(spec: ModelSpec) -> None:
    allowed = _DEFAULTS_OF[spec.activation]
    if spec.explain_default not in allowed:
        raise ConfigError(
            f"Expected explain_default to be one of {[d.name for d in allowed]} with "
            f"{spec.activation.name}, received {spec.explain_default.name}."
        )
    if spec.explain_default is ExplainDefault.POSITIVE_CLASS and len(spec.labels) != 2:
        raise ConfigError(
            f"POSITIVE_CLASS is class 1 of two, received the labels {spec.labels}. Use TOP_CLASS."
        )
    temperature = spec.calibration_temperature
    if temperature is None:
        return
    if spec.activation is Activation.IDENTITY or not (np.isfinite(temperature) and temperature > 0):
        raise ConfigError(
            f"Expected a positive temperature for a classifier, received {temperature} with "
            f"{spec.activation.name}. Leave it out of the spec of a regression."
        )


def _write(model: keras.Model, serving: ServingModel, staged: Path) -> None:
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, signature in serving.signatures().items():
        archive.add_endpoint(name, signature.function, list(signature.inputs))
    archive.write_out(str(staged), verbose=False)


def _volumes(spec: ModelSpec, example: np.ndarray | None) -> np.ndarray:
    """[3, *grid, 1] in the spec's dtype."""
    shape = (VERIFIED_BATCH, *spec.grid.shape, 1)
    dtype = np.dtype(spec.intensity.dtype)
    noise = np.random.default_rng(0).uniform(*_range(spec), shape)
    if example is not None:
        if example.ndim != len(shape) or example.shape[1:] != shape[1:]:
            raise ConfigError(
                f"Expected an example of shape {(None, *shape[1:])}, received {example.shape}. "
                "Resample it onto the spec's grid."
            )
        noise[: len(example)] = example[:VERIFIED_BATCH]
    if dtype.kind == "i":
        limits = np.iinfo(dtype)
        noise = np.clip(np.rint(noise), limits.min, limits.max)
    return noise.astype(dtype)


def _range(spec: ModelSpec) -> tuple[float, float]:
    if spec.intensity.window is not None:
        return spec.intensity.window
    edges = spec.intensity.band_edges
    return (edges[0], edges[-1]) if edges else (-1.0, 1.0)


def _examples(model: keras.Model, serving: ServingModel, volumes: np.ndarray) -> list[Example]:
    """What the Keras model answers in this process, for each signature.

    Maps are computed in a traced function, where TensorFlow leaves out the gradients
    of kernels; eagerly they cost more than the map, and that of a strided 1×1
    convolution crashes TensorFlow 2.21 on CPUs. Scores are the eager model's.
    """
    logits = serving.logits_of(model(tf.cast(volumes, tf.float32), training=False))
    eager = {"logits": logits.numpy(), "scores": serving.scores_of(logits).numpy()}
    index = np.arange(len(volumes), dtype=np.int32) % (logits.shape[-1] + 1) - 1
    examples = []
    for name, signature in serving.signatures().items():
        if name == "spec":
            continue
        known = {"volume": volumes, "class_index": index}
        inputs = {tensor.name: known[tensor.name] for tensor in signature.inputs}
        function = tf.function(signature.function, autograph=False)
        function = function.get_concrete_function(*signature.inputs)
        outputs = function(**{alias: tf.constant(value) for alias, value in inputs.items()})
        expected = {alias: eager.get(alias, value) for alias, value in outputs.items()}
        examples.append(
            Example(
                signature=name,
                inputs=inputs,
                outputs={alias: np.asarray(value) for alias, value in expected.items()},
                map_tolerance=ROUNDING.get(signature.method, TOLERANCE),
            )
        )
    return examples


def _warmup_requests(
    spec: ModelSpec, serving: ServingModel
) -> list[tuple[str, dict[str, np.ndarray]]]:
    """One request for each signature."""
    low, high = _range(spec)
    volume = np.full((1, *spec.grid.shape, 1), (low + high) / 2, spec.intensity.dtype)
    index = np.full(1, -1, np.int32)
    known = {"volume": volume, "class_index": index, "key": np.array([SPEC_KEY], object)}
    return [
        (name, {tensor.name: known[tensor.name] for tensor in signature.inputs})
        for name, signature in serving.signatures().items()
    ]
