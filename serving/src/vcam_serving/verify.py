"""Verifies a staged SavedModel the way TensorFlow Serving will load it.

Everything runs through the session loader: a SavedModel that works in
`tf.saved_model.load` can fail every request in TensorFlow Serving.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from vcam_client.errors import ContractError, ServableError
from vcam_client.scores import promised_scores
from vcam_client.spec import Explanation, ModelSpec
from vcam_serving._difference import TOLERANCE, difference
from vcam_serving._function_graph import unchecked_inputs
from vcam_serving.session import DEFAULT_SIGNATURE, Servable

SPEC_FILE = Path("assets.extra") / "model_spec.json"
"""The model spec inside a version folder."""

MODEL_FILE = Path("assets.extra") / "model.keras"
"""The training model inside a version folder, for tools that look into it; not served."""

SPEC_SIGNATURE = "spec"
SPEC_KEY = b"model_spec"

_PYTHON_OPS = ("PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction", "PyCall")
_INIT_OP = "__saved_model_init_op"


@dataclass(frozen=True, kw_only=True)
class Example:
    """Inputs of a signature and the outputs that they must give.

    Attributes:
        signature: its name.
        inputs: {name: array with a leading batch axis}.
        outputs: {name: array with the same leading axis}.
        map_tolerance: how far maps may be off, as a share of their largest magnitude.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    map_tolerance: float = TOLERANCE


@dataclass(frozen=True, kw_only=True)
class TensorShape:
    """dtype and shape of an input or output; None is the batch."""

    dtype: tf.DType
    shape: tuple[int | None, ...]


def all_class_signatures(spec: ModelSpec) -> dict[str, Explanation]:
    """The signatures that explain every class in one pass: Grad-CAM's and the default's."""
    default = spec.default_explanation
    explained = {f"{default.signature}_all": default}
    grad_cam = next((e for e in spec.explanations if e.signature == "gradcam"), default)
    return {**explained, f"{grad_cam.signature}_all": grad_cam}


def contract(
    spec: ModelSpec,
) -> dict[str, tuple[dict[str, TensorShape], dict[str, TensorShape]]]:
    """{signature: (inputs, outputs)} that a servable with this spec must have."""
    classes = len(spec.labels)
    volume = TensorShape(dtype=tf.as_dtype(spec.intensity.dtype), shape=(None, *spec.grid.shape, 1))
    index = TensorShape(dtype=tf.int32, shape=(None,))
    text = TensorShape(dtype=tf.string, shape=(None,))
    scores = TensorShape(dtype=tf.float32, shape=(None, classes))
    heatmap = TensorShape(dtype=tf.float32, shape=(None, *spec.grid.shape))

    def explained(explanation: Explanation) -> dict[str, TensorShape]:
        cam = TensorShape(dtype=tf.float32, shape=(None, *spec.layer(explanation.layer).cells))
        return {"scores": scores, "heatmap": heatmap, "cam": cam, "class_index": index}

    def every_class(explanation: Explanation) -> dict[str, TensorShape]:
        cells = spec.layer(explanation.layer).cells
        cams = TensorShape(dtype=tf.float32, shape=(None, classes, *cells))
        return {"scores": scores, "cam": cams}

    explanations = spec.explanations or (spec.default_explanation,)
    return {
        DEFAULT_SIGNATURE: ({"volume": volume}, explained(spec.default_explanation)),
        **{
            one.signature: ({"volume": volume, "class_index": index}, explained(one))
            for one in explanations
        },
        **{
            name: ({"volume": volume}, every_class(one))
            for name, one in all_class_signatures(spec).items()
        },
        "scores": ({"volume": volume}, {"scores": scores, "logits": scores}),
        SPEC_SIGNATURE: ({"key": text}, {"model_spec": text}),
    }


def verify(path: Path | str, spec: ModelSpec, examples: Sequence[Example]) -> None:
    """Checks a version folder against the contract and its expected outputs.

    Args:
        path: the folder with saved_model.pb.
        spec: the model spec it was exported with.
        examples: at least one for each signature but `spec`, three samples each;
            the first sample also runs alone.

    Raises:
        ServableError: it is not what the contract says or not what was expected.
    """
    path = Path(path)
    _check_operations(path)
    _check_examples(spec, examples)
    with Servable(path) as servable:
        _check_signatures(servable, spec)
        _check_shapes_are_refused(servable, spec)
        _check_spec(servable, spec)
        for example in examples:
            _check_example(servable, example, spec)


