"""One scan gives one result: over gRPC and REST, blocking and with asyncio, however encoded."""

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from served.server import ServedModel, ServerUnderTest

from vcam_client import AsyncClient, Client, Prediction, Volume
from vcam_client.errors import ModelNotFoundError
from vcam_client.spec import SliceAggregation

if TYPE_CHECKING:
    from golden import Golden

TOLERANCE = 1e-6
KINDS = ("grpc", "rest", "aio", "async rest", "tensor_content")
AXIAL = np.diag([-3.0, -3.0, 4.0, 1.0])
FRONTAL = np.array([[-1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""A radiograph from the front: columns to the left, rows down."""
NO_VERSION = 99


@pytest.fixture(scope="module")
def packed_address(golden: "dict[str, Golden]", server: ServerUnderTest) -> Iterator[str]:
    """A server that answers with tensor_content, of the same models."""
    from vcam_serving import EmbeddedServer

    base = next(iter(golden.values())).path.parents[1]
    with EmbeddedServer(base, port=0, rest_port=None, tensor_content=True) as packed:
        yield packed.address


@pytest.fixture(params=KINDS)
def ask(
    request: pytest.FixtureRequest, server: ServerUnderTest, subject: ServedModel
) -> Callable[..., Any]:
    """Calls a method of a client, by its name, with `*arguments, **options`."""
    if "rest" in request.param and not server.rest_address:
        pytest.skip("no --rest-server given")
    address = f"http://{server.rest_address}" if "rest" in request.param else server.address
    if request.param == "tensor_content":
        address = request.getfixturevalue("packed_address")

    def call(name: str, *arguments: Any, **options: Any) -> Any:
        if request.param not in ("aio", "async rest"):
            with Client(address) as client:
                return getattr(client, name)(*arguments, **options)

        async def run() -> Any:
            async with AsyncClient(address) as client:
                return await getattr(client, name)(*arguments, **options)

        return asyncio.run(run())

    return call


@pytest.fixture
def reference(server: ServerUnderTest) -> Iterator[Client]:
    """What the others are compared with: the blocking client over gRPC."""
    with Client(server.address) as client:
        yield client


def scan_for(model: ServedModel, seed: int = 0) -> Volume:
    """Not on the model's grid, so that it is resampled, and something bright in a corner."""
    spec = model.spec
    image = spec.slice_aggregation is SliceAggregation.NONE
    low, high = spec.intensity.window or (0.0, 100.0)
    shape = (31, 37, 1) if image else (22, 19, 18)
    values = np.random.default_rng(seed).uniform(low, high / 2, shape)
    values[3:9, 4:11] = high
    modality = spec.intensity.modalities[0] if spec.intensity.modalities else None
    return Volume(
        data=values.astype(np.float32), affine=FRONTAL if image else AXIAL, modality=modality
    )


def assert_same(ours: Prediction, theirs: Prediction) -> None:
    assert ours.class_index == theirs.class_index
    assert (ours.label, ours.model, ours.version) == (theirs.label, theirs.model, theirs.version)
    assert ours.spec == theirs.spec
    scale = max(1.0, float(np.abs(theirs.scores).max()))
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=0, atol=TOLERANCE * scale)
    largest = float(np.abs(theirs.cam).max())
    assert largest > 0
    np.testing.assert_allclose(ours.cam, theirs.cam, rtol=0, atol=TOLERANCE * max(1.0, largest))
    assert ours.evidence.found == theirs.evidence.found
    np.testing.assert_allclose(ours.heatmap(), theirs.heatmap(), rtol=0, atol=TOLERANCE)


def test_the_default_class(
    each_model: ServedModel, ask: Callable[..., Any], reference: Client
) -> None:
    scan = scan_for(each_model)
    expected = reference.predict(scan, model=each_model.name)
    found = ask("predict", scan, model=each_model.name)
    assert_same(found, expected)
    assert found.traffic.sent > 0
    assert found.traffic.received > 0


def test_a_named_class(each_model: ServedModel, ask: Callable[..., Any], reference: Client) -> None:
    scan = scan_for(each_model, seed=1)
    for label in (each_model.spec.labels[0], each_model.spec.labels[-1]):
        expected = reference.predict(scan, model=each_model.name, target=label)
        assert expected.label == label
        assert_same(ask("predict", scan, model=each_model.name, target=label), expected)


def test_every_class(each_model: ServedModel, ask: Callable[..., Any], reference: Client) -> None:
    scan = scan_for(each_model, seed=2)
    expected = reference.predict_all(scan, model=each_model.name)
    found = ask("predict_all", scan, model=each_model.name)
    assert [p.label for p in found] == list(each_model.spec.labels)
    for ours, theirs in zip(found, expected, strict=True):
        assert_same(ours, theirs)
    # and each is what asking for it alone gives
    label = each_model.spec.labels[-1]
    assert_same(found[-1], reference.predict(scan, model=each_model.name, target=label))


def test_scores_alone(each_model: ServedModel, ask: Callable[..., Any], reference: Client) -> None:
    scan = scan_for(each_model, seed=3)
    explained = reference.predict(scan, model=each_model.name)
    found = ask("scores", scan, model=each_model.name)
    assert list(found) == list(each_model.spec.labels)
    scale = max(1.0, float(np.abs(explained.scores).max()))
    np.testing.assert_allclose(
        list(found.values()), explained.scores, rtol=0, atol=TOLERANCE * scale
    )


def test_a_method_is_called_by_its_name(
    subject: ServedModel, ask: Callable[..., Any], reference: Client
) -> None:
    scan = scan_for(subject)
    label = subject.spec.labels[0]
    expected = reference.predict(scan, model=subject.name, target=label)
    found = ask("predict", scan, model=subject.name, target=label, method="gradcam")
    assert found.explanation.method == "gradcam"
    assert_same(found, expected)
    every = ask("predict_all", scan, model=subject.name, method="gradcam")
    assert_same(every[0], expected)


def test_slices_and_volumes_by_the_same_call(
    server: ServerUnderTest, ask: Callable[..., Any], reference: Client
) -> None:
    if not {"ct", "slices"} <= server.models.keys():
        pytest.skip("the server has no golden models")
    scan = scan_for(server.models["ct"])
    for name in ("ct", "slices"):
        found = ask("predict", scan, model=name)
        assert found.heatmap().shape == scan.data.shape
        assert_same(found, reference.predict(scan, model=name))
    assert len(found.cam) == scan.data.shape[2]  # a map for each slice


def test_spec_status_and_health(subject: ServedModel, ask: Callable[..., Any]) -> None:
    served = ask("spec", subject.name)
    assert (served.spec, served.version) == (subject.spec, subject.version)
    newest = ask("status", subject.name)[0]
    assert (newest.version, newest.available, newest.error) == (subject.version, True, "")
    assert ask("health") is True


def test_one_version(subject: ServedModel, ask: Callable[..., Any], reference: Client) -> None:
    scan, version = scan_for(subject), subject.version
    expected = reference.predict(scan, model=subject.name)
    assert_same(ask("predict", scan, model=subject.name, version=version), expected)
    assert ask("spec", subject.name, version=version).version == version
    assert [s.version for s in ask("status", subject.name, version=version)] == [version]


@pytest.mark.parametrize("method", ["spec", "status"])
@pytest.mark.parametrize(
    ("model", "which"),
    [("nope", {}), (None, {"version": NO_VERSION}), (None, {"label": "canary"})],
    ids=["model", "version", "label"],
)
def test_what_is_not_served(
    subject: ServedModel,
    ask: Callable[..., Any],
    method: str,
    model: str | None,
    which: dict[str, Any],
) -> None:
    with pytest.raises(ModelNotFoundError, match="--model NAME"):
        ask(method, model or subject.name, **which)
