"""The models that are served: their versions, states and the calls that use them."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import tensorflow as tf
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus
from tensorflow_serving.apis.model_pb2 import ModelSpec

from vcam_client.errors import DeadlineExceededError, ServableError
from vcam_serving._status import StatusError, from_tensorflow, invalid_argument, not_found
from vcam_serving._warmup import replay
from vcam_serving.session import Servable

State = ModelVersionStatus.State
_log = logging.getLogger("vcam_serving")


@dataclass(frozen=True, kw_only=True)
class VersionStatus:
    """The state of one version, as GetModelStatus tells it."""

    version: int
    state: int
    error: StatusError | None


class _Version:
    """One version: START → LOADING → AVAILABLE → UNLOADING → END."""

    def __init__(self, number: int, path: Path) -> None:
        self.number = number
        self.path = path
        self.state: int = State.START
        self.error: StatusError | None = None
        self.servable: Servable | None = None
        self.users = 0


class Models:
    """The versions of all models. Safe to use from many threads.

    One thread at a time may call `update`; calls use versions meanwhile. Of each
    model the newest version is served. It is loaded before the older one is
    unloaded, and a version is closed only after its last call.
    """

    def __init__(self) -> None:
        self._models: dict[str, dict[int, _Version]] = {}
        # {model: newest version, which failed}; of use to `update` alone.
        self._failed: dict[str, int] = {}
        self._changed = threading.Condition()

    def update(self, model: str, versions: Mapping[int, Path]) -> None:
        """Loads the newest of the versions, and then unloads all others of the model.

        A version that fails to load ends with an error; those already loaded
        stay. It is not tried again while it remains the newest.
        """
        newest = max(versions, default=None)
        if self._failed.get(model) != newest:
            self._failed.pop(model, None)
        if newest is not None and model not in self._failed and newest not in self._up(model):
            self._load(model, newest, versions[newest])
        up = self._up(model)
        if newest is None or newest in up:
            for number in up:
                if number != newest:
                    self._retire(model, number)

    @contextmanager
    def use(self, spec: ModelSpec) -> Iterator[tuple[int, Servable]]:
        """Yields (version, servable) that the spec asks for, and keeps it open meanwhile.

        Raises:
            StatusError: the spec names nothing that is available.
        """
        version, servable = self._take(spec)
        try:
            yield version.number, servable
        finally:
            self._give_back(version)

    def statuses(self, model: str, version: int | None = None) -> list[VersionStatus]:
        """The states of a model's versions, the newest first.

        Raises:
            StatusError: nothing is known of the model or the version.
        """
        with self._changed:
            versions = self._models.get(model, {})
            if version is not None and version not in versions:
                raise not_found(f"Could not find version {version} of model {model}")
            if not versions:
                raise not_found(f"Could not find any versions of model {model}")
            wanted = sorted(versions, reverse=True) if version is None else [version]
            return [
                VersionStatus(version=n, state=versions[n].state, error=versions[n].error)
                for n in wanted
            ]

    def available(self) -> dict[str, list[int]]:
        """{model: its available versions, newest first}, models without any left out."""
        with self._changed:
            return {model: found for model in sorted(self._models) if (found := self._up(model))}

    def failures(self) -> dict[str, StatusError]:
        """{"model version N": why it did not load}."""
        with self._changed:
            return {
                f"{model} version {number}": version.error
                for model, versions in sorted(self._models.items())
                for number, version in sorted(versions.items())
                if version.error is not None
            }

    def wait(self, model: str, version: int | None, timeout: float) -> None:
        """Returns once the version (or any) is available.

        Raises:
            ServableError: the version failed to load.
            DeadlineExceededError: it did not become available in time.
        """
        deadline = time.monotonic() + timeout
        what = f"model {model!r}" + ("" if version is None else f" version {version}")
        with self._changed:
            while True:
                up = self._up(model)
                if version in up or (version is None and up):
                    return
                found = self._models.get(model, {}).get(version) if version is not None else None
                if found is not None and found.error is not None:
                    raise ServableError(
                        f"Expected {what} to load, it failed: {found.error}. "
                        "Publish a repaired model as a new version."
                    )
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise DeadlineExceededError(
                        f"Expected {what} to be available within {timeout:g} s, found "
                        f"{up or 'no version'}. Look into the served folder, or wait longer."
                    )
                self._changed.wait(remaining)

    def close(self) -> None:
        """Unloads everything; a version in use is closed after its last call."""
        with self._changed:
            everything = [(model, number) for model in self._models for number in self._up(model)]
        for model, number in everything:
            self._retire(model, number)

    def _load(self, model: str, number: int, path: Path) -> None:
        version = _Version(number, path)
        with self._changed:
            self._models.setdefault(model, {})[number] = version
        self._enter(version, State.LOADING)
        _log.info("%s version %d: loading", model, number)
        started = time.monotonic()
        servable = None
        try:
            servable = Servable(path)
            requests = replay(servable)
        except Exception as error:
            if servable is not None:
                servable.close()
            self._failed[model] = number
            self._enter(version, State.END, error=_status_of(error))
            _log.error("%s version %d: not loaded. %s", model, number, version.error)
            return
        self._enter(version, State.AVAILABLE, servable=servable)
        _log.info(
            "%s version %d: available after %.1f s, %d warm-up requests",
            *(model, number, time.monotonic() - started, requests),
        )

    def _retire(self, model: str, number: int) -> None:
        _log.info("%s version %d: unloading", model, number)
        with self._changed:
            version = self._models[model][number]
            version.state = State.UNLOADING
            self._changed.notify_all()
            unused = version.users == 0
        if unused:
            self._close(version)

    def _take(self, spec: ModelSpec) -> tuple[_Version, Servable]:
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
        with self._changed:
            up = self._up(spec.name)
            number = spec.version.value if choice == "version" else next(iter(up), None)
            if number not in up:
                asked = f"Specific({spec.name}, {number})" if choice else f"Latest({spec.name})"
                raise not_found(f"Servable not found for request: {asked}")
            version = self._models[spec.name][number]
            assert version.servable is not None
            version.users += 1
            return version, version.servable

    def _give_back(self, version: _Version) -> None:
        with self._changed:
            version.users -= 1
            last = version.users == 0 and version.state == State.UNLOADING
        if last:
            self._close(version)

    def _close(self, version: _Version) -> None:
        servable, version.servable = version.servable, None
        if servable is not None:
            servable.close()
        self._enter(version, State.END)

    def _enter(
        self,
        version: _Version,
        state: int,
        *,
        error: StatusError | None = None,
        servable: Servable | None = None,
    ) -> None:
        with self._changed:
            version.state, version.error, version.servable = state, error, servable
            self._changed.notify_all()

    def _up(self, model: str) -> list[int]:
        with self._changed:
            versions = self._models.get(model, {}).values()
            return sorted((v.number for v in versions if v.state == State.AVAILABLE), reverse=True)


def _status_of(error: Exception) -> StatusError:
    if isinstance(error, StatusError):
        return error
    text = str(error) or type(error).__name__
    cause = error.__cause__
    if isinstance(cause, tf.errors.OpError):
        return StatusError(from_tensorflow(cause).code, text)
    return StatusError(grpc.StatusCode.UNKNOWN, text)
