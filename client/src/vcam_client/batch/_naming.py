"""Keys of scans, and names of their results that never meet."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from vcam_client.batch._found import Find
from vcam_client.batch._item import ItemKind, ScanItem

_SUFFIXES = (".nii.gz", ".hdr.gz", ".img.gz", ".mgh.gz")


def named(finds: Iterable[Find], root: Path) -> list[ScanItem]:
    """Items in the order of their keys.

    Args:
        finds: each with an absolute path.
        root: the folder that keys are relative to.
    """
    keys = set[str]()
    keyed = [(_untaken(_key(find, root), keys), find) for find in finds]
    keyed.sort(key=lambda pair: pair[0])
    stems = [_stem(key, find) for key, find in keyed]
    # a file system may take two names for one that differ in case
    often = Counter(stem.casefold() for stem in stems)
    names, taken = [], set[str]()
    for (key, _), stem in zip(keyed, stems, strict=True):
        name = key.replace("#", "_") if often[stem.casefold()] > 1 else stem
        free = _untaken(name.casefold(), taken)
        names.append(name + free[len(name.casefold()) :])
    return [_item(key, find, name) for (key, find), name in zip(keyed, names, strict=True)]


def _item(key: str, find: Find, name: str) -> ScanItem:
    return ScanItem(
        key=key,
        path=find.path,
        name=name,
        kind=find.kind,
        series=find.series,
        files=find.files,
        rank=find.rank,
        size=find.size,
    )


def _key(find: Find, root: Path) -> str:
    path = find.path if find.alone is None else find.path / find.alone
    relative = Path(os.path.relpath(path, root)).as_posix()
    text = path.name if relative == "." else relative
    return text if find.series is None else f"{text}#series{find.series}"


def _stem(key: str, find: Find) -> str:
    stem = key.replace("#", "_") if find.series is not None else key
    if (find.kind is ItemKind.FILE or find.alone is not None) and find.series is None:
        end = next((s for s in _SUFFIXES if stem.lower().endswith(s)), Path(stem).suffix)
        stem = stem[: len(stem) - len(end)] if end else stem
    parts = [part for part in stem.split("/") if part not in ("", ".", "..")]
    return "/".join(parts)


def _untaken(name: str, taken: set[str]) -> str:
    free, n = name, 1
    while free in taken:
        n += 1
        free = f"{name}-{n}"
    taken.add(free)
    return free
