"""What is served out of a folder, and when the ports open."""

import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from served.calls import Caller, request
from served.publishing import publish_copy, publish_corrupt

from vcam_client.errors import ServableError, ServerUnavailableError
from vcam_serving import EmbeddedServer
from vcam_serving._folders import models_in, versions_in

if TYPE_CHECKING:
    from golden import Golden

POLL_SECONDS = 0.05
PATIENCE_SECONDS = 30.0


@pytest.fixture
def bright(golden: "dict[str, Golden]") -> Path:
    return golden["bright"].path


def serve(root: Path, **options: object) -> EmbeddedServer:
    return EmbeddedServer(
        root, **{"port": 0, "rest_port": 0, "poll_wait_seconds": POLL_SECONDS, **options}
    )


def is_open(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_names_of_versions(tmp_path: Path) -> None:
    for name in ("00007", "12", "v9", ".3", "4.tmp", "-5", "٣"):
        (tmp_path / name).mkdir()
    (tmp_path / "8").write_text("a file")
    assert versions_in(tmp_path) == {7: tmp_path / "00007", 12: tmp_path / "12"}
    assert versions_in(tmp_path / "missing") is None


def test_models_of_a_folder(tmp_path: Path) -> None:
    for name in ("ct/1", "mr/00007", "empty", ".ct.staging-0/1", "notes/v1"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "models.config").write_text("model_config_list {}")
    assert models_in(tmp_path) == {"ct": tmp_path / "ct", "mr": tmp_path / "mr"}
    assert models_in(tmp_path / "ct") == {"default": tmp_path / "ct"}
    assert models_in(tmp_path / "empty") == {}


def test_a_folder_of_versions_is_the_default_model(tmp_path: Path, bright: Path) -> None:
    shutil.copytree(bright, tmp_path / "00007")
    (tmp_path / "v9").mkdir()
    with serve(tmp_path) as server, Caller(server.address) as caller:
        assert server.available() == {"default": [7]}
        message = request("default", {"key": b"model_spec"}, signature="spec", version=7)
        message.inputs["key"].tensor_shape.dim.add(size=1)
        assert caller.predict(message).model_spec.version.value == 7


def test_models_that_appear_later_are_served(tmp_path: Path, bright: Path) -> None:
    publish_copy(bright, tmp_path / "first")
    with serve(tmp_path) as server:
        assert server.available() == {"first": [1]}
        publish_copy(bright, tmp_path / "second")
        server.wait_until_available("second", timeout=PATIENCE_SECONDS)
        assert server.available() == {"first": [1], "second": [1]}


def test_ports_stay_closed_until_a_version_appears(tmp_path: Path, bright: Path) -> None:
    with serve(tmp_path) as server:
        assert not server.wait_until_open(0)
        assert not is_open(server.address)
        assert not is_open(server.rest_address)
        publish_copy(bright, tmp_path / "late")
        assert server.wait_until_open(PATIENCE_SECONDS)
        assert is_open(server.address)
        assert is_open(server.rest_address)
    assert not is_open(server.address)
    assert not is_open(server.rest_address)


def test_only_a_broken_version_is_an_error(tmp_path: Path, bright: Path) -> None:
    publish_corrupt(bright, tmp_path / "model", 1)
    with pytest.raises(ServableError, match="each one failed to load: model version 1"):
        serve(tmp_path).start()


def test_one_broken_model_does_not_stop_the_others(tmp_path: Path, bright: Path) -> None:
    publish_corrupt(bright, tmp_path / "broken", 1)
    publish_copy(bright, tmp_path / "whole")
    with serve(tmp_path) as server:
        assert server.available() == {"whole": [1]}


def test_a_taken_port_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerUnavailableError, match=f"{port} to be free.*--port"):
            serve(tmp_path, port=port).start()
        with pytest.raises(ServerUnavailableError, match=f"{port} to be free.*--rest-port"):
            serve(tmp_path, rest_port=port).start()


def test_what_cant_be_served(tmp_path: Path, bright: Path) -> None:
    with pytest.raises(ServableError, match="found nothing at"):
        EmbeddedServer(tmp_path / "missing")
    with pytest.raises(ServableError, match=r"is a single SavedModel\. Give the folder above"):
        EmbeddedServer(bright)
    file = tmp_path / "model.zip"
    file.write_bytes(b"")
    with pytest.raises(ServableError, match="is a file"):
        EmbeddedServer(file)
