"""The server under test and the models that it serves."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import grpc
import numpy as np
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from vcam_client.spec import ModelSpec
from vcam_serving.session import Servable
from vcam_serving.verify import SPEC_FILE

GOLDEN_NAMES = ("bright", "ct", "findings", "mr", "radiograph", "regression", "slices")
_USUAL_RANGE = (0.0, 100.0)


@dataclass(frozen=True)
class ServedModel:
    """A model under test.

    Attributes:
        name: as the server knows it.
        version: its newest version.
        path: the folder of that version.
    """

    name: str
    version: int
    path: Path

    @cached_property
    def spec(self) -> ModelSpec:
        return ModelSpec.from_json((self.path / SPEC_FILE).read_bytes())

    @cached_property
    def offline(self) -> Servable:
        """The same version in a session of this process."""
        return Servable(self.path)

    @property
    def classes(self) -> int:
        return len(self.spec.labels)

    def volume(self, batch: int = 1, seed: int = 0) -> np.ndarray:
        """Random physical values [batch, *grid, 1] of the model's dtype."""
        low, high = self.spec.intensity.window or _USUAL_RANGE
        values = np.random.default_rng(seed).uniform(low, high, (batch, *self.spec.grid.shape, 1))
        return values.astype(self.spec.intensity.dtype)


@dataclass(frozen=True)
class ServerUnderTest:
    """Addresses, and {name: model}.

    Attributes:
        address: "host:port" of gRPC.
        rest_address: "host:port" of REST; empty if it has none.
        models: what is served.
    """

    address: str
    rest_address: str
    models: Mapping[str, ServedModel]


def models_in(base: Path, name: str | None = None) -> dict[str, ServedModel]:
    """{name: newest version} of a folder of models, or of the versions of one model."""
    if _versions(base):
        return {name or base.name: _newest(name or base.name, base)}
    folders = sorted(base.iterdir()) if base.is_dir() else []
    return {
        folder.name: _newest(folder.name, folder)
        for folder in folders
        if not folder.name.startswith(".") and _versions(folder)
    }


def wait_until_served(address: str, models: Mapping[str, ServedModel], timeout: float) -> None:
    """Returns once the newest version of each model is AVAILABLE."""
    deadline = time.monotonic() + timeout
    with grpc.insecure_channel(address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        for model in models.values():
            request = get_model_status_pb2.GetModelStatusRequest()
            request.model_spec.name = model.name
            request.model_spec.version.value = model.version
            while True:
                state = _state(stub, request)
                if state == "AVAILABLE":
                    break
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"{address} does not serve {model.name} version {model.version} "
                        f"after {timeout:g} s ({state}). Does it serve {model.path.parent}?"
                    )
                time.sleep(0.2)


def _state(
    stub: model_service_pb2_grpc.ModelServiceStub,
    request: get_model_status_pb2.GetModelStatusRequest,
) -> str:
    try:
        response = stub.GetModelStatus(request, timeout=5)
    except grpc.RpcError as error:
        return str(error.code())
    status = response.model_version_status[0]
    return get_model_status_pb2.ModelVersionStatus.State.Name(status.state)


def _versions(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    return {int(p.name): p for p in folder.iterdir() if p.name.isdigit() and p.is_dir()}


def _newest(name: str, base: Path) -> ServedModel:
    versions = _versions(base)
    return ServedModel(name, max(versions), versions[max(versions)])
