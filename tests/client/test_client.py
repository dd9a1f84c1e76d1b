"""The client against a stand-in server: requests, checks of answers, errors."""

import dataclasses
import json
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from client.stand_in import SPEC, RefusalError, StandIn, answer, stand_in

from vcam_client import Client, VcamError, Volume, _wire
from vcam_client.errors import (
    ContractError,
    DeadlineExceededError,
    IncompatibleScanError,
    InputError,
    ModelNotFoundError,
    ServerError,
    ServerUnavailableError,
)
from vcam_client.spec import Grid, SliceAggregation

SCAN = Volume(
    data=np.random.default_rng(0).integers(-1000, 400, (16, 12, 8)).astype(np.int16),
    affine=np.diag([-2, -2, 3, 1.0]),
    modality="CT",
)


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as state:
        yield state


def test_one_call_asks_for_the_cam_and_nothing_larger(server: StandIn) -> None:
    with Client(server.address) as client:
        prediction = client.predict(SCAN)
    spec_call, call = server.requests
    assert spec_call.model_spec.signature_name == "spec"
    assert call.model_spec.signature_name == "serving_default"
    assert call.model_spec.version.value == 1
    assert sorted(call.output_filter) == ["cam", "class_index", "scores"]
    volume = _wire.from_tensor(call.inputs["volume"], "volume")
    assert volume.shape == (1, 4, 6, 8, 1)
    assert volume.dtype == np.int16
    assert prediction.scores_by_label == {"clear": 0.25, "lesion": 0.75}
    assert prediction.percentages == {"clear": 25.0, "lesion": 75.0}
    assert (prediction.label, prediction.version, prediction.model) == ("lesion", 1, "default")


def test_a_target_is_asked_for_by_index(server: StandIn) -> None:
    server.predict = lambda request: answer(class_index=0)
    with Client(server.address) as client:
        assert client.predict(SCAN, target="clear").label == "clear"
    call = server.requests[-1]
    assert call.model_spec.signature_name == "gradcam"
    assert _wire.from_tensor(call.inputs["class_index"], "class_index").tolist() == [0]
    with Client(server.address) as client, pytest.raises(IncompatibleScanError, match="no label"):
        client.predict(SCAN, target="tumour")


def test_when_the_pinned_version_is_gone_the_spec_is_read_again(server: StandIn) -> None:
    finer = dataclasses.replace(SPEC, grid=Grid(shape=(8, 6, 8), padding_value=-1000))
    with Client(server.address) as client:
        assert client.predict(SCAN).version == 1
        server.version, server.spec_json = 2, finer.to_json()
        prediction = client.predict(SCAN)
    assert prediction.version == 2
    assert prediction.spec == finer
    volume = _wire.from_tensor(server.requests[-1].inputs["volume"], "volume")
    assert volume.shape == (1, 8, 6, 8, 1)


def test_the_spec_is_read_once(server: StandIn) -> None:
    with Client(server.address) as client:
        client.predict(SCAN)
        client.predict(SCAN)
    signatures = [request.model_spec.signature_name for request in server.requests]
    assert signatures == ["spec", "serving_default", "serving_default"]


def test_slices_go_in_batches_and_come_back_as_a_stack(server: StandIn) -> None:
    layer = dataclasses.replace(
        SPEC.default_layer, cells=(3, 4), offset=(0.5, 0.5), stride=(2.0, 2.0)
    )
    spec = dataclasses.replace(
        SPEC,
        grid=Grid(shape=(6, 8)),
        slice_aggregation=SliceAggregation.MAX,
        cam_layers=(layer,),
    )
    server.spec_json = spec.to_json()
    data = np.zeros((16, 12, 20), np.int16)
    data[:, :, 17] = 100
    volume = Volume(data=data, affine=SCAN.affine)

    def slices(request: object) -> dict[str, np.ndarray]:
        batch = _wire.from_tensor(request.inputs["volume"], "volume")  # type: ignore[attr-defined]
        bright = batch.reshape(len(batch), -1).max(axis=1) / 100
        cam = np.zeros((len(batch), 2, 3, 4), np.float32)
        cam[:, 1, 1, 2] = bright
        return {"scores": np.stack([1 - bright, bright], 1).astype(np.float32), "cam": cam}

    server.predict = slices
    with Client(server.address) as client:
        prediction = client.predict(volume)
    sizes = [_wire.from_tensor(r.inputs["volume"], "v").shape for r in server.requests[1:]]
    assert sizes == [(16, 6, 8, 1), (4, 6, 8, 1)]
    assert {r.model_spec.signature_name for r in server.requests[1:]} == {"gradcam_all"}
    assert prediction.scores.tolist() == [0, 1]
    assert prediction.cam.shape == (20, 3, 4)
    assert prediction.evidence.cell == (17, 1, 2)
    assert prediction.evidence.voxel[2] == 17
    assert prediction.heatmap().max(axis=(0, 1)).nonzero()[0].tolist() == [17]


