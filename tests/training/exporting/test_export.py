from dataclasses import replace

import golden as golden_package
import keras
import numpy as np
import pytest
import tensorflow as tf
from golden.__main__ import main as write_golden
from heatmap_reference import reference_heatmap
from keras import layers
from tensorflow_serving.apis import prediction_log_pb2

from vcam_client.errors import ConfigError, ServableError
from vcam_client.spec import Activation, ExplainDefault, Fit, Intensity, ModelSpec
from vcam_serving.session import Servable
from vcam_serving.verify import MODEL_FILE, SPEC_FILE, contract
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.cams.target_layer import explainer
from vcam_training.exporting._warmup import WARMUP_FILE
from vcam_training.exporting.export import export

NAMES = ("ct", "mr", "radiograph", "slices", "regression", "findings", "bright")
EXPLAINED = ("serving_default", "gradcam")


@pytest.fixture(scope="module")
def served(golden):
    servables = {name: Servable(one.path) for name, one in golden.items()}
    yield servables
    for servable in servables.values():
        servable.close()


def volumes_for(spec, batch, seed=11):
    """Physical values of the model's dtype, some beyond its window."""
    generator = np.random.default_rng(seed)
    low, high = spec.intensity.window or (0.0, 300.0)
    shape = (batch, *spec.grid.shape, 1)
    noise = generator.uniform(low - 100, high + 100, shape)
    return noise.astype(spec.intensity.dtype)


def offline(one, volume):
    """Scores and logits of the Keras model, in NumPy from its output on."""
    output = one.model(volume.astype(np.float32), training=False).numpy().astype(np.float64)
    spec = one.spec
    if output.shape[1] == 1 and spec.activation is Activation.SOFTMAX:
        z = output[:, 0]
        positive = 1 / (1 + np.exp(-z / (spec.calibration_temperature or 1)))
        return np.stack([1 - positive, positive], 1), np.stack([-z / 2, z / 2], 1)
    scaled = output / (spec.calibration_temperature or 1)
    if spec.activation is Activation.SOFTMAX:
        e = np.exp(scaled - scaled.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True), output
    if spec.activation is Activation.SIGMOID:
        return 1 / (1 + np.exp(-scaled)), output
    return output, output


def default_class(spec, scores):
    rule = spec.explain_default
    if rule in (ExplainDefault.TOP_CLASS, ExplainDefault.HIGHEST_FINDING):
        return scores.argmax(1)
    return np.full(len(scores), int(rule is ExplainDefault.POSITIVE_CLASS))


def offline_cam(one, volume, index):
    explain = explainer(
        one.model,
        one.spec.default_layer.name,
        one_logit=one.model.output_shape[1] == 1 and one.spec.activation is Activation.SOFTMAX,
    )
    return explain(volume.astype(np.float32), np.asarray(index, np.int32)).numpy()


def assert_cam(actual, expected):
    np.testing.assert_allclose(actual, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [1, 3])
def test_served_equals_offline(golden, served, name, batch):
    one, servable = golden[name], served[name]
    volume = volumes_for(one.spec, batch)
    scores, logits = offline(one, volume)
    classes = len(one.spec.labels)

    answer = servable.run("scores", {"volume": volume})
    assert set(answer) == {"scores", "logits"}
    np.testing.assert_allclose(answer["scores"], scores, atol=1e-5)
    np.testing.assert_allclose(answer["logits"], logits, atol=1e-5)

    default = default_class(one.spec, scores)
    chosen = np.arange(batch) % (classes + 1) - 1
    for signature, index in (("serving_default", None), ("gradcam", chosen.astype(np.int32))):
        inputs = {"volume": volume} | ({} if index is None else {"class_index": index})
        answer = servable.run(signature, inputs)
        explained = default if index is None else np.where(index < 0, default, index)
        assert set(answer) == {"scores", "heatmap", "cam", "class_index"}
        assert answer["class_index"].dtype == np.int32
        np.testing.assert_array_equal(answer["class_index"], explained)
        np.testing.assert_allclose(answer["scores"], scores, atol=1e-5)
        cam = offline_cam(one, volume, explained)
        assert_cam(answer["cam"], cam)
        for shown, raw in zip(answer["heatmap"], cam, strict=True):
            expected = reference_heatmap(raw, one.spec.grid.shape, one.spec.default_layer)
            np.testing.assert_allclose(shown, expected, atol=2e-5)

    answer = servable.run("gradcam_all", {"volume": volume})
    assert set(answer) == {"scores", "cam"}
    for index in range(classes):
        assert_cam(answer["cam"][:, index], offline_cam(one, volume, [index] * batch))


