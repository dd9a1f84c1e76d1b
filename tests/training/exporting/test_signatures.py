"""The servable of a model with maps on several layers, and fused ones."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from heatmap_reference import reference_heatmap
from layered import SHAPE, TARGETS, layered, layered_model, layered_spec
from tensorflow_serving.apis import prediction_log_pb2

from vcam_client.errors import ConfigError
from vcam_serving.session import Servable
from vcam_serving.verify import contract
from vcam_training.cams.cam_methods import METHODS
from vcam_training.cams.target_layer import explainer
from vcam_training.exporting._warmup import WARMUP_FILE
from vcam_training.exporting.export import ROUNDING
from vcam_training.exporting.signatures import ServingModel

BATCH = 3


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return layered(tmp_path_factory.mktemp("layered"))


@pytest.fixture(scope="module")
def servable(one):
    with Servable(one.path) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def volume():
    return np.random.default_rng(3).normal(size=(BATCH, *SHAPE, 1)).astype(np.float32)


def assert_cam(actual, expected, method="gradcam"):
    tolerance = ROUNDING.get(method, 1e-5)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_there_is_a_signature_for_each_explanation(one, servable):
    explained = {e.signature for e in one.spec.explanations}
    assert len(explained) == len(METHODS) * len(TARGETS)
    others = {"serving_default", "gradcam_all", "scores", "spec"}
    assert set(contract(one.spec)) == explained | others
    assert set(servable.signatures) >= explained | others


@pytest.mark.parametrize("layer", TARGETS)
@pytest.mark.parametrize("method", METHODS)
def test_each_serves_what_the_keras_model_says(one, servable, volume, method, layer):
    explanation = one.spec.explanation(method, layer)
    place = one.spec.layer(layer)
    index = np.array([2, 0, 1], np.int32)
    expected = explainer(one.model, layer, method=method)(volume, index).numpy()
    assert expected.shape == (BATCH, *place.cells)
    assert np.abs(expected).max() > 0
    answer = servable.run(explanation.signature, {"volume": volume, "class_index": index})
    assert_cam(answer["cam"], expected, method)
    np.testing.assert_array_equal(answer["class_index"], index)
    for shown, cam in zip(answer["heatmap"], expected, strict=True):
        tolerance = 2 * ROUNDING.get(method, 1e-5)
        np.testing.assert_allclose(shown, reference_heatmap(cam, SHAPE, place), atol=tolerance)


def test_signatures_return_different_maps(one, servable, volume):
    """So that equality with the Keras model says which one is served."""
    inputs = {"volume": volume, "class_index": np.zeros(BATCH, np.int32)}
    maps = [servable.run(e.signature, inputs, ["cam"])["cam"] for e in one.spec.explanations]
    for number, cam in enumerate(maps):
        for other in maps[number + 1 :]:
            if cam.shape == other.shape:
                assert np.abs(cam - other).max() > 1e-3 * np.abs(cam).max()


def test_the_default_explanation_is_what_serving_default_computes(tmp_path, volume):
    other = layered(tmp_path, "layercam")
    assert other.spec.default_explanation.signature == "layercam"
    names = contract(other.spec)
    assert {"layercam_all", "gradcam_all"} <= set(names)
    assert not {"hirescam_all", "layercam_fine_all"} & set(names)
    with Servable(other.path) as servable:
        default = servable.run("serving_default", {"volume": volume})
        chosen = np.full(BATCH, -1, np.int32)
        named = servable.run("layercam", {"volume": volume, "class_index": chosen})
        for name, value in named.items():
            np.testing.assert_array_equal(default[name], value)
        for method in ("layercam", "gradcam"):
            every = servable.run(f"{method}_all", {"volume": volume})["cam"]
            assert every.shape == (BATCH, 3, *other.spec.layer("coarse").cells)
            for k in range(3):
                alone = explainer(other.model, "coarse", method=method)
                assert_cam(every[:, k], alone(volume, np.full(BATCH, k, np.int32)).numpy())


def test_every_signature_is_warmed_up(one, servable):
    records = tf.data.TFRecordDataset([str(one.path / WARMUP_FILE)]).as_numpy_iterator()
    requests = [prediction_log_pb2.PredictionLog.FromString(r).predict_log.request for r in records]
    assert sorted(r.model_spec.signature_name for r in requests) == sorted(contract(one.spec))
    for request in requests:
        inputs = {alias: tf.make_ndarray(proto) for alias, proto in request.inputs.items()}
        servable.run(request.model_spec.signature_name, inputs)


def test_an_unknown_method_can_not_be_exported():
    model = layered_model()
    spec = layered_spec(model)
    strange = replace(spec.explanations[0], method="smoothgrad", signature="smoothgrad")
    with pytest.raises(ConfigError, match="received 'smoothgrad'"):
        ServingModel(model, replace(spec, explanations=(strange,)))
