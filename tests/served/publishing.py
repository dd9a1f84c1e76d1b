"""Copies of servables, published as `vcam-train` publishes them."""

import shutil
from pathlib import Path

from vcam_serving.publish import publish, staging

WARMUP = Path("assets.extra") / "tf_serving_warmup_requests"


def publish_copy(source: Path, base: Path, version: int | None = None) -> Path:
    """Publishes a copy of a version folder at `<base>/<version>`."""
    with staging(base) as staged:
        shutil.copytree(source, staged, dirs_exist_ok=True)
        return publish(staged, base, version)


def publish_corrupt(source: Path, base: Path, version: int) -> Path:
    """The same, with variables that can't be read."""
    with staging(base) as staged:
        shutil.copytree(source, staged, dirs_exist_ok=True)
        (staged / "variables" / "variables.index").write_bytes(b"no index")
        return publish(staged, base, version)


def publish_with_warmup(source: Path, base: Path, content: bytes, version: int = 1) -> Path:
    """The same, with another file of warm-up requests."""
    with staging(base) as staged:
        shutil.copytree(source, staged, dirs_exist_ok=True)
        (staged / WARMUP).write_bytes(content)
        return publish(staged, base, version)