@pytest.mark.parametrize("name", NAMES)
def test_golden_maps_say_something(golden, served, name):
    """Random weights can give maps that are zero everywhere; these must not."""
    volume = volumes_for(golden[name].spec, 3)
    answer = served[name].run("serving_default", {"volume": volume})
    assert answer["cam"].shape == (3, *golden[name].spec.default_layer.cells)
    assert len(set(golden[name].spec.grid.shape)) == golden[name].spec.grid.ndim
    assert (np.ptp(answer["cam"].reshape(3, -1), axis=1) > 0).all()
    assert (answer["heatmap"].reshape(3, -1).max(axis=1) > 0.5).all()


@pytest.mark.parametrize("corner", [(0, 0, 0), (4, 10, 2), (10, 14, 18)])
def test_bright_marks_the_planted_blob(golden, served, corner):
    spec = golden["bright"].spec
    volume = np.full((1, *spec.grid.shape, 1), -1000, np.int16)
    box = tuple(slice(c, c + 2) for c in corner)
    volume[(0, *box, 0)] = 900
    answer = served["bright"].run("serving_default", {"volume": volume})
    peak = np.unravel_index(answer["cam"][0].argmax(), answer["cam"].shape[1:])
    layer = spec.default_layer
    centre = [o + s * c for o, s, c in zip(layer.offset, layer.stride, peak, strict=True)]
    np.testing.assert_allclose(centre, np.array(corner) + 0.5)
    inside = answer["heatmap"][(0, *box)]
    assert inside.min() > 0.4
    assert answer["heatmap"][0].sum() < 4 * inside.sum()


@pytest.mark.parametrize("index", [7, 3, -2, -100])
@pytest.mark.parametrize("fetched", [None, "scores", "cam", "heatmap", "class_index"])
def test_class_index_is_checked_whatever_is_fetched(golden, served, index, fetched):
    volume = volumes_for(golden["mr"].spec, 2)
    given = np.array([0, index], np.int32)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        served["mr"].run("gradcam", {"volume": volume, "class_index": given}, fetched and [fetched])
    assert f"indices = {index} is not in [0, 3)" in caught.value.message


def test_class_index_needs_one_entry_for_each_volume(golden, served):
    volume = volumes_for(golden["mr"].spec, 2)
    for given in ([1], [1, 1, 1]):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"received {len(given)} for 2"):
            served["mr"].run("gradcam", {"volume": volume, "class_index": np.int32(given)})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("signature", ["serving_default", "gradcam", "gradcam_all", "scores"])
def test_wrong_ranks_and_sizes_are_refused(golden, served, name, signature):
    spec = golden[name].spec
    right = (1, *spec.grid.shape, 1)
    wrong = [(5,), right[1:], (*right[:-1], 2), (1, *spec.grid.shape[::-1], 1), ()]
    for shape in wrong:
        inputs = {"volume": np.zeros(shape, spec.intensity.dtype)}
        if signature == "gradcam":
            inputs["class_index"] = np.zeros(1, np.int32)
        with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible with expected"):
            served[name].run(signature, inputs)


