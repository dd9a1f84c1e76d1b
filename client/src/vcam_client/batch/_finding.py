"""Which scans there are in files, folders, patterns and lists."""

import glob
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vcam_client._foreign import foreign_kind
from vcam_client.batch._dicom_folders import series_in
from vcam_client.batch._found import Find, bytes_of
from vcam_client.batch._item import FoundScans, ItemKind
from vcam_client.batch._naming import named
from vcam_client.batch._own_results import own_results
from vcam_client.batch._tiff_folders import slices_among
from vcam_client.errors import InputError, ScanNotFoundError
from vcam_client.reading import data_of_headers, kind_of

STANDARD_INPUT = "-"
_PAIR = (".img", ".img.gz")
_DATA = (".raw", ".zraw", ".raw.gz", *_PAIR)
"""Names of data files that no one takes for scans of their own."""
_HEADERS = (".hdr", ".hdr.gz")

_LINK = "link, not followed; list them for -: find -L FOLDER -type f"


def find_scans(arguments: Sequence[str | Path]) -> FoundScans:
    """The scans that arguments name, in the order of their keys.

    A folder is searched with all below it. Each NIfTI, NRRD, MetaImage, MGH, TIFF, zip, npy,
    PNG and JPEG file is a scan, a header with its data file one; so is each DICOM series of a
    folder, and each folder of 2-D TIFF files that are numbered without gaps. Headers of
    DICOM files are read here, once.

    Args:
        arguments: files, folders, patterns such as "scans/*/ct.nii.gz", or "-" for paths
            on standard input, one in each line.

    Raises:
        ScanNotFoundError: a path that is not there, or a pattern that nothing fits.
        InputError: no scans.
    """
    search = _Search()
    given = list(_expanded(arguments))
    for argument in given:
        search.add(argument)
    finds = search.finds()
    found = FoundScans(named(finds, _root(given)), search.left_out)
    if not found:
        reasons = ", ".join(f"{n} × {reason}" for reason, n in search.left_out.most_common())
        raise InputError(
            f"Found no scans in {', '.join(str(a.path) for a in given[:3]) or 'an empty list'}"
            f"{f' ({reasons})' if reasons else ''}. Give scans, folders of scans, or a list of "
            "paths on standard input with -."
        )
    return found


@dataclass(frozen=True, kw_only=True)
class _Argument:
    """A path, and the folder that its key is relative to."""

    path: Path
    base: Path


def _expanded(arguments: Sequence[str | Path]) -> Iterator[_Argument]:
    several = len(arguments) > 1
    for argument in arguments:
        text = str(argument)
        if text == STANDARD_INPUT:
            for line in sys.stdin:
                if line.strip():
                    yield _existing(line.rstrip("\r\n"), several=True)
        elif glob.has_magic(text) and not os.path.lexists(text):
            matches = sorted(glob.glob(text, recursive=True))
            if not matches:
                raise ScanNotFoundError(f"Nothing fits the pattern {text!r}. Check it.")
            base = Path(*_before_magic(Path(text).parts))
            for match in matches:
                yield _Argument(path=Path(match), base=base)
        else:
            yield _existing(text, several=several)


def _existing(text: str, *, several: bool) -> _Argument:
    path = Path(text)
    if not path.exists():
        raise ScanNotFoundError(f"There is no file or folder {text!r}. Check the path.")
    return _Argument(path=path, base=path if path.is_dir() and not several else _parent(path))


def _before_magic(parts: Sequence[str]) -> Iterator[str]:
    for part in parts:
        if glob.has_magic(part):
            return
        yield part


def _parent(path: Path) -> Path:
    return Path(os.path.abspath(path)).parent


def _root(given: Iterable[_Argument]) -> Path:
    bases = {os.path.abspath(a.base) for a in given}
    try:
        return Path(os.path.commonpath(bases)) if bases else Path()
    except ValueError:  # several drives
        return Path()


