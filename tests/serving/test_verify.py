import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.client import pywrap_tf_session

from vcam_client.errors import ServableError
from vcam_serving._difference import TOLERANCE
from vcam_serving.session import Servable
from vcam_serving.verify import (
    _PYTHON_OPS,
    SPEC_FILE,
    SPEC_SIGNATURE,
    Example,
    contract,
    verify,
)
from vcam_training.exporting.signatures import ServingModel


def examples_of(one):
    """What the golden servable itself answers: right by construction, to be bent below."""
    spec = one.spec
    volume = np.random.default_rng(0).uniform(-900, 300, (3, *spec.grid.shape, 1))
    known = {
        "volume": volume.astype(spec.intensity.dtype),
        "class_index": np.array([-1, 0, len(spec.labels) - 1], np.int32),
    }
    examples = []
    with Servable(one.path) as servable:
        for name in sorted(set(contract(spec)) - {SPEC_SIGNATURE}):
            inputs = {alias: known[alias] for alias in servable.signatures[name].inputs}
            outputs = servable.run(name, inputs)
            examples.append(Example(signature=name, inputs=inputs, outputs=outputs))
    return examples


@pytest.fixture(scope="module")
def ct(golden):
    return golden["ct"], examples_of(golden["ct"])


def bent(examples, signature, output, change):
    """The examples with one expected output changed."""
    return [
        replace(e, outputs={**e.outputs, output: change(e.outputs[output])})
        if e.signature == signature
        else e
        for e in examples
    ]


def saved(one, folder, *, serving=None, drop=()):
    """A SavedModel of a golden model, written as export does it, with something wrong."""
    archive = keras.export.ExportArchive()
    archive.track(one.model)
    signatures = (serving or ServingModel(one.model, one.spec)).signatures()
    for name, signature in signatures.items():
        if name not in drop:
            archive.add_endpoint(name, signature.function, list(signature.inputs))
    archive.write_out(str(folder), verbose=False)
    return with_spec(one, folder)


def with_spec(one, folder):
    (folder / SPEC_FILE).parent.mkdir(exist_ok=True)
    shutil.copy(one.path / SPEC_FILE, folder / SPEC_FILE)
    return folder


def test_a_golden_servable_is_accepted(ct):
    one, examples = ct
    verify(one.path, one.spec, examples)


@pytest.mark.parametrize(
    ("signature", "output"),
    [
        ("serving_default", "scores"),
        ("scores", "logits"),
        ("gradcam", "cam"),
        ("gradcam_all", "cam"),
        ("serving_default", "heatmap"),
    ],
)
def test_outputs_must_equal_the_expected(ct, signature, output):
    one, examples = ct
    largest = {
        e.signature: np.abs(e.outputs[output]).max() for e in examples if output in e.outputs
    }
    allowed = TOLERANCE * (largest[signature] if output == "cam" else 1)

    def off(by):
        def change(values):
            changed = values.astype(np.float64)
            changed[(-1,) * values.ndim] += by
            return changed

        return change

    verify(one.path, one.spec, bent(examples, signature, output, off(0.5 * allowed)))
    with pytest.raises(ServableError, match=rf"'{signature}', batch of 3: '{output}' is .* off"):
        verify(one.path, one.spec, bent(examples, signature, output, off(1.5 * allowed)))


@pytest.mark.parametrize("change", [lambda s: s * 0.5, lambda s: s + 1, lambda s: s * 0])
def test_scores_must_be_what_the_activation_gives(ct, monkeypatch, change):
    """Also where the model that was exported gives the same wrong ones."""
    one, examples = ct
    run = Servable.run

    def answer(self, signature, inputs):
        outputs = dict(run(self, signature, inputs))
        if signature == "scores":
            outputs["scores"] = change(outputs["scores"])
        return outputs

    monkeypatch.setattr(Servable, "run", answer)
    with pytest.raises(ServableError, match="'scores': Expected 'scores' from 0 to 1 that sum"):
        verify(one.path, one.spec, bent(examples, "scores", "scores", change))


def test_nothing_but_numbers_will_do(ct):
    one, examples = ct
    nan = bent(examples, "scores", "scores", lambda values: values * np.nan)
    with pytest.raises(ServableError, match="'scores' is inf off"):
        verify(one.path, one.spec, nan)
    short = bent(examples, "scores", "scores", lambda values: values[:, :1])
    with pytest.raises(ServableError, match=r"expected 'scores' of shape \(1, 1\), received"):
        verify(one.path, one.spec, short)
    other = bent(examples, "gradcam", "class_index", lambda values: 1 - values)
    with pytest.raises(ServableError, match="'class_index' is"):
        verify(one.path, one.spec, other)


