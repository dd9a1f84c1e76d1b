"""What is sent to the model when parts of a scan are hidden, and what is not."""

import dataclasses
import math

import numpy as np
import pytest
from client.checking import (
    PEAK,
    bright,
    checked,
    lesion,
    noise,
    on_the_grid,
    one_logit,
    scores_of,
)
from client.predictions import CELLS, impulse, prediction, scan, spec
from client.predictions import slices_spec as spec_of_slices

from vcam_client import Volume, place
from vcam_client._calls import Call
from vcam_client._hiding import measured
from vcam_client._score_logit import score_logits
from vcam_client.scores import aggregate
from vcam_client.spec import Activation, CamLayer, ExplainDefault, Grid, SliceAggregation
from vcam_client.verification import Verdict


def test_what_was_not_measured_is_never_hidden() -> None:
    values = bright()
    values[:, :3] = -2000  # pixel padding
    volume = on_the_grid(values, padding=(-2000, -2000))
    calls: list[Call] = []
    given = prediction(impulse(2, 1, 4), volume)  # half of what it marks is padding
    found = checked(given, one_logit(lesion()), calls)
    asked = np.concatenate([call.inputs["volume"] for call in calls])[..., 0]
    assert (asked[:, :, :3] == given.spec.grid.padding_value).all()
    real = np.ones(values.shape, bool)
    real[:, :3] = False
    np.testing.assert_array_equal(measured(volume, given.placement), real)
    assert found.marked is not None
    assert found.marked.hidden_share == 4 / real.sum()
    assert found.fill == np.rint(np.median(values[real]))
    assert found.occlusion.logit_drops.shape == CELLS
    hidden = (asked != asked[0]).any(axis=(1, 2, 3)).sum()
    assert hidden < found.inputs  # blocks of padding are not asked for
    assert found.inputs == 1 + 2 + len(found.controls) + math.prod(CELLS) - CELLS[0] * CELLS[2]


def test_the_part_of_the_grid_beyond_the_scan_was_not_measured() -> None:
    from vcam_client.spec import Fit

    grid = Grid(shape=(8, 10, 12), fit=Fit.SPACING, spacing_mm=(2, 2, 4), padding_value=-1000)
    volume = on_the_grid(noise())
    real = measured(volume, place(volume, grid))
    np.testing.assert_array_equal(real.any(axis=(0, 1)), [False] * 3 + [True] * 6 + [False] * 3)
    assert real[:, :, 3:9].all()


def test_the_padding_value_as_a_fill() -> None:
    calls: list[Call] = []
    found = checked(
        prediction(impulse(*PEAK), on_the_grid(bright())),
        one_logit(lesion()),
        calls,
        fill="padding",
    )
    assert found.fill == -1000
    whole, hidden = calls[0].inputs["volume"][:2, ..., 0]
    assert set(hidden[hidden != whole]) == {-1000}


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_volumes_keep_the_models_dtype(dtype: str) -> None:
    intensity = dataclasses.replace(spec().intensity, dtype=dtype)
    values = np.where(np.indices((8, 10, 12)).sum(axis=0) % 2, -800.25, -701).astype(np.float32)
    given = prediction(impulse(*PEAK), on_the_grid(values), spec(intensity=intensity))
    calls: list[Call] = []
    found = checked(given, one_logit(lesion()), calls)
    assert {call.inputs["volume"].dtype for call in calls} == {np.dtype(dtype)}
    assert found.fill == {"int16": -750, "float32": np.float32(-750.625)}[dtype]
    hidden = calls[0].inputs["volume"][1] != calls[0].inputs["volume"][0]
    assert set(calls[0].inputs["volume"][1][hidden]) == {found.fill}


