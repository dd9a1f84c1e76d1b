"""Scans on a model's grid, read once and kept in a file that is mapped into memory.

A folder for each set of scans and grid, named by a hash of what decides its content: the
scans' paths, sizes and times of change, the grid, and the version of this code:

    volumes.npy   [n, *grid], int16 or float32, in the order of the scans
    masks.npy     bool [n, *grid], where any scan has a mask
    grids.json    what it was made of, and the hash of each scan's content; written last

While it is written, the arrays have names that end in `.part`, and `done.jsonl` has a line
with the hash of each scan that is in them. Interrupted writing goes on with the scans that
have none, or whose bytes are others. The folder may be deleted at any time.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError, InputError
from vcam_client.reading import read_volume
from vcam_client.spec import Grid
from vcam_client.syncing import sync
from vcam_client.write_errors import refusing
from vcam_client.writing import write_atomically
from vcam_training.data.alone import alone
from vcam_training.data.dataset import Report
from vcam_training.data.laying import lay, lay_mask
from vcam_training.data.problems import refuse
from vcam_training.data.progress import progress
from vcam_training.data.row_file import RowFile

VERSION = 1
"""Of what this code makes of a scan; another one, and scans are read again."""
GRIDS = "grids"
"""Folder for scans on grids, in that of a data set or of all of them."""
FACTS, DONE = "grids.json", "done.jsonl"
_ADVICE = "Repair or replace what is named, or leave those scans out."
_READERS = 2
_PAIRED = {".hdr": ".img", ".img": ".hdr"}


@dataclass(frozen=True, kw_only=True)
class ScanFile:
    """A scan, and the mask of what makes its label true.

    Attributes:
        path: a file, or a folder with a series, see `vcam_client.read_volume`.
        mask: a scan of the same shape and place, not 0 where the object is; or None.
        spacing: mm of columns, rows and slices, or one for all, of files that state none;
            empty for their own.
    """

    path: Path
    mask: Path | None = None
    spacing: tuple[float, ...] = ()

    @property
    def identity(self) -> object:
        """The same for every way to name the scan: relative, absolute, or by a link.

        Either file of a pair of header and values stands for both.
        """
        real = Path(os.path.realpath(self.path))
        other = _partner(real)
        if other is not None:
            real = min(real, other)
        with contextlib.suppress(OSError):  # `missing` names what isn't there
            found = real.stat()
            if real.is_file() and found.st_nlink > 1:  # another name of it, a hard link
                return found.st_dev, found.st_ino
        return real


@dataclass(frozen=True, kw_only=True, eq=False)
class Grids:
    """Scans on a grid, read-only, on disk.

    Attributes:
        volumes: int16 or float32 [n, *grid].
        masks: bool [n, *grid]; None if no scan has one.
        sha256: of each scan's volume and mask on the grid, in hexadecimal.
        vanished: scans whose mask marks something, but no voxel of the grid.
    """

    volumes: NDArray
    masks: NDArray[np.bool_] | None
    sha256: tuple[str, ...]
    vanished: tuple[int, ...]


def read_grids(
    scans: Sequence[ScanFile],
    grid: Grid,
    dtype: str,
    folder: Path,
    report: Report,
    *,
    advice: str = _ADVICE,
) -> Grids:
    """Reads scans onto a grid, or opens what was read before.

    Args:
        scans: at least one.
        grid: the model's grid.
        dtype: of the volumes; integers are rounded and saturated.
        folder: where such folders lie; made if need be.
        report: is told what happens.
        advice: what to do about scans that can't be read.

    Raises:
        ConfigError: scans or masks are missing, unreadable or unfit, all of which are named.
        OutputError: the folder can't be written.
    """
    refuse("the scans and masks of the data set", missing(scans), advice)
    facts = _facts(scans, grid, dtype, folder)
    own = folder / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    if not (own / FACTS).exists():
        with (
            refusing(own / "volumes.npy", "--data"),
            alone(own / "lock", report, "reads the same scans"),
        ):
            if not (own / FACTS).exists():
                _Writing(own, scans, grid, dtype, report).finish(facts, advice)
    return _opened(own)


def missing(scans: Iterable[ScanFile]) -> list[str]:
    """Scans and masks that are not there, a problem each, see `problems.refuse`."""
    paths = dict.fromkeys(path for scan in scans for path in (scan.path, scan.mask) if path)
    return [f"nothing at '{path}'" for path in paths if not os.path.exists(path)]


class _Writing:
    """Fills one folder."""

    def __init__(
        self, own: Path, scans: Sequence[ScanFile], grid: Grid, dtype: str, report: Report
    ) -> None:
        self._own, self._scans, self._grid, self._report = own, scans, grid, report
        shape = (len(scans), *grid.shape)
        self._volumes = RowFile(own / "volumes.npy", np.dtype(dtype), shape)
        masked = any(scan.mask for scan in scans)
        self._masks = RowFile(own / "masks.npy", np.dtype(bool), shape) if masked else None

    def finish(self, facts: dict[str, Any], advice: str) -> None:
        """Reads what is missing, and puts everything in its place."""
        arrays = [self._volumes, *([self._masks] if self._masks else [])]
        known = self._known() if all(array.exists() for array in arrays) else {}
        missing = [row for row in range(len(self._scans)) if row not in known]
        self._check_room(len(missing))
        if not known:
            for array in arrays:
                array.create()
            (self._own / DONE).unlink(missing_ok=True)
        with (self._own / DONE).open("a") as log:
            problems = self._read(missing, known, log)
        refuse("scans that can be read and laid onto the grid", problems, advice)
        for array in arrays:
            sync(array.part)
            os.replace(array.part, array.path)
        lines = [known[row] for row in range(len(self._scans))]
        text = json.dumps({**facts, "lines": lines}) + "\n"
        write_atomically(self._own / FACTS, text.encode(), option="--data")
        (self._own / DONE).unlink()

    def _read(self, missing: list[int], known: dict[int, dict], log: Any) -> list[str]:
        """Reads scans; what is wrong with those that can't be read."""
        problems = []
        size = _by(self._grid.shape)
        tell = progress(self._report, f"Reading scans onto a grid of {size} voxels")
        pool = ThreadPoolExecutor(_READERS)
        try:
            for row, found in zip(missing, pool.map(self._lay, missing), strict=True):
                if isinstance(found, InputError):
                    problems.append(f"{self._scans[row].path}: {found}")
                else:
                    known[row] = found
                    log.write(json.dumps(found) + "\n")
                    log.flush()
                tell(len(known) + len(problems), len(self._scans))
        finally:
            pool.shutdown(cancel_futures=True)
        return problems

    def _lay(self, row: int) -> dict[str, Any] | InputError:
        """Writes one scan into the arrays."""
        file = self._scans[row]
        try:
            scan = read_volume(file.path, spacing=file.spacing or None)
            volume = lay(scan, self._grid, self._volumes.dtype.name)
            mask = None
            if file.mask is not None:
                stored = read_volume(file.mask, spacing=file.spacing or None)
                mask, marks = lay_mask(stored, scan, self._grid), bool(stored.data.any())
        except InputError as error:
            return error
        self._volumes.write(row, volume)
        if mask is None or self._masks is None:
            return {"row": row, "sha256": _hash(volume, None), "vanished": False}
        # Where nothing is written the file has a hole, which reads as zeros.
        if mask.any() or self._masks.read(row).any():
            self._masks.write(row, mask)
        vanished = marks and not mask.any()
        return {"row": row, "sha256": _hash(volume, mask), "vanished": vanished}

    def _known(self) -> dict[int, dict[str, Any]]:
        """What an interrupted run has written, as far as its bytes are as they were."""
        lines: dict[int, dict[str, Any]] = {}
        with contextlib.suppress(OSError):
            for text in (self._own / DONE).read_text().splitlines():
                with contextlib.suppress(ValueError):  # the line that was interrupted
                    line = json.loads(text)
                    lines[line["row"]] = line
        return {row: line for row, line in lines.items() if self._is_there(row, line)}

    def _is_there(self, row: int, line: dict[str, Any]) -> bool:
        masks = self._masks if self._scans[row].mask else None
        stored = _hash(self._volumes.read(row), masks and masks.read(row))
        return stored == line["sha256"]

    def _check_room(self, rows: int) -> None:
        """Raises unless the disk has room for the volumes that are missing."""
        size, free = rows * self._volumes.row_bytes, shutil.disk_usage(self._own).free
        if size > free:
            raise ConfigError(
                f"Expected {size / 1e9:.1f} GB of room in '{self._own}' for volumes on the grid, "
                f"found {free / 1e9:.1f} GB. Name another folder with --data, or set fewer volumes."
            )