def executed_nodes(servable, signature):
    """Names of the nodes that the session runs for a signature."""
    definition = servable.signatures[signature]
    spec = ModelSpec.from_json((servable.path / SPEC_FILE).read_bytes())
    metadata = tf.compat.v1.RunMetadata()
    servable._session.run(
        [output.name for output in definition.outputs.values()],
        {definition.inputs["volume"].name: volumes_for(spec, 1)},
        options=tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE),
        run_metadata=metadata,
    )
    return {n.node_name for d in metadata.step_stats.dev_stats for n in d.node_stats}


def test_only_what_is_fetched_comes_back(golden, served):
    volume = volumes_for(golden["ct"].spec, 1)
    answer = served["ct"].run("serving_default", {"volume": volume}, ["cam", "scores"])
    assert list(answer) == ["cam", "scores"]


def test_no_work_beyond_the_signature(golden, tmp_path):
    """Scores cost no gradient, and a map no gradient of a kernel."""
    model = keras.Sequential(
        [
            keras.Input((6, 5, 1)),
            layers.Conv2D(2, 3, name="target"),
            layers.Conv2D(2, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )
    spec = spec_for(golden, model, cam_layers=(cam_layer(model, "target"),))
    with Servable(export(model, spec, tmp_path / "tiny")) as servable:
        explained = executed_nodes(servable, "serving_default")
        scored = executed_nodes(servable, "scores")
    assert any("gradient_tape" in name and "BackpropInput" in name for name in explained)
    assert not any("BackpropFilter" in name for name in explained)
    assert any("Softmax" in name for name in scored)
    assert not any("gradient_tape" in name or "/heatmap/" in name for name in scored)


def test_one_logit_becomes_two_classes(golden, served):
    volume = volumes_for(golden["ct"].spec, 3)
    z = golden["ct"].model(volume.astype(np.float32), training=False).numpy()[:, 0]
    answer = served["ct"].run("scores", {"volume": volume})
    np.testing.assert_allclose(answer["logits"], np.stack([-z / 2, z / 2], 1), atol=1e-5)
    np.testing.assert_allclose(answer["scores"][:, 1], 1 / (1 + np.exp(-z)), atol=1e-5)
    cams = served["ct"].run("gradcam_all", {"volume": volume})["cam"]
    assert_cam(cams[:, 0], -cams[:, 1])
    first = served["ct"].run("gradcam", {"volume": volume, "class_index": np.zeros(3, np.int32)})
    second = served["ct"].run("gradcam", {"volume": volume, "class_index": np.ones(3, np.int32)})
    assert first["heatmap"].max() > 0
    assert not np.allclose(first["heatmap"], 1 - second["heatmap"])


def test_temperature_divides_the_logits_of_the_scores_only(golden, served):
    one = golden["mr"]
    assert one.spec.calibration_temperature == 1.5
    answer = served["mr"].run("scores", {"volume": volumes_for(one.spec, 3)})
    warm = tf.nn.softmax(answer["logits"] / 1.5).numpy()
    assert np.abs(warm - tf.nn.softmax(answer["logits"]).numpy()).max() > 1e-3
    np.testing.assert_allclose(answer["scores"], warm, atol=1e-6)


def test_int16_and_float_extremes_stay_finite(golden, served):
    for name in NAMES:
        dtype = np.dtype(golden[name].spec.intensity.dtype)
        ends = (-32768, 32767) if dtype.kind == "i" else (-1e6, 0.0)
        for value in ends:
            volume = np.full((1, *golden[name].spec.grid.shape, 1), value, dtype)
            for array in served[name].run("serving_default", {"volume": volume}).values():
                assert np.isfinite(array).all()


@pytest.mark.parametrize("name", NAMES)
def test_spec_is_served_as_written(golden, served, name):
    keys = np.array([b"model_spec", b"nope", b"", b"model_spec"], object)
    texts = served[name].run("spec", {"key": keys})["model_spec"]
    written = (golden[name].path / SPEC_FILE).read_bytes()
    assert list(texts) == [written, b"", b"", written]
    assert ModelSpec.from_json(written) == golden[name].spec
    assert golden[name].spec.name == name


@pytest.mark.parametrize("name", NAMES)
def test_the_training_model_travels_along(golden, name):
    one = golden[name]
    again = keras.saving.load_model(one.path / MODEL_FILE)
    volume = volumes_for(one.spec, 2).astype(np.float32)
    np.testing.assert_allclose(again(volume), one.model(volume), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_warmup_records_parse_and_run(golden, served, name):
    path = golden[name].path / WARMUP_FILE
    records = list(tf.data.TFRecordDataset([str(path)]).as_numpy_iterator())
    requests = [prediction_log_pb2.PredictionLog.FromString(r).predict_log.request for r in records]
    signatures = [request.model_spec.signature_name for request in requests]
    assert sorted(signatures) == sorted(contract(golden[name].spec))
    assert path.stat().st_size < 10_000, "constant volumes are written as one value"
    for request in requests:
        inputs = {alias: tf.make_ndarray(proto) for alias, proto in request.inputs.items()}
        assert {len(value) for value in inputs.values()} == {1}
        definition = served[name].signatures[request.model_spec.signature_name]
        assert set(inputs) == set(definition.inputs)
        served[name].run(request.model_spec.signature_name, inputs)


# Refusals and publishing, on the smallest model.


def tiny(outputs=2, stack=(), final=None):
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((6, 5, 1)),
            *stack,
            layers.Conv2D(2, 3, activation="relu", name="conv"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(outputs, activation=final),
        ]
    )


def spec_for(golden, model, **changes):
    spec = replace(
        golden["radiograph"].spec,
        grid=replace(golden["radiograph"].spec.grid, shape=(6, 5)),
        cam_layers=(cam_layer(model),),
        explanations=(),
    )
    return replace(spec, **changes)


def test_versions_count_up_and_never_change(golden, tmp_path):
    model = tiny()
    spec = spec_for(golden, model)
    base = tmp_path / "models" / "tiny"
    assert export(model, spec, base) == base / "1"
    assert export(model, spec, base, version=5) == base / "5"
    assert export(model, spec, base) == base / "6"
    before = (base / "5" / "saved_model.pb").stat()
    with pytest.raises(ServableError, match="Version 5 of 'tiny' exists"):
        export(model, spec, base, version=5)
    assert (base / "5" / "saved_model.pb").stat() == before
    assert sorted(p.name for p in base.parent.iterdir()) == ["tiny"]


def test_a_failed_export_leaves_nothing(golden, tmp_path):
    def python(x):
        return tf.ensure_shape(tf.numpy_function(np.abs, [x], tf.float32), x.shape)

    model = tiny(stack=[layers.Lambda(python, output_shape=(6, 5, 1), name="abs")])
    plain = tiny()
    with pytest.raises(ConfigError, match=r"'abs' \(Lambda\)"):
        export(model, spec_for(golden, plain), tmp_path / "tiny")
    behind = keras.Sequential(
        [*plain.layers[:1], layers.Lambda(python, output_shape=(4, 3, 2)), *plain.layers[1:]]
    )
    behind.build((None, 6, 5, 1))
    with pytest.raises(ServableError, match="without Python functions"):
        export(behind, spec_for(golden, plain), tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


def test_an_example_is_checked_and_used(golden, tmp_path):
    model = tiny()
    spec = spec_for(golden, model)
    with pytest.raises(ConfigError, match=r"example of shape \(None, 6, 5, 1\)"):
        export(model, spec, tmp_path / "tiny", example=np.zeros((5, 6, 1)))
    assert export(model, spec, tmp_path / "tiny", example=np.zeros((9, 6, 5, 1))).is_dir()


SIGMOID = {
    "activation": Activation.SIGMOID,
    "explain_default": ExplainDefault.HIGHEST_FINDING,
}
IDENTITY = {"activation": Activation.IDENTITY, "explain_default": ExplainDefault.TARGET}


@pytest.mark.parametrize(
    ("outputs", "changes", "message"),
    [
        (3, {}, "Expected 3 labels for a model with 3 logits"),
        (1, {"labels": ("one",)}, "Expected 2 labels for a model with 1 logits"),
        (1, {"labels": ("a", "b"), **IDENTITY}, "Expected 1 labels"),
        (1, {"labels": ("finding",), **SIGMOID}, "Use Activation.SOFTMAX and two labels"),
        (2, {"explain_default": ExplainDefault.TARGET}, "one of .*'TOP_CLASS'.*received TARGET"),
        (2, {**SIGMOID, "explain_default": ExplainDefault.TOP_CLASS}, "HIGHEST_FINDING"),
        (
            3,
            {"labels": ("a", "b", "c"), "explain_default": ExplainDefault.POSITIVE_CLASS},
            "class 1 of two",
        ),
        (2, {"calibration_temperature": 0.0}, "positive temperature"),
        (2, {"calibration_temperature": float("nan")}, "positive temperature"),
        (2, {**IDENTITY, "calibration_temperature": 2.0}, "Leave it out"),
        (
            2,
            {"intensity": Intensity(dtype="int16", band_edges=(0, 40000.0))},
            "don't fit an int16 input",
        ),
    ],
)
def test_specs_that_contradict_the_model_are_refused(golden, tmp_path, outputs, changes, message):
    model = tiny(outputs)
    with pytest.raises(ConfigError, match=message):
        export(model, spec_for(golden, model, **changes), tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("padding", [-40000.0, -0.5])
def test_padding_that_int16_can_not_hold_is_refused(golden, tmp_path, padding):
    model = tiny()
    spec = spec_for(golden, model, intensity=Intensity(dtype="int16", window=(0, 1)))
    spec = replace(spec, grid=replace(spec.grid, padding_value=padding))
    with pytest.raises(ConfigError, match=r"Intensity\(dtype='float32'\)"):
        export(model, spec, tmp_path / "tiny")


@pytest.mark.parametrize("final", ["softmax", "sigmoid"])
def test_scores_instead_of_logits_are_refused(golden, tmp_path, final):
    model = tiny(final=final)
    with pytest.raises(ConfigError, match=f"ends in {final}"):
        export(model, spec_for(golden, model), tmp_path / "tiny")
    inputs = keras.Input((6, 5, 1))
    separate = keras.Model(inputs, layers.Softmax()(tiny()(inputs)))
    with pytest.raises(ConfigError, match="ends in Softmax"):
        export(separate, spec_for(golden, tiny()), tmp_path / "tiny")


def test_another_grid_or_another_geometry_is_refused(golden, tmp_path):
    model = tiny()
    spec = spec_for(golden, model)
    turned = replace(spec, grid=replace(spec.grid, shape=(5, 6)))
    with pytest.raises(ConfigError, match=r"one input of shape \(None, 5, 6, 1\)"):
        export(model, turned, tmp_path / "tiny")
    stretched = replace(spec.default_layer, stride=(1.5, 5 / 3), offset=(0.25, 1 / 3))
    with pytest.raises(ConfigError, match="the spec says offset"):
        export(model, replace(spec, cam_layers=(stretched,)), tmp_path / "tiny")
    two = keras.Model(model.inputs[0], [model.outputs[0], model.outputs[0] * 2])
    with pytest.raises(ConfigError, match="one output of logits"):
        export(two, spec, tmp_path / "tiny")


def test_golden_command_writes_a_config_for_tensorflow_serving(tmp_path, monkeypatch, capsys):
    recipes = golden_package.recipes()
    monkeypatch.setattr(golden_package, "recipes", lambda: {"bright": recipes["bright"]})
    assert write_golden([str(tmp_path / "out")]) == 0
    config = (tmp_path / "out" / "models.config").read_text()
    assert f'name: "bright" base_path: "{tmp_path / "out" / "bright"}"' in config
    assert (tmp_path / "out" / "bright" / "1" / "saved_model.pb").is_file()
    assert "known map" in capsys.readouterr().out
    assert write_golden([]) == 2
    assert {recipe.spec.grid.fit for recipe in recipes.values()} == {Fit.STRETCH, Fit.SPACING}
