"""What is asked of a server and what it answers, whatever carries it."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from vcam_client._utf8 import require_utf8
from vcam_client.errors import InputError

DEFAULT_MODEL = "default"

Inputs = Mapping[str, NDArray[Any] | Sequence[bytes]]


@dataclass(frozen=True, kw_only=True)
class Target:
    """Which model answers.

    Attributes:
        model: its name on the server.
        version: this version, or None.
        label: the version with this label, or None; not both.

    Raises:
        InputError: a version and a label, or a text that is not UTF-8.
    """

    model: str = DEFAULT_MODEL
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise InputError("Expected a version or a version label, received both. Leave one out.")
        require_utf8(self.model, "the name of a model")
        if self.label is not None:
            require_utf8(self.label, "a version label")

    def pinned(self, version: int) -> "Target":
        """The same model at one version."""
        return replace(self, version=version, label=None)

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.model!r} version {self.version}"
        return f"{self.model!r} label {self.label!r}" if self.label else repr(self.model)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a signature.

    Attributes:
        target: which model.
        signature: its name.
        inputs: arrays, or byte strings, by alias.
        outputs: the aliases that are wanted; others may come as well.
    """

    target: Target
    signature: str
    inputs: Inputs = field(repr=False)
    outputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes of a call on the wire, headers left out."""

    sent: int = 0
    received: int = 0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(sent=self.sent + other.sent, received=self.received + other.received)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Outputs by alias, and the model version that computed them."""

    outputs: Mapping[str, NDArray[Any]]
    version: int
    traffic: Traffic = Traffic()


Result = TypeVar("Result")
Steps = Generator[Call, Answer, Result]
"""Yields calls, is sent their answers, or thrown their errors, and returns a result."""


@dataclass(frozen=True, kw_only=True)
class VersionStatus:
    """One version of a model on a server.

    Attributes:
        version: its number.
        state: "AVAILABLE", "LOADING", "END", …
        error: why it failed; "" where it did not.
    """

    version: int
    state: str
    error: str = ""

    @property
    def available(self) -> bool:
        """Whether it answers calls."""
        return self.state == "AVAILABLE"


class Transport(Protocol):
    """Carries calls to one server; raises `ServerError` and `ContractError`."""

    address: str

    def predict(self, call: Call, timeout: float) -> Answer:
        """Calls a signature once."""

    def status(self, target: Target, timeout: float) -> list[VersionStatus]:
        """The versions of a model, newest first."""

    def healthy(self, timeout: float) -> bool:
        """Whether the server says that it serves."""

    def close(self) -> None:
        """Ends connections."""


class AsyncTransport(Protocol):
    """The same, awaited."""

    address: str

    async def predict(self, call: Call, timeout: float) -> Answer:
        """Calls a signature once."""

    async def status(self, target: Target, timeout: float) -> list[VersionStatus]:
        """The versions of a model, newest first."""

    async def healthy(self, timeout: float) -> bool:
        """Whether the server says that it serves."""

    async def close(self) -> None:
        """Ends connections."""
