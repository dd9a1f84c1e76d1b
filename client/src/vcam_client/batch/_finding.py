"""Which scans there are in files, folders, patterns and lists."""

import glob
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vcam_client._foreign import foreign_kind
from vcam_client._paths import UNFETCHED, given_path, is_unfetched, why_unreadable
from vcam_client.batch._dicom_folders import series_in
from vcam_client.batch._found import Find, bytes_of
from vcam_client.batch._item import FoundScans, ItemKind
from vcam_client.batch._lists import listed_on_standard_input
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

_LINK = "link, not followed; --follow-links does"
_NO_FILE = "no regular file"
_DANGLING = "link to nothing"
_TWICE = "link to what is found without it"


class NoScansError(InputError):
    """Nothing was found.

    Attributes:
        links: how many links may lead to scans.
    """

    links: int = 0


def find_scans(arguments: Sequence[str | Path], *, follow_links: bool = False) -> FoundScans:
    """The scans that arguments name, in the order of their keys.

    A folder is searched with all below it. Each NIfTI, NRRD, MetaImage, MGH, TIFF, zip, npy,
    PNG and JPEG file is a scan, a header with its data file one; so is each DICOM series of a
    folder, and each folder of 2-D TIFF files that are numbered without gaps. Headers of
    DICOM files are read here, once.

    Args:
        arguments: files, folders, patterns such as "scans/*/ct.nii.gz", or "-" for paths
            on standard input, one in each line or with bytes 0 between them. A listed path
            that can't be read is a scan whose `read` says why, so that the rest is scored.
        follow_links: also what links in folders lead to, each folder once; links round in a
            circle end. Links that are arguments themselves are followed always.

    Raises:
        ScanNotFoundError: an argument that is not there, or a pattern that nothing fits.
        InputError: no scans, or an argument that is empty or that this user may not follow.
    """
    search = _Search(follow_links=follow_links)
    given = list(_expanded(arguments))
    for argument in given:
        search.add(argument)
    finds = search.finds()
    found = FoundScans(named(finds, _root(given)), search.left_out)
    if not found:
        reasons = ", ".join(f"{n} × {reason}" for reason, n in search.left_out.most_common())
        error = NoScansError(
            f"Found no scans in {', '.join(str(a.path) for a in given[:3]) or 'an empty list'}"
            f"{f' ({reasons})' if reasons else ''}. Give scans, folders of scans, or a list of "
            "paths on standard input with -."
        )
        error.links = search.left_out[_LINK] + search.left_out[UNFETCHED]
        raise error
    return found


@dataclass(frozen=True, kw_only=True)
class _Argument:
    """A path, and the folder that its key is relative to; `listed` on standard input."""

    path: Path
    base: Path
    listed: bool = False


def _expanded(arguments: Sequence[str | Path]) -> Iterator[_Argument]:
    several = len(arguments) > 1
    for argument in arguments:
        text = str(argument)
        if text == STANDARD_INPUT:
            for path in listed_on_standard_input():
                yield _Argument(path=Path(path), base=_parent(Path(path)), listed=True)
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
    path = given_path(text)
    problem = why_unreadable(path)
    if problem is not None:
        raise problem
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
    """Files by folder, each once, listed paths that can't be read, and what was left out.

    What is in the folders themselves comes first, and links last: so a scan has its own
    path for a key, whatever leads to it besides.
    """

    follow_links: bool = False
    folders: dict[Path, set[str]] = field(default_factory=dict)
    unreadable: set[Path] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)
    links: list[Path] = field(default_factory=list)
    seen: set[tuple[int, int] | None] = field(default_factory=set)

    def add(self, argument: _Argument) -> None:
        """A file as it is given; all that a folder holds."""
        path = Path(os.path.abspath(argument.path))
        if argument.listed and not _can_be_read(path):
            self.unreadable.add(path)
        elif path.is_dir():
            self._walk(path)
        elif path.name.upper() == "DICOMDIR":
            self._walk(path.parent)
        elif path.exists() and not path.is_file():  # fits a pattern
            self.left_out[_NO_FILE] += 1
        else:
            self.folders.setdefault(path.parent, set()).add(path.name)

    def _walk(self, top: Path) -> None:
        for root, folders, names in os.walk(top, onerror=self._closed):
            here = Path(root)
            if self.follow_links and not self._first_time(here):
                folders.clear()
                continue
            for name in list(folders):
                hidden, link = name.startswith("."), (here / name).is_symlink()
                if link and not hidden and self.follow_links:
                    self.links.append(here / name)
                elif hidden or link:
                    self.left_out["hidden folder" if hidden else _LINK] += 1
                if hidden or link:
                    folders.remove(name)
            folders.sort()
            own = own_results(here, names)
            for name in sorted(names):
                if name in own:
                    self.left_out["result of an earlier run"] += 1
                elif self.follow_links and _is_link(here / name):
                    self.links.append(here / name)
                else:
                    self._take(here / name)

    def _take(self, path: Path) -> None:
        reason = _unfit(path, follow_links=self.follow_links)
        if reason:
            self.left_out[reason] += 1
        else:
            self.folders.setdefault(path.parent, set()).add(path.name)

    def _follow(self) -> None:
        """Takes what links lead to, and what the links there lead to."""
        direct = {
            identity
            for folder, names in self.folders.items()
            for name in names
            if (identity := _identity(folder / name)) is not None
        }
        while self.links:
            link = self.links.pop(0)
            identity = _identity(link)
            if os.path.isdir(link):
                if identity in self.seen:
                    self.left_out[_TWICE] += 1
                else:
                    self._walk(link)
            elif identity in direct:
                self.left_out[_TWICE] += 1
            else:
                self._take(link)

    def _first_time(self, folder: Path) -> bool:
        """Whether a folder is met for the first time, on whatever path."""
        identity = _identity(folder)
        first = identity not in self.seen
        self.seen.add(identity)
        return first

    def _closed(self, error: OSError) -> None:
        self.left_out[f"folder that can't be opened ({error.strerror})"] += 1

    def finds(self) -> list[Find]:
        """All scans; headers of DICOM files are read."""
        self._follow()
        finds = [Find.of(path, (), ItemKind.FILE) for path in sorted(self.unreadable)]
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


def _can_be_read(path: Path) -> bool:
    """Whether something is at a path, and a file there can be opened."""
    if why_unreadable(path) is not None:
        return False
    return path.is_dir() or os.access(path, os.R_OK)


def _is_link(path: Path) -> bool:
    return path.is_symlink() and not path.name.startswith(".")


def _identity(path: Path) -> tuple[int, int] | None:
    """By which a file or folder is known again on another path; None where nothing is."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _unfit(path: Path, *, follow_links: bool) -> str:
    """Why a file is no scan, as far as one sees from outside; "" otherwise."""
    if path.name.startswith("."):
        return "hidden file"
    if is_unfetched(path):
        return UNFETCHED
    try:
        found = path.stat() if follow_links else path.lstat()
    except FileNotFoundError:
        return _DANGLING
    except OSError as error:
        return f"can't be opened ({error.strerror})"
    if stat.S_ISLNK(found.st_mode):
        return _LINK
    if not stat.S_ISREG(found.st_mode):
        return _NO_FILE
    return "" if found.st_size else "empty file"


def _has_header(name: str, others: set[str]) -> bool:
    suffix = next((s for s in _PAIR if name.endswith(s)), None)
    return suffix is not None and any(name.removesuffix(suffix) + h in others for h in _HEADERS)
