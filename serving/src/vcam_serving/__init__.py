"""Loads, verifies, publishes and serves vcam servables."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcam_serving._embedded import EmbeddedServer

__all__ = ["EmbeddedServer"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: it brings TensorFlow.
    if name == "EmbeddedServer":
        from vcam_serving._embedded import EmbeddedServer

        return EmbeddedServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