def test_large_values_are_compared_relatively(golden, monkeypatch):
    """float32 can't hold a regression's 300.0 to within 1e-5."""
    one = golden["regression"]
    examples = examples_of(one)
    run = Servable.run

    def thousandfold(servable, signature, inputs, outputs=None):
        answer = run(servable, signature, inputs, outputs)
        if signature == "scores":
            answer["scores"] = answer["scores"] * 1000 + 0.005
        return answer

    monkeypatch.setattr(Servable, "run", thousandfold)
    verify(one.path, one.spec, bent(examples, "scores", "scores", lambda v: v * 1000 + 0.001))
    with pytest.raises(ServableError, match=r"'scores' is .* off"):
        verify(one.path, one.spec, bent(examples, "scores", "scores", lambda v: v * 1000 + 0.1))


def test_rounding_of_a_map_with_little_positive_evidence_is_no_difference(ct, monkeypatch):
    one, examples = ct
    (volume,) = {id(e.inputs["volume"]): e.inputs["volume"] for e in examples}.values()
    cam = np.full((3, *one.spec.default_layer.cells), -1.0, np.float32)
    cam[:, 0, 0, 0] = 1e-6
    run = Servable.run

    def faint(servable, signature, inputs, outputs=None):
        answer = run(servable, signature, inputs, outputs)
        if signature == "serving_default" and inputs["volume"].ndim > 1:
            answer["cam"] = cam[: len(inputs["volume"])]
        return answer

    monkeypatch.setattr(Servable, "run", faint)
    examples = bent(examples, "serving_default", "cam", lambda _: cam)
    verify(one.path, one.spec, bent(examples, "serving_default", "heatmap", lambda v: v + 0.5))
    assert volume.dtype == np.int16


def test_a_batch_of_one_is_checked_by_itself(ct):
    one, examples = ct
    first = bent(examples, "scores", "logits", lambda v: np.concatenate([v[:1] + 1, v[1:]]))
    with pytest.raises(ServableError, match="batch of 1: 'logits'"):
        verify(one.path, one.spec, first)


def test_every_signature_needs_an_example(ct):
    one, examples = ct
    with pytest.raises(ServableError, match=r"found none for \['gradcam_all'\]"):
        verify(one.path, one.spec, [e for e in examples if e.signature != "gradcam_all"])


@pytest.mark.parametrize("name", ["scores", "spec", "gradcam"])
def test_missing_signatures_are_named(ct, tmp_path, name):
    one, examples = ct
    with pytest.raises(ServableError, match=f"Expected a signature '{name}', found"):
        verify(saved(one, tmp_path, drop=[name]), one.spec, examples)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ("a", "b", "c")}, r"outputs .*scores: float32 \['B', 3\].*found"),
        ({"name": "other"}, "the served model spec to be the one of the export"),
    ],
)
def test_another_spec_is_refused(ct, change, message):
    one, examples = ct
    with pytest.raises(ServableError, match=message):
        verify(one.path, replace(one.spec, **change), examples)


def test_another_dtype_or_grid_is_refused(ct):
    one, examples = ct
    other = replace(one.spec, intensity=replace(one.spec.intensity, dtype="float32"))
    with pytest.raises(ServableError, match=r"expected the inputs volume: float32.*found .*int16"):
        verify(one.path, other, examples)
    turned = replace(one.spec, grid=replace(one.spec.grid, shape=one.spec.grid.shape[::-1]))
    with pytest.raises(ServableError, match=r"\['B', 20, 16, 12, 1\], found"):
        verify(one.path, turned, examples)


@pytest.mark.parametrize("damage", ["missing", "changed", "not json"])
def test_the_spec_file_must_be_what_is_served(ct, tmp_path, damage):
    one, examples = ct
    folder = tmp_path / "copy"
    shutil.copytree(one.path, folder)
    file = folder / SPEC_FILE
    if damage == "missing":
        file.unlink()
    else:
        file.write_text(file.read_text().replace("ct", "cat") if damage == "changed" else "{")
    with pytest.raises(ServableError, match=r"model_spec\.json"):
        verify(folder, one.spec, examples)


def test_tf_saved_model_save_is_rejected_with_the_reason(ct, tmp_path):
    """Such a module loads in Python and fails every request in TensorFlow Serving."""
    one, examples = ct

    class Module(tf.Module):
        pass

    module = Module()
    module.model = one.model
    functions = {
        name: tf.function(signature.function, input_signature=signature.inputs)
        for name, signature in ServingModel(one.model, one.spec).signatures().items()
    }
    module.functions = functions
    tf.saved_model.save(module, str(tmp_path), signatures=functions)
    with_spec(one, tmp_path)

    loaded = tf.saved_model.load(str(tmp_path)).signatures["scores"]
    volume = examples[-1].inputs["volume"]
    np.testing.assert_allclose(
        loaded(volume=tf.constant(volume))["scores"], examples[-1].outputs["scores"], atol=1e-5
    )
    with pytest.raises(ServableError, match=r"keras#19274.*keras\.export\.ExportArchive") as caught:
        verify(tmp_path, one.spec, examples)
    assert "ould not find variable" in str(caught.value) or "resource" in str(caught.value)


