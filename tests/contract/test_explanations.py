"""Maps by method and layer: what the client asks for is what the servable computes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from served.calls import Caller, arrays, request, rest
from served.server import ServedModel

from vcam_client import Client, Volume
from vcam_client.errors import InputError
from vcam_client.evidence import Finding
from vcam_serving import EmbeddedServer
from vcam_serving.session import Servable
from vcam_serving.verify import contract

if TYPE_CHECKING:
    from golden import Golden

TOLERANCE = 1e-5
METHODS = ("gradcam", "gradcam_plus_plus", "hirescam", "layercam")
TARGETS = ("coarse", "fine", "coarse+fine")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> "Golden":
    from layered import layered

    return layered(tmp_path_factory.mktemp("layered"))


@pytest.fixture(scope="module")
def offline(model: "Golden") -> Iterator[Servable]:
    with Servable(model.path) as servable:
        yield servable


@pytest.fixture(scope="module")
def embedded(model: "Golden") -> Iterator[EmbeddedServer]:
    with EmbeddedServer(model.path.parents[1], port=0, rest_port=0) as server:
        yield server


@pytest.fixture(params=["grpc", "rest"])
def client(request: pytest.FixtureRequest, embedded: EmbeddedServer) -> Iterator[Client]:
    over_rest = request.param == "rest"
    with Client(f"http://{embedded.rest_address}" if over_rest else embedded.address) as made:
        yield made


@pytest.fixture(scope="module")
def scan(model: "Golden") -> Volume:
    """On the model's own grid, stored slowest axis last: nothing is resampled."""
    tensor = np.random.default_rng(4).normal(size=model.spec.grid.shape).astype(np.float32)
    return Volume(data=tensor.transpose(2, 1, 0), affine=np.diag([-1.0, -1.0, 1.0, 1.0]))


def on_grid(scan: Volume) -> np.ndarray:
    return scan.data.transpose(2, 1, 0)[None, ..., None]


def assert_near(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


def test_every_signature_is_served(
    model: "Golden", offline: Servable, embedded: EmbeddedServer
) -> None:
    served = ServedModel(model.name, 1, model.path)
    with Caller(embedded.address) as caller:
        for signature in sorted(set(contract(model.spec)) - {"spec"}):
            inputs = {"volume": served.volume(2)}
            if "class_index" in offline.signatures[signature].inputs:
                inputs["class_index"] = np.int32([-1, 2])
            expected = offline.run(signature, inputs)
            answered = arrays(caller.predict(request(model.name, inputs, signature=signature)))
            status, answer = rest(
                embedded.rest_address,
                "POST",
                f"/v1/models/{model.name}:predict",
                {
                    "signature_name": signature,
                    "inputs": {name: values.tolist() for name, values in inputs.items()},
                },
            )
            assert status == 200, answer
            assert sorted(answered) == sorted(answer["outputs"]) == sorted(expected)
            for name, values in expected.items():
                assert_near(answered[name], values)
                assert_near(np.array(answer["outputs"][name]), values)


@pytest.mark.parametrize("layer", TARGETS)
@pytest.mark.parametrize("method", METHODS)
def test_a_method_on_a_layer(
    method: str, layer: str, model: "Golden", offline: Servable, client: Client, scan: Volume
) -> None:
    explanation = model.spec.explanation(method, layer)
    inputs = {"volume": on_grid(scan), "class_index": np.int32([1])}
    expected = offline.run(explanation.signature, inputs)["cam"][0]
    found = client.predict(scan, model=model.name, method=method, layer=layer, target="b")
    assert found.explanation == explanation
    assert found.layer == model.spec.layer(layer)
    assert found.label == "b"
    assert_near(found.cam, expected)
    every = client.predict_all(scan, model=model.name, method=method, layer=layer)
    assert_near(every[1].cam, expected)


def test_what_is_left_out_is_the_model_s_choice(
    model: "Golden", client: Client, scan: Volume
) -> None:
    found = client.predict(scan, model=model.name)
    assert found.explanation == model.spec.default_explanation
    by_method = client.predict(scan, model=model.name, method="layercam")
    assert by_method.explanation.layer == "coarse"
    by_layer = client.predict(scan, model=model.name, layer="fine")
    assert (by_layer.explanation.method, by_layer.cam.shape) == ("gradcam", (12, 14, 16))
    by_signature = client.predict(scan, model=model.name, method="layercam_coarse_fine")
    assert by_signature.explanation.layer == "coarse+fine"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"method": "smoothgrad"}, "'layered' has no map by method 'smoothgrad'. Choose one of"),
        ({"layer": "conv9"}, "no map by method 'gradcam' on layer 'conv9'. Choose .*gradcam on"),
        ({"method": "layercam", "layer": "conv9"}, "'layercam' on layer 'conv9'"),
    ],
)
def test_what_the_model_has_not_is_refused(
    asked: dict[str, str], message: str, model: "Golden", client: Client, scan: Volume
) -> None:
    with pytest.raises(InputError, match=message):
        client.predict(scan, model=model.name, **asked)


def test_each_explanation_has_its_own_limit_of_evidence(
    model: "Golden", client: Client, scan: Volume
) -> None:
    """The spec calls every map of `hirescam` too weak, and no other."""
    weak = client.predict(scan, model=model.name, method="hirescam", target="a")
    assert weak.cam.max() > 0
    assert weak.evidence.finding is Finding.WEAK
    assert not weak.heatmap().any()
    found = client.predict(scan, model=model.name, method="layercam", target="a")
    assert found.evidence.finding is Finding.EVIDENCE
    assert found.heatmap().max() > 0