def break_spec(**changes: object) -> str:
    return json.dumps({**json.loads(SPEC.to_json()), **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not JSON", "can't be read"),
        ("", "can't be read"),
        (break_spec(contract_version=2), "speaks contract version 2"),
        (break_spec(activation="ACTIVATION_UNSPECIFIED"), "Expected one of"),
        (break_spec(labels=[]), "distinct labels"),
        (break_spec(cam_layers=[]), "at least one CAM layer"),
        (break_spec(grid={"shape": [4, -6, 8]}), "positive sizes|fit ="),
    ],
)
def test_a_spec_that_breaks_the_contract(server: StandIn, text: str, message: str) -> None:
    server.spec_json = text
    with Client(server.address) as client, pytest.raises(ContractError, match=message):
        client.predict(SCAN)


def test_unknown_fields_of_a_spec_are_ignored(server: StandIn) -> None:
    server.spec_json = break_spec(from_the_future={"a": 1})
    with Client(server.address) as client:
        assert client.spec().spec == SPEC


NAN_CAM = np.full((2, 3, 4), np.nan, np.float32)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({**answer(), "cam": np.zeros((1, 2, 3, 5), np.float32)}, "Expected 'cam' of shape"),
        ({**answer(), "scores": np.zeros((1, 3), np.float32)}, "Expected 'scores' of shape"),
        ({"scores": answer()["scores"]}, "received nothing"),
        (answer(cam=NAN_CAM), "'cam' is not finite"),
        (answer(scores=(float("inf"), 0)), "'scores' is not finite"),
        (answer(class_index=5), "explained class 5 of 2"),
    ],
)
def test_an_answer_that_breaks_the_contract(
    server: StandIn, outputs: dict[str, np.ndarray], message: str
) -> None:
    server.predict = lambda request: outputs
    with Client(server.address) as client, pytest.raises(ContractError, match=message):
        client.predict(SCAN)


@pytest.mark.parametrize(
    ("code", "details", "error", "message"),
    [
        (grpc.StatusCode.UNAVAILABLE, "gone", ServerUnavailableError, "vcam-serve"),
        (grpc.StatusCode.NOT_FOUND, "Servable not found", ModelNotFoundError, "--model NAME"),
        (
            grpc.StatusCode.FAILED_PRECONDITION,
            'Serving signature key "serving_default" not found.',
            ContractError,
            "vcam-train export",
        ),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Threadpool", ServerError, "busy"),
        (grpc.StatusCode.INTERNAL, "boom", ServerError, "INTERNAL: boom"),
    ],
)
def test_refusals_become_typed_errors(
    server: StandIn, code: grpc.StatusCode, details: str, error: type[VcamError], message: str
) -> None:
    def refuse(request: object) -> dict[str, np.ndarray]:
        raise RefusalError(code, details)

    server.predict = refuse
    with Client(server.address, retries=1) as client, pytest.raises(error, match=message):
        client.predict(SCAN)


def test_a_deadline_is_kept(server: StandIn) -> None:
    import threading

    release = threading.Event()

    def wait(request: object) -> dict[str, np.ndarray]:
        release.wait(10)
        return answer()

    server.predict = wait
    try:
        with Client(server.address, timeout=0.3) as client:
            client.spec()
            with pytest.raises(DeadlineExceededError, match=r"within 0\.3 s"):
                client.predict(SCAN)
    finally:
        release.set()


def test_no_server_at_all() -> None:
    with (
        Client("127.0.0.1:1") as client,
        pytest.raises(ServerUnavailableError, match=r"127\.0\.0\.1:1"),
    ):
        client.predict(SCAN)


def test_another_modality_is_refused_before_anything_is_sent(server: StandIn) -> None:
    scan = dataclasses.replace(SCAN, modality="MR")
    with Client(server.address) as client, pytest.raises(IncompatibleScanError, match="expects CT"):
        client.predict(scan)
    assert [r.model_spec.signature_name for r in server.requests] == ["spec"]


def test_the_address_comes_from_the_environment(
    server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCAM_SERVER", server.address)
    with Client() as client:
        assert client.spec().version == 1


def test_padding_of_the_scan_is_not_sent_as_values(server: StandIn) -> None:
    data = SCAN.data.copy()
    data[:, :6] = -2000
    with Client(server.address) as client:
        client.predict(dataclasses.replace(SCAN, data=data, padding=(-2000, -2000)))
    volume = _wire.from_tensor(server.requests[-1].inputs["volume"], "volume")[0, ..., 0]
    assert (volume == SPEC.grid.padding_value).all(axis=(0, 2)).any()
    assert volume.min() >= -1000


def test_maps_of_an_array_have_its_own_order(server: StandIn) -> None:
    array = np.arange(5 * 7 * 9, dtype=np.int16).reshape(5, 7, 9)  # slices, rows, columns
    with Client(server.address) as client:
        prediction = client.predict(array)
        assert prediction.heatmap().shape == array.shape
        # cell (1, 2, 3): the last slices, rows and columns
        strongest = np.unravel_index(int(prediction.heatmap().argmax()), array.shape)
        assert strongest[0] > 2
        assert strongest[1] > 3
        assert strongest[2] > 4
        with pytest.raises(InputError, match="received list"):
            client.predict([1, 2])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="received a closed one"):
        client.predict(array)