def _opened(own: Path) -> Grids:
    try:
        lines = json.loads((own / FACTS).read_text())["lines"]
        volumes = np.load(own / "volumes.npy", mmap_mode="r")
        masks = own / "masks.npy"
        return Grids(
            volumes=volumes,
            masks=np.load(masks, mmap_mode="r") if masks.exists() else None,
            sha256=tuple(line["sha256"] for line in lines),
            vanished=tuple(line["row"] for line in lines if line["vanished"]),
        )
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ConfigError(
            f"Expected scans on a grid in '{own}', received: {error}. Move that folder away; "
            "the next run reads the scans again."
        ) from error


def _facts(scans: Sequence[ScanFile], grid: Grid, dtype: str, folder: Path) -> dict[str, Any]:
    """What decides the content; without absolute paths, so that folders can move together."""
    shape = {**asdict(grid), "fit": grid.fit.name, "resampling": grid.resampling.name}
    return {
        "version": [VERSION, importlib.metadata.version("vcam-client")],
        "grid": shape,
        "dtype": dtype,
        "scans": [
            [_stamp(scan.path, folder), scan.mask and _stamp(scan.mask, folder), scan.spacing]
            for scan in scans
        ],
    }


def _stamp(path: Path, folder: Path) -> list[Any]:
    """Name, sizes and times of the file, or of the files in the folder."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
    else:
        other = _partner(path)
        files = [path] if other is None else [path, other]
    stats = [(file.name, file.stat()) for file in files]
    stamps = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
    return [os.path.relpath(path, folder), stamps]


def _partner(path: Path) -> Path | None:
    """The other file of a pair of header and values, where there is one."""
    other = path.with_suffix(_PAIRED.get(path.suffix.lower(), path.suffix))
    return other if other != path and os.path.exists(other) else None  # a name may be too long


def _hash(volume: NDArray, mask: NDArray[np.bool_] | None) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(volume).tobytes())
    if mask is not None and mask.any():
        digest.update(np.packbits(mask).tobytes())
    return digest.hexdigest()


def _by(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
