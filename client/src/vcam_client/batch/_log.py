"""The log of a run: results.jsonl and results.csv, whole at any moment.

One record for each outcome, appended and synced to disk. A line that a crash tore is
dropped when the log is opened again. The table follows from the log.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from vcam_client.batch import _table
from vcam_client.batch._own_results import LOG_NAME
from vcam_client.errors import InputError, OutputError
from vcam_client.write_errors import write_error
from vcam_client.writing import write_atomically

Record = Mapping[str, Any]


class ResultLog:
    """One log, held by one process. Use it as a context manager.

    Args:
        folder: where it lies; made where it does not exist.
        suffix: "" or that of a shard.
        labels: of the model's scores, for the columns of the table.
        again: forget what it held.

    Raises:
        OutputError: it can't be written, or another process has it open.
        InputError: it is no log of vcam.

    Attributes:
        path, table: of the .jsonl and of the .csv.
        records: what it held when it was opened, the latest of each key.
    """

    def __init__(
        self, folder: Path, suffix: str = "", *, labels: Sequence[str] = (), again: bool = False
    ) -> None:
        self.path = folder / f"results{suffix}.jsonl"
        self.table = folder / f"results{suffix}.csv"
        self._lock = _locked(folder / f".results{suffix}.lock", self.path)
        self._streams: dict[Path, FileIO] = {}
        try:
            held = [] if again or not self.path.exists() else read_records(self.path)
            self.records = {str(record["key"]): record for record in held}
            self._labels = _table.labels_in(held, labels)
            self._write_anew()
        except BaseException:
            self.close()
            raise

    def forget(self, keys: Collection[str]) -> None:
        """Takes records out that are about to be made again."""
        if any(key in self.records for key in keys):
            gone = set(keys)
            self.records = {k: record for k, record in self.records.items() if k not in gone}
            self._write_anew()

    def append(self, record: Record) -> None:
        """Adds a record; it is on disk, or the log is as it was.

        Raises:
            OutputError: no space left, or the like.
        """
        self._append(self.path, _encoded(record))
        labels = _table.labels_in([record], self._labels)
        if labels == self._labels:
            self._append(self.table, self._row(record))
            return
        self._labels = labels  # a new version of the model has other labels
        self._write_table(read_records(self.path))

    def close(self) -> None:
        """Lets go of the log."""
        for stream in self._streams.values():
            stream.close()
        self._lock.close()

    def __enter__(self) -> "ResultLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write_anew(self) -> None:
        content = b"".join(map(_encoded, self.records.values()))
        if not self.path.exists() or self.path.read_bytes() != content:
            write_atomically(self.path, content)
        self._reopen(self.path)
        self._write_table(self.records.values())

    def _write_table(self, records: Iterable[Record]) -> None:
        header = _table.line(_table.columns_for(self._labels)).encode()
        write_atomically(self.table, header + b"".join(map(self._row, records)))
        self._reopen(self.table)

    def _row(self, record: Record) -> bytes:
        columns = _table.columns_for(self._labels)
        return _table.row(record, columns).encode("utf-8", "backslashreplace")

    def _reopen(self, path: Path) -> None:
        if path in self._streams:
            self._streams[path].close()
        try:
            self._streams[path] = path.open("ab", buffering=0)
        except OSError as error:
            raise _unwritable(path, error) from error

    def _append(self, path: Path, content: bytes) -> None:
        """All of `content`, on disk, or nothing of it."""
        stream = self._streams[path]
        before = os.fstat(stream.fileno()).st_size
        try:
            left = memoryview(content)
            while left:
                left = left[stream.write(left) :]
            os.fsync(stream.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # a torn line is dropped at the next start
                stream.truncate(before)
            raise _unwritable(path, error) from error


def read_records(path: Path) -> list[Record]:
    """The records of a log that another process may be writing: its whole lines.

    Raises:
        InputError: it is no log of vcam.
    """
    content = path.read_bytes()
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    records = []
    for number, line in enumerate(lines, 1):
        record = _decoded(line)
        if record is not None:
            records.append(record)
        elif number < len(lines):
            raise InputError(
                f"Line {number} of {path} is no record of a run of vcam. Choose another folder "
                "with --out, or move that file away."
            )
    return records


def other_logs(folder: Path, own: Path) -> list[Path]:
    """Logs of other shards."""
    found = (path for path in folder.glob("results*.jsonl") if LOG_NAME.fullmatch(path.name))
    return sorted(path for path in found if path != own)


def _locked(lock: Path, log: Path) -> IO[bytes]:
    """A file that is locked until it is closed; of its own, as the log is replaced at times."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        stream = lock.open("ab")
    except OSError as error:
        raise _unwritable(lock, error) from error
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        stream.close()
        if not isinstance(error, BlockingIOError):
            raise _unwritable(lock, error) from error
        raise OutputError(
            f"Another run writes {log}. Wait until it is finished, choose another folder with "
            "--out, or share the scans out with --shard."
        ) from None
    return stream


def _encoded(record: Record) -> bytes:
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # a file name that is no text
        return json.dumps(record, allow_nan=False).encode() + b"\n"


def _decoded(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "key" in record and "status" in record else None


def _unwritable(path: Path, error: OSError) -> OutputError:
    found = write_error(path, error, "--out")
    assert found is not None  # as for every OSError
    return found
