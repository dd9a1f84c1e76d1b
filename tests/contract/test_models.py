"""Metadata and status over gRPC."""

from collections.abc import Callable

import grpc
import pytest
from google.protobuf.message import Message
from served.calls import Caller
from served.server import ServedModel
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

NO_VERSION = 99
SIGNATURES = {"serving_default", "gradcam", "gradcam_all", "scores", "spec"}


def refused(call: Callable[[], Message]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as info:
        call()
    return info.value.code().name, info.value.details()


def test_metadata_lists_the_signatures(caller: Caller, subject: ServedModel) -> None:
    response = caller.metadata(model_spec={"name": subject.name}, metadata_field=["signature_def"])
    assert response.model_spec.name == subject.name
    assert response.model_spec.version.value == subject.version
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    assert set(found.signature_def) >= SIGNATURES | {"__saved_model_init_op"}
    volume = found.signature_def["serving_default"].inputs["volume"]
    sizes = [dim.size for dim in volume.tensor_shape.dim]
    assert sizes == [-1, *subject.spec.grid.shape, 1]


def test_metadata_without_a_field(caller: Caller, subject: ServedModel) -> None:
    assert refused(lambda: caller.metadata(model_spec={"name": subject.name})) == (
        "INVALID_ARGUMENT",
        "GetModelMetadataRequest must specify at least one metadata_field",
    )


def test_metadata_of_another_field(caller: Caller, subject: ServedModel) -> None:
    ask = {"model_spec": {"name": subject.name}, "metadata_field": ["bogus"]}
    assert refused(lambda: caller.metadata(**ask)) == (
        "INVALID_ARGUMENT",
        "Metadata field bogus is not supported",
    )


def test_metadata_of_an_unknown_model(caller: Caller) -> None:
    ask = {"model_spec": {"name": "nope"}, "metadata_field": ["signature_def"]}
    assert refused(lambda: caller.metadata(**ask)) == (
        "NOT_FOUND",
        "Servable not found for request: Latest(nope)",
    )


def test_metadata_without_a_model_spec(caller: Caller) -> None:
    assert refused(lambda: caller.metadata(metadata_field=["signature_def"])) == (
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    )


@pytest.mark.parametrize("named", [False, True], ids=["all", "one version"])
def test_status(caller: Caller, subject: ServedModel, named: bool) -> None:
    spec: dict[str, object] = {"name": subject.name}
    if named:
        spec["version"] = {"value": subject.version}
    response = caller.status(model_spec=spec)
    status = response.model_version_status[0]
    assert status.version == subject.version
    assert status.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert (status.status.error_code, status.status.error_message) == (0, "")


def test_status_of_an_unknown_model(caller: Caller) -> None:
    assert refused(lambda: caller.status(model_spec={"name": "nope"})) == (
        "NOT_FOUND",
        "Could not find any versions of model nope",
    )


def test_status_of_an_unknown_version(caller: Caller, subject: ServedModel) -> None:
    spec = {"name": subject.name, "version": {"value": NO_VERSION}}
    assert refused(lambda: caller.status(model_spec=spec)) == (
        "NOT_FOUND",
        f"Could not find version {NO_VERSION} of model {subject.name}",
    )


def test_status_without_a_model_spec(caller: Caller) -> None:
    assert refused(caller.status) == ("INVALID_ARGUMENT", "Missing ModelSpec")
