"""Downloads a file once: resumed where it broke off, checked, and left alone when it is there.

While a file arrives it is named `NAME.part`; `NAME.part.json` says which version of it the
server was sending. Once it is whole and checked it gets its name, and `NAME.sha256` is
written, which later calls compare it with.
"""

import contextlib
import hashlib
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from vcam_client.errors import ConfigError
from vcam_client.syncing import sync, sync_folder
from vcam_client.write_errors import refusing
from vcam_client.writing import write_atomically
from vcam_training.data.alone import alone
from vcam_training.data.dataset import Report

_TIMEOUT_S = 30.0
_TRIES = 5
"""How often a connection that broke is taken up again, as long as bytes arrive."""
_CHUNK = 1 << 20
_EVERY_S = 10.0


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to download.

    Attributes:
        url: http or https.
        size: bytes, where known.
        sha256: in hexadecimal; "" where nobody has published it. Then the first download
            is believed if its size is right, and its hash is kept.
        by_hand: where else a person finds it, to be told when there is no network.
    """

    url: str
    size: int | None = None
    sha256: str = ""
    by_hand: str = ""


def download(file: RemoteFile, path: Path, report: Report) -> str:
    """Makes sure that a file is there, and is the right one.

    Args:
        file: what to download.
        path: where to; a file that is there is checked and not asked for again.
        report: is told what happens.

    Returns:
        The SHA-256 of the file, in hexadecimal.

    Raises:
        ConfigError: no network, an answer that is none, or a file that isn't the right one.
        OutputError: it can't be written.
    """
    if path.exists():
        return _check(file, path, path)
    part = path.with_name(f"{path.name}.part")
    with (
        refusing(path, "--data"),
        alone(path.with_name(f".{path.name}.lock"), report, "downloads the same file"),
    ):
        if path.exists():
            return _check(file, path, path)
        _fetch(file, part, path, report)
        found = _check(file, part, path)
        _write_hash(path, found)
        sync(part)
        os.replace(part, path)
        sync_folder(path.parent)
        _validator(part).unlink(missing_ok=True)
    return found


def sha256_of_file(path: Path) -> str:
    """Hash of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetch(file: RemoteFile, part: Path, path: Path, report: Report) -> None:
    """Fills the unfinished file."""
    broke: Exception = ConnectionError("the server has no such part of it")
    for attempt in range(_TRIES):
        before = _size(part)
        try:
            _receive(file, part, report)
            return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and before:
                if before == file.size:
                    return
                part.unlink()  # it isn't a beginning of what the server has
                continue
            raise ConfigError(
                f"Expected {path.name} from {file.url}, the server answered "
                f"{error.code} {error.reason}. {_by_hand(file, path)}"
            ) from error
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            broke, arrived = error, _size(part)
            if arrived == before and attempt:
                break
            if arrived > before:
                report(f"The connection broke at {_mb(arrived)}; going on from there")
            elif isinstance(error, urllib.error.URLError):
                break
    arrived = _size(part)
    kept = (
        f" {_mb(arrived)} of it are kept; the same command goes on from there." if arrived else ""
    )
    reason = getattr(broke, "reason", broke)
    raise ConfigError(
        f"Can't download {path.name} from {file.url} ({reason}).{kept} {_by_hand(file, path)}"
    ) from broke


def _receive(file: RemoteFile, part: Path, report: Report) -> None:
    """One answer of the server, appended to what has arrived or in its place."""
    there, known = _size(part), _read_validator(part)
    if there and there == file.size:
        return
    headers = {"Range": f"bytes={there}-", "If-Range": known} if there and known else {}
    with _open(file.url, headers) as answer:
        resumed = answer.status == HTTPStatus.PARTIAL_CONTENT
        length = answer.headers.get("Content-Length")
        total = (there if resumed else 0) + int(length) if length else file.size
        if not resumed:
            _write_validator(part, answer.headers)
        name = part.name.removesuffix(".part")
        _append(answer, part, "ab" if resumed else "wb", total, f"Downloading {name}", report)
    if total is not None and _size(part) < total:
        raise ConnectionError(f"{_mb(_size(part))} of {_mb(total)} arrived")


def _append(
    answer: HTTPResponse, part: Path, mode: str, total: int | None, what: str, report: Report
) -> None:
    started = told = time.monotonic()
    of = f" of {_mb(total)}" if total else ""
    with part.open(mode) as stream:
        first = stream.tell()
        report(f"{what}: {_mb(first)}{of}")
        while chunk := answer.read(_CHUNK):
            stream.write(chunk)
            now = time.monotonic()
            if now - told > _EVERY_S:
                told, done = now, stream.tell()
                left = ""
                if total and done > first:
                    seconds = round((now - started) / (done - first) * (total - done))
                    left = f", {seconds // 60}:{seconds % 60:02d} left"
                report(f"{what}: {_mb(done)}{of}{left}")


def _open(url: str, headers: Mapping[str, str]) -> HTTPResponse:
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"Expected an http or https address, received {url!r}.")
    # as it is stored: a compressed answer could not be resumed by position
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", **headers})
    return urllib.request.urlopen(request, timeout=_TIMEOUT_S)


def _check(file: RemoteFile, there: Path, path: Path) -> str:
    """The hash of a file that is whole, if it is the right one.

    Raises:
        ConfigError: it is another one. A download is deleted, a file of the user is not.
    """
    size, found = _size(there), sha256_of_file(there)
    known = file.sha256 or _read_hash(path)
    if (file.size is None or size == file.size) and (not known or found == known):
        return found
    if file.size is not None and size != file.size:
        expected, received = f"{file.size:,} bytes", f"{size:,}"
    else:
        expected, received = f"SHA-256 {known}", found
    if there != path:
        there.unlink()
        _validator(there).unlink(missing_ok=True)
        advice = f"It was deleted. Run again, or: {_by_hand(file, path)}"
    else:
        advice = f"Move '{path}' away and run again to download it."
    raise ConfigError(f"Expected {path.name} with {expected}, received {received}. {advice}")


def _by_hand(file: RemoteFile, path: Path) -> str:
    size = f" ({_mb(file.size)})" if file.size else ""
    place = f" {file.by_hand}" if file.by_hand else ""
    return f"Without a network, bring the file{size} from elsewhere{place} and put it at '{path}'."


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _validator(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _write_validator(part: Path, headers: Mapping[str, str]) -> None:
    """Keeps what tells this version of the file from another; weak tags can't."""
    tag = headers.get("ETag", "")
    strong = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")
    text = json.dumps({"validator": strong})
    write_atomically(_validator(part), text.encode(), option="--data")


def _read_validator(part: Path) -> str:
    with contextlib.suppress(OSError, ValueError, KeyError):
        return str(json.loads(_validator(part).read_text())["validator"])
    return ""


def _write_hash(path: Path, found: str) -> None:
    text = f"{found}  {path.name}\n"
    write_atomically(path.with_name(f"{path.name}.sha256"), text.encode(), option="--data")


def _read_hash(path: Path) -> str:
    with contextlib.suppress(OSError, IndexError):
        return path.with_name(f"{path.name}.sha256").read_text().split()[0]
    return ""
