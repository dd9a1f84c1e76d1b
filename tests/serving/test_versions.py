"""The life of versions: replaced under load, withdrawn, broken."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tensorflow as tf
from served.calls import Caller, request
from served.publishing import publish_copy, publish_corrupt
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus
from tensorflow_serving.apis.model_pb2 import ModelSpec

from vcam_client.errors import DeadlineExceededError, ServableError
from vcam_serving import EmbeddedServer
from vcam_serving._models import Models

if TYPE_CHECKING:
    from golden import Golden

POLL_SECONDS = 0.05
PATIENCE_SECONDS = 30.0
State = ModelVersionStatus.State


@pytest.fixture
def bright(golden: "dict[str, Golden]") -> Path:
    """The version folder of a model that loads fast."""
    return golden["bright"].path


@pytest.fixture
def base(tmp_path: Path, bright: Path) -> Path:
    """A base path with version 1."""
    publish_copy(bright, tmp_path / "served", 1)
    return tmp_path / "served"


@pytest.fixture
def server(base: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(base, port=0, rest_port=0, poll_wait_seconds=POLL_SECONDS) as server:
        yield server


@pytest.fixture
def caller(server: EmbeddedServer) -> Iterator[Caller]:
    with Caller(server.address) as caller:
        yield caller


def states(caller: Caller) -> dict[int, str]:
    response = caller.status(model_spec={"name": "default"})
    return {s.version: State.Name(s.state) for s in response.model_version_status}


def errors(caller: Caller) -> dict[int, tuple[int, str]]:
    response = caller.status(model_spec={"name": "default"})
    return {
        s.version: (s.status.error_code, s.status.error_message)
        for s in response.model_version_status
    }


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not check():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(POLL_SECONDS)


def answering_version(caller: Caller, signature: str = "scores") -> int:
    inputs = {"volume": np.zeros((1, 12, 16, 20, 1), np.int16)}
    response = caller.predict(request("default", inputs, signature=signature))
    return response.model_spec.version.value


def test_a_new_version_replaces_the_old_without_a_failed_call(
    base: Path, bright: Path, server: EmbeddedServer, caller: Caller
) -> None:
    answered: list[int] = []
    failed: list[Exception] = []
    done = threading.Event()

    def call() -> None:
        while not done.is_set():
            try:
                answered.append(answering_version(caller, "serving_default"))
            except Exception as error:
                failed.append(error)

    clients = [threading.Thread(target=call) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        publish_copy(bright, base, 2)
        server.wait_until_available("default", 2, PATIENCE_SECONDS)
        eventually(lambda: states(caller) == {2: "AVAILABLE", 1: "END"})
        eventually(lambda: answered[-1] == 2)
    finally:
        done.set()
        for client in clients:
            client.join()
    assert not failed
    assert set(answered) == {1, 2}
    assert list(states(caller)) == [2, 1]  # the newest first
    assert errors(caller) == {2: (0, ""), 1: (0, "")}


def test_a_version_in_use_is_closed_after_its_last_call(tmp_path: Path, bright: Path) -> None:
    one, two = publish_copy(bright, tmp_path, 1), publish_copy(bright, tmp_path, 2)
    key = {"key": np.array([b"model_spec"], object)}
    models = Models()
    models.update("m", {1: one})
    with models.use(ModelSpec(name="m")) as (version, servable):
        models.update("m", {1: one, 2: two})
        assert version == 1
        assert [s.state for s in models.statuses("m")] == [State.AVAILABLE, State.UNLOADING]
        with models.use(ModelSpec(name="m")) as (newest, _):
            assert newest == 2
        assert servable.run("spec", key)["model_spec"].shape == (1,)
    assert [s.state for s in models.statuses("m")] == [State.AVAILABLE, State.END]
    with pytest.raises(tf.errors.CancelledError):
        servable.run("spec", key)
    models.close()


def test_without_the_newest_the_older_serves_again(
    base: Path, bright: Path, server: EmbeddedServer, caller: Caller
) -> None:
    newest = publish_copy(bright, base, 2)
    server.wait_until_available("default", 2, PATIENCE_SECONDS)
    shutil.rmtree(newest)
    eventually(lambda: states(caller) == {2: "END", 1: "AVAILABLE"})
    assert answering_version(caller) == 1


def test_a_corrupt_version_ends_and_the_old_one_serves_on(
    base: Path, bright: Path, server: EmbeddedServer, caller: Caller
) -> None:
    publish_corrupt(bright, base, 2)
    with pytest.raises(ServableError, match="version 2 to load, it failed"):
        server.wait_until_available("default", 2, PATIENCE_SECONDS)
    eventually(lambda: states(caller) == {2: "END", 1: "AVAILABLE"})
    code, message = errors(caller)[2]
    assert code != 0
    assert "Expected a SavedModel" in message
    assert answering_version(caller) == 1
    publish_copy(bright, base, 3)
    server.wait_until_available("default", 3, PATIENCE_SECONDS)
    eventually(lambda: states(caller) == {3: "AVAILABLE", 2: "END", 1: "END"})


def test_a_failed_version_is_tried_again_only_after_it_was_gone(
    tmp_path: Path, bright: Path
) -> None:
    one, two = tmp_path / "1", publish_corrupt(bright, tmp_path, 2)
    shutil.copytree(bright, one)
    models = Models()
    models.update("m", {1: one})
    models.update("m", {1: one, 2: two})
    assert "m version 2" in models.failures()
    shutil.rmtree(two)
    shutil.copytree(bright, two)
    models.update("m", {1: one, 2: two})
    assert models.available() == {"m": [1]}
    models.update("m", {1: one})
    models.update("m", {1: one, 2: two})
    assert models.available() == {"m": [2]}
    assert models.failures() == {}
    models.close()


def test_a_folder_without_versions_serves_nothing(
    base: Path, server: EmbeddedServer, caller: Caller
) -> None:
    shutil.rmtree(base / "1")
    eventually(lambda: states(caller) == {1: "END"})
    assert server.available() == {}


def test_a_missing_base_path_changes_nothing(
    base: Path, server: EmbeddedServer, caller: Caller
) -> None:
    base.rename(base.with_name("elsewhere"))
    time.sleep(10 * POLL_SECONDS)
    assert states(caller) == {1: "AVAILABLE"}
    assert answering_version(caller) == 1


def test_waiting_for_what_never_comes(server: EmbeddedServer) -> None:
    with pytest.raises(DeadlineExceededError, match=r"version 7 to be available within 0\.1 s"):
        server.wait_until_available("default", 7, 0.1)
