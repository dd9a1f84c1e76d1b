"""Scans that a server can tell from all others: of one value."""

from typing import Any

from vcam_client import _wire

MARKS = (371, 372)


def mark_of(request: Any) -> int | None:
    """The value of a scan that is constant, None of others."""
    volume = _wire.from_tensor(request.inputs["volume"], "volume")
    value = int(volume.flat[volume.size // 2])
    return value if value in MARKS and (volume == value).mean() > 0.4 else None