def _check_operations(path: Path) -> None:
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((path / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as error:
        raise ServableError(
            f"Expected saved_model.pb in {path.name!r}, received: {error}. Export the model again."
        ) from error
    for meta in saved.meta_graphs:
        functions = meta.graph_def.library.function
        nodes = [*meta.graph_def.node, *(n for f in functions for n in f.node_def)]
        python = sorted({f"{n.name} ({n.op})" for n in nodes if n.op in _PYTHON_OPS})
        if python:
            raise ServableError(
                f"Expected a graph without Python functions, found {python}: they exist only in "
                "the process that exported them. Replace tf.py_function and tf.numpy_function "
                "by TensorFlow operations."
            )
        for name, definition in meta.signature_def.items():
            unchecked = unchecked_inputs(meta.graph_def, definition)
            if unchecked and name != _INIT_OP:
                raise ServableError(
                    f"Signature {name!r} uses its inputs {unchecked} before tf.ensure_shape. "
                    "A tensor of a wrong rank can crash the whole server; start the signature "
                    "with tf.ensure_shape on every input."
                )


def _check_examples(spec: ModelSpec, examples: Sequence[Example]) -> None:
    missing = set(contract(spec)) - {e.signature for e in examples} - {SPEC_SIGNATURE}
    if missing:
        raise ServableError(
            f"Expected an example for each signature, found none for {sorted(missing)}. "
            "Give inputs with three samples and the outputs of the model that was exported."
        )


def _check_signatures(servable: Servable, spec: ModelSpec) -> None:
    for name, (inputs, outputs) in contract(spec).items():
        definition = servable.signatures.get(name)
        if definition is None:
            raise ServableError(
                f"Expected a signature {name!r}, found {sorted(servable.signatures)}. "
                "Export it with vcam_training.exporting."
            )
        for kind, wanted, found in (
            ("inputs", inputs, definition.inputs),
            ("outputs", outputs, definition.outputs),
        ):
            described = {alias: _shape_of(info) for alias, info in found.items()}
            fits = described == wanted if kind == "inputs" else _fits(wanted, described)
            if not fits:
                raise ServableError(
                    f"Signature {name!r}: expected the {kind} {_words(wanted)}, "
                    f"found {_words(described)}. Export it with vcam_training.exporting."
                )


def _shape_of(info: Any) -> TensorShape:
    shape = info.tensor_shape
    dims = () if shape.unknown_rank else tuple(None if d.size < 0 else d.size for d in shape.dim)
    return TensorShape(dtype=tf.as_dtype(info.dtype), shape=dims)


def _fits(wanted: Mapping[str, TensorShape], found: Mapping[str, TensorShape]) -> bool:
    # Outputs may say less about their shape than the contract, never other things.
    return set(wanted) == set(found) and all(
        wanted[name].dtype == found[name].dtype
        and len(wanted[name].shape) == len(found[name].shape)
        and all(
            have in (None, want)
            for want, have in zip(wanted[name].shape, found[name].shape, strict=True)
        )
        for name in wanted
    )


def _words(tensors: Mapping[str, TensorShape]) -> str:
    return ", ".join(
        f"{name}: {t.dtype.name} {['B' if n is None else n for n in t.shape]}"
        for name, t in sorted(tensors.items())
    )


def _check_shapes_are_refused(servable: Servable, spec: ModelSpec) -> None:
    flat = np.zeros(5, spec.intensity.dtype)
    for name, (inputs, _) in contract(spec).items():
        if "volume" not in inputs:
            continue
        feeds = {"volume": flat, "class_index": np.zeros(5, np.int32)}
        try:
            servable.run(name, {alias: feeds[alias] for alias in inputs})
        except tf.errors.InvalidArgumentError:
            continue
        except tf.errors.OpError as error:
            received = f"{type(error).__name__}: {_first_line(error)}"
        else:
            received = "an answer"
        raise ServableError(
            f"Signature {name!r}: expected INVALID_ARGUMENT for a tensor of rank 1, received "
            f"{received}.{_advice(received)} Start the signature with tf.ensure_shape."
        )


def _check_spec(servable: Servable, spec: ModelSpec) -> None:
    try:
        written = (servable.path / SPEC_FILE).read_bytes()
    except OSError as error:
        raise ServableError(
            f"Expected the model spec in {SPEC_FILE}, received: {error}. Export the model again."
        ) from error
    keys = np.array([SPEC_KEY, b"other", SPEC_KEY], object)
    expected = np.array([written, b"", written], object)
    for count in (1, len(keys)):
        served = _run(servable, SPEC_SIGNATURE, {"key": keys[:count]})["model_spec"]
        if served.shape != (count,) or list(served) != list(expected[:count]):
            raise ServableError(
                f"Expected the signature 'spec' to serve {SPEC_FILE} for the key 'model_spec' and "
                "nothing for others, received something else. Export the model again."
            )
    try:
        same = ModelSpec.from_json(written) == spec
    except ContractError as error:
        raise ServableError(f"The served model spec is not valid: {error}") from error
    if not same:
        raise ServableError(
            "Expected the served model spec to be the one of the export, received another. "
            "Export the model again."
        )


def _check_example(servable: Servable, example: Example, spec: ModelSpec) -> None:
    whole = len(next(iter(example.inputs.values())))
    for count in sorted({1, whole}):
        inputs = {name: value[:count] for name, value in example.inputs.items()}
        expected = {name: np.asarray(value)[:count] for name, value in example.outputs.items()}
        received = _run(servable, example.signature, inputs)
        for name in expected:
            problem = difference(name, expected, received, example.map_tolerance)
            if problem:
                raise ServableError(
                    f"Signature {example.signature!r}, batch of {count}: {problem}. The exported "
                    "graph doesn't compute what the model does; don't publish it. Look for "
                    "layers that behave differently in a graph, or for state beside variables."
                )
        if "scores" in expected:
            _check_scores(example.signature, received["scores"], spec)


def _check_scores(signature: str, scores: np.ndarray, spec: ModelSpec) -> None:
    """Clients refuse scores that the activation of the spec can't give."""
    try:
        promised_scores(scores, spec)
    except ContractError as error:
        raise ServableError(f"Signature {signature!r}: {error}") from error


def _run(
    servable: Servable, signature: str, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    try:
        return servable.run(signature, inputs)
    except tf.errors.OpError as error:
        message = _first_line(error)
        raise ServableError(
            f"Signature {signature!r}: expected an answer, received {type(error).__name__}: "
            f"{message}.{_advice(message)}"
        ) from error


def _first_line(error: tf.errors.OpError) -> str:
    return (error.message or "").strip().split("\n")[0]


def _advice(message: str) -> str:
    lost = ("Could not find variable", "resource variable", "uninitialized")
    if any(words in message for words in lost):
        return (
            " The variables are not tracked: tf.saved_model.save on a module holding a Keras 3 "
            "model does that (keras#19274). Export with keras.export.ExportArchive, using track "
            "and add_endpoint, as vcam_training.exporting.export does."
        )
    return ""