def test_batches_are_bounded_and_only_scores_are_asked_for() -> None:
    calls: list[Call] = []
    seen: list[tuple[int, int]] = []
    found = checked(
        prediction(impulse(*PEAK), on_the_grid(bright())),
        one_logit(lesion()),
        calls,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert {call.signature for call in calls} == {"scores"}
    assert {call.target.version for call in calls} == {3}
    sizes = [len(call.inputs["volume"]) for call in calls]
    assert max(sizes) == 16
    assert (len(calls), sum(sizes)) == (found.calls, found.inputs)
    assert seen[0] == (0, found.inputs)
    assert seen[-1] == (found.inputs, found.inputs)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert found.traffic.sent == sum(call.inputs["volume"].nbytes for call in calls)


def test_large_volumes_go_in_smaller_batches() -> None:
    shape = (64, 128, 160)  # 2.6 MB of int16 each
    layer = CamLayer(name="conv", cells=CELLS, offset=(8, 13, 13), stride=(16, 26, 27))
    large = spec(grid=Grid(shape=shape), cam_layers=(layer,))
    calls: list[Call] = []
    checked(
        prediction(impulse(*PEAK), scan(), large),
        lambda volumes: np.zeros((len(volumes), 2)),
        calls,
        blocks=8,
    )
    assert {len(call.inputs["volume"]) for call in calls[:-1]} == {6}


@pytest.mark.parametrize("aggregation", [SliceAggregation.MAX, SliceAggregation.MEAN])
@pytest.mark.parametrize("activation", ["softmax", "positive", "sigmoid"])
def test_slices_that_are_not_touched_are_not_asked_again(
    aggregation: SliceAggregation, activation: str
) -> None:
    kind = {
        "softmax": (Activation.SOFTMAX, ExplainDefault.TOP_CLASS),
        "positive": (Activation.SOFTMAX, ExplainDefault.POSITIVE_CLASS),
        "sigmoid": (Activation.SIGMOID, ExplainDefault.HIGHEST_FINDING),
    }[activation]
    sliced = dataclasses.replace(
        spec_of_slices(aggregation), activation=kind[0], explain_default=kind[1]
    )
    volume = scan()
    cam = np.zeros((10, *CELLS[1:]))
    cam[6, 3, 4] = 1
    weights = np.random.default_rng(2).normal(size=(2, 10, 12))

    def model(images: np.ndarray) -> np.ndarray:
        return 1e-3 * np.einsum("bhw,khw->bk", images + 900, weights)

    given = prediction(cam, volume, sliced)
    calls: list[Call] = []
    found = checked(given, model, calls, blocks=30)
    tensor = given.placement.to_model(volume.data, "int16").astype(np.float64)
    blocks = found.occlusion.logit_drops.shape
    assert math.prod(blocks) <= 30
    assert blocks[0] > 1
    assert found.inputs < 10 * (1 + math.prod(blocks))

    def whole_stack(hidden: np.ndarray) -> tuple[float, float]:
        logits = model(np.where(hidden, found.fill, tensor))
        score = aggregate(scores_of(logits, sliced).astype(np.float64), sliced)
        return float(score[1]), float(score_logits(logits, sliced)[1])

    nothing = np.zeros(tensor.shape, bool)
    marked = given.heatmap_on_model_grid() >= 0.5
    assert marked.any(axis=(1, 2)).tolist() == [n == 6 for n in range(10)]
    assert found.marked is not None
    for outcome, hidden in ((found.whole, nothing), (found.marked, marked)):
        assert (outcome.score, outcome.logit) == pytest.approx(whole_stack(hidden), abs=1e-5)
    edges = [
        np.rint(np.arange(m + 1) * n / m).astype(int)
        for n, m in zip(tensor.shape, blocks, strict=True)
    ]
    for index in np.ndindex(blocks):
        hidden = nothing.copy()
        hidden[tuple(slice(e[n], e[n + 1]) for e, n in zip(edges, index, strict=True))] = True
        score, logit = whole_stack(hidden)
        assert found.occlusion.logit_drops[index] == pytest.approx(
            found.whole.logit - logit, abs=1e-5
        )
        assert found.occlusion.score_drops[index] == pytest.approx(
            found.whole.score - score, abs=1e-5
        )


def test_a_single_image_is_hidden_in_two_dimensions() -> None:
    image = spec_of_slices(SliceAggregation.NONE)
    frontal = np.array([[-1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    image = dataclasses.replace(image, grid=dataclasses.replace(image.grid, axes=("A", "I", "L")))
    pixels = noise((10, 12))
    pixels[6:8, 8:10] = 600
    volume = Volume(data=pixels.T[:, :, None], affine=frontal, name="xray", is_picture=True)
    cam = np.zeros((1, *CELLS[1:]))
    cam[0, 3, 4] = 1
    found = checked(prediction(cam, volume, image), one_logit(lesion()[4]))
    assert found.occlusion.logit_drops.shape == (1, 5, 6)
    assert found.occlusion.strongest == (0, 3, 4)
    assert found.verdict is Verdict.SUPPORTED
