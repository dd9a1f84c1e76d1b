"""Checks of an explanation are the same over every transport, and what the model computes."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from contract.test_transports_agree import scan_for
from served.server import ServedModel, ServerUnderTest

from vcam_client import AsyncClient, Client, Verdict, Verification, Volume
from vcam_client.errors import ModelNotFoundError

BLOCKS = 24
TOLERANCE = 1e-5


@pytest.fixture(params=["rest", "aio", "async rest"])
def ask(request: pytest.FixtureRequest, server: ServerUnderTest) -> Callable[..., Verification]:
    """Calls `verify` of a client other than the blocking one over gRPC."""
    if "rest" in request.param and not server.rest_address:
        pytest.skip("no --rest-server given")
    address = f"http://{server.rest_address}" if "rest" in request.param else server.address

    def call(*arguments: Any, **options: Any) -> Verification:
        if request.param == "rest":
            with Client(address) as client:
                return client.verify(*arguments, **options)

        async def run() -> Verification:
            async with AsyncClient(address) as client:
                return await client.verify(*arguments, **options)

        return asyncio.run(run())

    return call


def assert_same(ours: Verification, theirs: Verification) -> None:
    assert ours.verdict is theirs.verdict
    assert ours.fill == theirs.fill
    assert (ours.inputs, ours.calls) == (theirs.inputs, theirs.calls)
    scale = max(1.0, abs(theirs.whole.logit))
    for name in ("whole", "marked", "rest"):
        one, other = getattr(ours, name), getattr(theirs, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one.hidden_share == other.hidden_share
            assert one.score == pytest.approx(other.score, abs=TOLERANCE * scale)
            assert one.logit == pytest.approx(other.logit, abs=TOLERANCE * scale)
    for one, other in (
        (ours.control_drops, theirs.control_drops),
        (ours.occlusion.logit_drops, theirs.occlusion.logit_drops),
        (ours.occlusion.score_drops, theirs.occlusion.score_drops),
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=2 * TOLERANCE * scale)


def test_every_transport_says_the_same(
    each_model: ServedModel, server: ServerUnderTest, ask: Callable[..., Verification]
) -> None:
    scan = scan_for(each_model)
    with Client(server.address) as client:
        expected = client.verify(scan, model=each_model.name, blocks=BLOCKS)
    assert expected.traffic.sent > 0
    found = ask(scan, model=each_model.name, blocks=BLOCKS)
    assert_same(found, expected)
    assert found.prediction.version == expected.prediction.version


def test_a_prediction_is_checked_as_its_scan_is(
    each_model: ServedModel, server: ServerUnderTest
) -> None:
    scan = scan_for(each_model, seed=1)
    label = each_model.spec.labels[0]
    with Client(server.address) as client:
        expected = client.verify(scan, model=each_model.name, target=label, blocks=BLOCKS)
        prediction = client.predict(scan, model=each_model.name, target=label)
        assert_same(client.verify_prediction(prediction, blocks=BLOCKS), expected)
    assert expected.prediction.label == label
    assert expected.whole.score == pytest.approx(
        prediction.scores[0], abs=TOLERANCE * max(1.0, abs(prediction.scores[0]))
    )


def bright_scan() -> Volume:
    """On the grid of `bright` voxel by voxel, with a block of 4×4×4 that is bright."""
    values = np.random.default_rng(0).integers(-900, -700, (12, 16, 20)).astype(np.int16)
    values[4:8, 6:10, 8:12] = 900
    affine = np.diag([-2.0, -2.0, 2.0, 1.0])
    return Volume(data=values.transpose(2, 1, 0), affine=affine, modality="CT", name="bright")


def test_drops_of_a_served_model_are_what_arithmetic_says(server: ServerUnderTest) -> None:
    if "bright" not in server.models:
        pytest.skip("the server has no golden models")
    volume = bright_scan()
    values = volume.data.transpose(2, 1, 0).astype(np.float64)

    def z(seen: np.ndarray) -> float:
        return float(20 * (np.clip(seen, -1000, 1000) + 1000).mean() / 2000 - 2)

    seen: list[tuple[int, int]] = []
    with Client(server.address) as client:
        found = client.verify(
            volume,
            model="bright",
            fill="median",
            progress=lambda done, total: seen.append((done, total)),
        )
        upside_down = client.predict(volume, model="bright", target="dark")
    assert seen[-1] == (found.inputs, found.inputs)
    fill = round(float(np.median(values)))
    marked = found.prediction.heatmap_on_model_grid() >= 0.5
    assert found.marked is not None
    assert found.rest is not None
    for outcome, hidden in (
        (found.whole, np.zeros_like(marked)),
        (found.marked, marked),
        (found.rest, ~marked),
    ):
        assert outcome.logit == pytest.approx(z(np.where(hidden, fill, values)), abs=1e-5)
    blocks = found.occlusion.logit_drops.shape
    assert 100 < np.prod(blocks) <= 200
    edges = [
        np.rint(np.arange(m + 1) * n / m).astype(int)
        for n, m in zip(values.shape, blocks, strict=True)
    ]
    for index in np.ndindex(blocks):
        hidden_values = values.copy()
        box = tuple(slice(e[n], e[n + 1]) for e, n in zip(edges, index, strict=True))
        hidden_values[box] = fill
        drop = found.occlusion.logit_drops[index]
        assert drop == pytest.approx(z(values) - z(hidden_values), abs=1e-5)
    assert found.verdict is Verdict.SUPPORTED
    assert found.occlusion.strongest_is_marked
    assert not upside_down.has_evidence


def test_a_version_that_is_not_there(server: ServerUnderTest, subject: ServedModel) -> None:
    scan = scan_for(subject)
    with Client(server.address) as client, pytest.raises(ModelNotFoundError):
        client.verify(scan, model=subject.name, version=99)