@dataclass(kw_only=True)
class _Search:
    """Files by folder, each once, and what was left out."""

    folders: dict[Path, set[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, argument: _Argument) -> None:
        """A file as it is given; all that a folder holds."""
        path = Path(os.path.abspath(argument.path))
        if path.is_dir():
            self._walk(path)
        elif path.name.upper() == "DICOMDIR":
            self._walk(path.parent)
        else:
            self.folders.setdefault(path.parent, set()).add(path.name)

    def _walk(self, top: Path) -> None:
        for root, folders, names in os.walk(top, followlinks=False):
            here = Path(root)
            for name in list(folders):
                if name.startswith(".") or (here / name).is_symlink():
                    hidden = name.startswith(".")
                    self.left_out["hidden folder" if hidden else _LINK] += 1
                    folders.remove(name)
            folders.sort()
            own = own_results(here, names)
            for name in names:
                reason = "result of an earlier run" if name in own else _unfit(here / name)
                if reason:
                    self.left_out[reason] += 1
                else:
                    self.folders.setdefault(here, set()).add(name)

    def finds(self) -> list[Find]:
        """All scans; headers of DICOM files are read."""
        finds: list[Find] = []
        dicom: dict[Path, list[str]] = {}
        headers = {folder: data_of_headers(folder, names) for folder, names in self.folders.items()}
        data = {
            os.path.normpath(folder / name)
            for folder, named in headers.items()
            for header, name in named.items()
            if name != header
        }
        for folder, names in sorted(self.folders.items()):
            by_kind = self._by_kind(folder, names, data)
            dicom[folder] = by_kind.pop("dicom", [])
            slices = slices_among(folder, by_kind.get("tiff", [])) if not dicom[folder] else []
            if slices:
                del by_kind["tiff"]
                finds.append(Find.of(folder, slices, ItemKind.SLICES))
            single = [name for names in by_kind.values() for name in names]
            finds += [_file(folder, name, headers[folder].get(name)) for name in single]
        return finds + series_in(dicom, self.left_out)

    def _by_kind(self, folder: Path, names: Iterable[str], data: set[str]) -> dict[str, list[str]]:
        """Names of scans by kind of file; `data` are the files of headers, no scans themselves."""
        kinds: dict[str, list[str]] = {}
        lower = {name.lower() for name in names}
        for name in sorted(names):
            if os.path.normpath(folder / name) in data:
                if not name.lower().endswith(_DATA):
                    self.left_out["data file of a header"] += 1
                continue  # its header stands for both
            try:
                kind = kind_of(folder / name)
            except OSError as error:
                self.left_out[f"can't be opened ({error.strerror})"] += 1
                continue
            if kind == "zip" and Path(name).suffix.lower() != ".zip":
                self.left_out["not a scan"] += 1  # what an office writes is a zip, too
            elif kind == "foreign" and (foreign := foreign_kind(folder / name)) is not None:
                self.left_out[f"{foreign.name}, not read by vcam: {foreign.advice}"] += 1
            elif kind == "nifti" and _has_header(name.lower(), lower):
                continue  # its header stands for both
            else:
                # a damaged file is a scan that fails, not one that is passed over
                kinds.setdefault("file" if kind == "misnamed" else kind, []).append(name)
        return kinds


def _file(folder: Path, name: str, data: str | None) -> Find:
    """A scan of one file, or of a header and its data, whose bytes count as well."""
    find = Find.of(folder / name, (), ItemKind.FILE)
    return find if data is None else replace(find, size=find.size + bytes_of([folder / data]))


def _unfit(path: Path) -> str:
    """Why a file is no scan, as far as one sees from outside; "" otherwise."""
    if path.name.startswith("."):
        return "hidden file"
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return _LINK
    if not stat.S_ISREG(mode):
        return "no regular file"
    return "" if path.stat().st_size else "empty file"


def _has_header(name: str, others: set[str]) -> bool:
    suffix = next((s for s in _PAIR if name.endswith(s)), None)
    return suffix is not None and any(name.removesuffix(suffix) + h in others for h in _HEADERS)
