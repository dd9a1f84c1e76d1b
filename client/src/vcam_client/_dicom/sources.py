"""Where instances come from: a file, a folder, a zip archive.

Links and devices inside a folder are not followed. Nothing of an archive is
extracted: members are read into memory one at a time, so that their names
can't lead anywhere.
"""

import io
import lzma
import os
import stat
import struct
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from vcam_client._limits import MAX_UNPACKED_INSTANCE_BYTES
from vcam_client._paths import UNFETCHED, is_unfetched
from vcam_client.errors import CorruptFileError, InputError

_ENCRYPTED = 0x1  # general purpose bit 0 of a zip member
_ZIP_MAGIC = b"PK\x03\x04"
_LARGEST_EXPANSION = 1100
"""Deflate expands 1032:1 at most; a member that states more is a bomb."""


_LINK = "link, not followed; `vcam-client predict --follow-links` does"

_DAMAGED_ZIP = (
    zipfile.BadZipFile,
    NotImplementedError,
    ValueError,
    OverflowError,
    OSError,
    struct.error,
)
"""What zipfile raises on damaged archives, as far as it says so."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file that may hold an instance.

    Attributes:
        name: its own name, for messages; no folder.
        open: gives its bytes; the caller closes it.
        path: where it lies; None for a member of an archive.
    """

    name: str
    open: Callable[[], BinaryIO]
    path: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Files found, and how many were left out for which reason."""

    files: list[Source]
    left_out: Counter[str]


def find_sources(path: Path) -> Sources:
    """All files of a folder (recursive) or of a zip archive, or the file itself."""
    if path.is_dir():
        return _in_folder(path)
    if is_zip(path):
        return _in_zip(path)
    return Sources(files=[file_source(path)], left_out=Counter())


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive, whatever its name says."""
    with path.open("rb") as stream:
        return stream.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC


def file_source(path: Path) -> Source:
    """A file on disk."""
    return Source(name=path.name, open=lambda: path.open("rb"), path=path)


def _in_folder(folder: Path) -> Sources:
    files, left_out = [], Counter[str]()

    def closed(error: OSError) -> None:
        left_out[f"folder that can't be opened ({error.strerror})"] += 1

    for root, folders, names in os.walk(folder, onerror=closed, followlinks=False):
        folders.sort()
        left_out[_LINK] += sum((Path(root) / f).is_symlink() for f in folders)
        for name in sorted(names):
            path = Path(root) / name
            mode = path.lstat().st_mode
            if is_unfetched(path):
                left_out[UNFETCHED] += 1
            elif stat.S_ISLNK(mode):
                left_out[_LINK] += 1
            elif not stat.S_ISREG(mode):
                left_out["no regular file"] += 1
            elif name.startswith("."):
                left_out["hidden file"] += 1
            elif path.stat().st_size == 0:
                left_out["empty file"] += 1
            else:
                files.append(file_source(path))
    return Sources(files=files, left_out=+left_out)


def _in_zip(path: Path) -> Sources:
    try:
        members = _members(path)
    except _DAMAGED_ZIP as error:
        traceback.clear_frames(error.__traceback__)  # see `_opener`
        raise CorruptFileError(
            f"The archive {path.name} is damaged: its list of files can't be read. "
            "Copy or download it again."
        ) from error
    files, left_out = [], Counter[str]()
    for member in members:
        name = Path(member.filename).name
        if member.is_dir():
            continue
        if stat.S_ISLNK(member.external_attr >> 16):
            left_out["link, not followed"] += 1
        elif member.flag_bits & _ENCRYPTED:
            left_out["encrypted; unpack the archive with its password first"] += 1
        elif name.startswith("."):
            left_out["hidden file"] += 1
        elif member.file_size == 0:
            left_out["empty file"] += 1
        else:
            files.append(Source(name=name, open=_opener(path, member)))
    return Sources(files=files, left_out=left_out)


class _OneMember(zipfile.ZipFile):
    """An archive of which one known member is read, so that its list isn't read again."""

    def _RealGetContents(self) -> None:  # noqa: N802
        """Overrides zipfile's; where a Python has another, the list is read: slower, not wrong."""


def _members(path: Path) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(path) as archive:
        return archive.infolist()


def _unpacked(path: Path, member: zipfile.ZipInfo) -> bytes:
    with _OneMember(path) as archive:
        return archive.read(member)


def _opener(path: Path, member: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    """What unpacks a member. Neither it nor its errors keep the archive.

    An error may keep all it can reach until the garbage collector runs, in the middle of
    anything: deep in a recursion, `ZipFile.__del__` fails and Python prints that it did.
    """
    name = path.name

    def unpack() -> BinaryIO:
        # zipfile never gives more than the stated size, so checking that is enough
        size, packed = member.file_size, member.compress_size
        if size > MAX_UNPACKED_INSTANCE_BYTES or size > _LARGEST_EXPANSION * (packed + 1):
            raise InputError(
                f"A file in {name} states {size} bytes unpacked from {packed}, more than vcam "
                "unpacks. Unpack the archive yourself if you trust it."
            )
        try:
            return cast(BinaryIO, io.BytesIO(_unpacked(path, member)))
        except (
            *_DAMAGED_ZIP,
            RuntimeError,
            EOFError,
            MemoryError,
            lzma.LZMAError,
            zlib.error,
        ) as error:
            traceback.clear_frames(error.__traceback__)
            raise CorruptFileError(
                f"A file in {name} can't be unpacked: it is damaged, or packed in a way that "
                "vcam doesn't know. Copy the archive again, or unpack it yourself."
            ) from error

    return unpack
