"""Another process that writes.

file PLACE STEP            writes a file, and is killed before a step
exchange|aside PLACE STEP  replaces a folder likewise, with and without renameat2
many PLACE FIRST COUNT     writes a file over and over, from threads
"""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vcam_client import folder_writing, syncing, writing

SIZE = 50_000


def write_many(place: Path, first: int, count: int) -> None:
    """Each content is one number over and over, so that mixtures show."""
    with ThreadPoolExecutor(8) as pool:
        contents = [number.to_bytes(2, "big") * SIZE for number in range(first, first + count)]
        list(pool.map(lambda content: writing.write_atomically(place, content), contents))


def be_killed(mode: str, place: Path, step: int) -> None:
    """Goes on to the end where there is no such step."""
    steps = [0]

    def counted(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            steps[0] += 1
            if steps[0] == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    watched = ("replace", "rename", "fsync", "open", "close")
    seen = {name: counted(getattr(os, name)) for name in watched}
    slow: Any = SimpleNamespace(**{**vars(os), **seen})
    for module in (folder_writing, syncing, writing):
        module.os = slow
    folder_writing.shutil = SimpleNamespace(
        **{**vars(folder_writing.shutil), "rmtree": counted(folder_writing.shutil.rmtree)}
    )
    folder_writing._exchange = (  # type: ignore[attr-defined]
        counted(folder_writing._exchange) if mode == "exchange" else lambda one, other: False
    )
    if mode == "file":
        writing.write_atomically(place, b"new" * 1000)
    else:

        def write(folder: Path) -> None:
            for name in ("a", "b"):
                (folder / name).write_text("new")

        folder_writing.replace_folder(place, write)


if __name__ == "__main__":
    if sys.argv[1] == "many":
        write_many(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        be_killed(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