def test_signatures_without_ensure_shape_are_refused_before_they_run(ct, tmp_path):
    """Running them with a wrong rank could crash this very process."""
    one, examples = ct

    class Unchecked(ServingModel):
        def _checked(self, volume):
            return volume

    folder = saved(one, tmp_path, serving=Unchecked(one.model, one.spec))
    with pytest.raises(ServableError, match=r"uses its inputs \['volume'\] before tf.ensure_shape"):
        verify(folder, one.spec, examples)


@pytest.mark.parametrize("reply", ["an answer", "UnavailableError"])
def test_a_wrong_rank_must_be_refused_as_invalid(ct, monkeypatch, reply):
    one, examples = ct
    run = Servable.run

    def lenient(servable, signature, inputs, outputs=None):
        if signature == "scores" and inputs["volume"].ndim == 1:
            if reply == "an answer":
                return {}
            raise tf.errors.UnavailableError(None, None, "gone")
        return run(servable, signature, inputs, outputs)

    monkeypatch.setattr(Servable, "run", lenient)
    with pytest.raises(ServableError, match=f"'scores'.*of rank 1, received {reply}"):
        verify(one.path, one.spec, examples)


@pytest.mark.parametrize("wrap", [tf.numpy_function, tf.py_function])
def test_python_functions_are_refused(ct, tmp_path, wrap):
    one, examples = ct

    class WithPython(ServingModel):
        def scores(self, volume):
            same = wrap(lambda x: x, [self._checked(volume)], volume.dtype)
            return super().scores(tf.ensure_shape(same, volume.shape))

    folder = saved(one, tmp_path, serving=WithPython(one.model, one.spec))
    with pytest.raises(ServableError, match=r"without Python functions, found .*PyFunc"):
        verify(folder, one.spec, examples)


def test_what_is_no_saved_model_is_refused(ct, tmp_path):
    one, examples = ct
    with pytest.raises(ServableError, match=r"Expected saved_model\.pb"):
        verify(tmp_path, one.spec, examples)
    (tmp_path / "saved_model.pb").write_bytes(b"not a proto")
    with pytest.raises(ServableError, match="Export the model again"):
        verify(tmp_path, one.spec, examples)


def test_a_servable_without_its_variables_is_refused(ct, tmp_path):
    one, examples = ct
    folder = tmp_path / "copy"
    shutil.copytree(one.path, folder)
    shutil.rmtree(folder / "variables")
    with pytest.raises(ServableError, match="variable"):
        verify(folder, one.spec, examples)


def test_maps_may_be_further_off_where_a_method_magnifies_rounding(ct):
    one, examples = ct

    def off(values):
        return values + 0.005 * np.abs(values).max()

    examples = bent(examples, "gradcam_plus_plus", "cam", off)
    with pytest.raises(ServableError, match="'cam' is"):
        verify(one.path, one.spec, examples)
    lenient = [replace(e, map_tolerance=0.01) for e in examples]
    verify(one.path, one.spec, lenient)
    scores = bent(lenient, "gradcam_plus_plus", "scores", lambda values: values + 1e-4)
    with pytest.raises(ServableError, match="'scores' is"):
        verify(one.path, one.spec, scores)


def test_every_operation_that_calls_python_is_known():
    """TensorFlow's own operations, by the names they are registered under."""
    registered = op_def_pb2.OpList()
    registered.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    names = {operation.name for operation in registered.op}
    assert {name for name in names if "PyFunc" in name} <= set(_PYTHON_OPS)
    assert len(names) > 1000


def test_golden_graphs_hold_tensorflow_s_own_operations_only(golden):
    registered = op_def_pb2.OpList()
    registered.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    known = {operation.name for operation in registered.op} - set(_PYTHON_OPS)
    for one in golden.values():
        saved_model = saved_model_pb2.SavedModel.FromString(
            (one.path / "saved_model.pb").read_bytes()
        )
        for meta in saved_model.meta_graphs:
            functions = meta.graph_def.library.function
            own = {function.signature.name for function in functions}
            nodes = [*meta.graph_def.node, *(n for f in functions for n in f.node_def)]
            assert len(functions) > 10
            assert {node.op for node in nodes} <= known | own
