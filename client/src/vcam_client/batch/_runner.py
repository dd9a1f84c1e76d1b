"""Runs scans through reading, resampling, the server and writing, several at a time.

Threads, each with one scan from end to end: decoding, resampling and packing release the
interpreter's lock, and a call waits. So memory is bounded by the number of threads, and
the steps of different scans overlap by themselves. The main thread alone writes the log.
"""

import errno
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vcam_client import errors
from vcam_client._one_line import one_line
from vcam_client._options import ReadOptions
from vcam_client._result_names import safe_labels
from vcam_client.batch import _record
from vcam_client.batch._gate import Gate
from vcam_client.batch._interrupts import Interrupts
from vcam_client.batch._item import ScanItem
from vcam_client.batch._log import ResultLog
from vcam_client.batch._patience import BREAKING, FATAL, GONE, MOST_BREAKS, Patience
from vcam_client.batch._progress import Progress
from vcam_client.batch._resume import missing
from vcam_client.batch._shards import Shard
from vcam_client.batch._summary import BatchSummary
from vcam_client.batch._task import Task
from vcam_client.client import Client
from vcam_client.errors import (
    IncompatibleScanError,
    InputError,
    OutputError,
    ServerBusyError,
    ServerMemoryError,
    VcamError,
)
from vcam_client.results import Choices

PATIENCE_S = 60.0
"""How long a run waits for a server that is gone."""
_MOST_WORKERS = 8
_WAITING_WORKERS = 2
"""Scans at the server, beside one for each core at work here."""
_TICK_S = 0.25

_OF_ONE_SCAN = (errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EINVAL)
"""Failures of writing that the name of one result causes; others meet every scan."""


def default_workers() -> int:
    """Scans under way at once, where nothing is said."""
    return min(_MOST_WORKERS, (os.cpu_count() or 1) + _WAITING_WORKERS)


def run_batch(
    client: Client,
    items: Sequence[ScanItem],
    out: Path | str,
    *,
    model: str = "default",
    version: int | None = None,
    version_label: str | None = None,
    choices: Choices | None = None,
    reading: ReadOptions | None = None,
    workers: int | None = None,
    shard: Shard | None = None,
    again: bool = False,
    patience: float = PATIENCE_S,
    on_progress: Callable[[Progress], None] | None = None,
) -> BatchSummary:
    """Scores and explains scans, and writes their results and a log of them.

    A scan that fails, fails alone. What the log in `out` has as done is not done again.
    In the main thread, SIGINT or SIGTERM makes the run finish the scans under way and
    stop; a second one ends the process at once.

    Args:
        client: where the model is.
        items: what `find_scans` found; all of them, also with a shard.
        out: folder for results.jsonl, results.csv and the files of each scan.
        model, version, version_label: which model answers; by default its newest version.
        choices, reading: as for `results.explain`.
        workers: scans under way at once; each holds its voxels in memory.
        shard: the part of the scans to take; the log is named after it.
        again: do all of them, whatever the log says.
        patience: seconds for which no call may be answered until the run stops.
        on_progress: called in this thread after each scan, and a few times a second. What
            it raises ends the run: scans under way are finished and logged, then it goes on.

    Raises:
        InputError: fewer than one worker, or a log of another model, version or choices.
        OutputError: the log can't be written, or another run has it.
        ServerError, ContractError: the model's spec can't be read at the beginning.
    """
    if workers is not None and workers < 1:
        raise InputError(f"Expected at least one worker, received {workers}.")
    out = Path(out)
    choices = choices or Choices()
    served = client.spec(model, version=version, label=version_label)
    if choices.label is not None and choices.label not in served.spec.labels:
        raise IncompatibleScanError(
            f"The model knows no label {choices.label!r}. Choose one of: "
            f"{', '.join(served.spec.labels)}."
        )
    if served.spec.explanations:
        served.spec.explanation(choices.method, choices.layer)
    if choices.all_classes:
        _require_apart(items, served.spec.labels)
    asked = _record.Asked(model=model, choices=choices, reading=reading or ReadOptions())
    own = list(items) if shard is None else shard.of(items)
    suffix = "" if shard is None else shard.suffix
    with ResultLog(out, suffix, labels=served.spec.labels, again=again) as log:
        todo = own if again else missing(own, log, asked, served.version)
        log.forget([item.key for item in todo])
        task = Task(
            client=client._without_repeats_of_broken_calls(),
            out=out,
            asked=asked,
            version=version,
            version_label=version_label,
        )
        run = _Run(task, todo, log, patience, len(own), on_progress)
        return run.finished(min(workers or default_workers(), max(1, len(todo))))


def _require_apart(items: Sequence[ScanItem], labels: Sequence[str]) -> None:
    """Results of a class must not have the name of another scan's."""
    names = {item.name.casefold() for item in items}
    parts = [part.casefold() for part in safe_labels(labels)]
    both = next((n for n in names for part in parts if f"{n}_{part}" in names), None)
    if both is not None:
        raise InputError(
            f"Results for all classes of {both} would have the name of another scan's. Rename "
            "one of the two, or do them in runs of their own with another --out."
        )


_OF_THE_SCAN = frozenset(
    kind.__name__
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.InputError)
)
"""Names of errors that come again until the scan itself is mended."""


@dataclass(kw_only=True)
class _Outcome:
    """Of one scan: a record, why the run stops, or both."""

    record: dict[str, Any] | None = None
    fatal: VcamError | None = None


@dataclass
class _Run:
    """One run: threads that take scans, and this one that writes down what came of them."""

    task: Task
    todo: Sequence[ScanItem]
    log: ResultLog
    patience_s: float
    total: int
    on_progress: Callable[[Progress], None] | None
    done: int = 0
    failed: int = 0
    unfit: int = 0
    stopped_by: VcamError | None = None
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.stop = threading.Event()
        self.patience = Patience(self.patience_s, self.stop)
        self.gate = Gate()
        self.workers = 1
        self.outcomes: queue.SimpleQueue[_Outcome | None] = queue.SimpleQueue()
        self._next = iter(self.todo)
        self._lock = threading.Lock()

    def finished(self, workers: int) -> BatchSummary:
        """Runs it to its end."""
        self.workers = workers
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        with Interrupts(self.stop) as interrupts:
            for thread in threads:
                thread.start()
            self._collect(workers, interrupts)
        self._say(finished=True)
        return BatchSummary(
            done=self.done,
            failed=self.failed,
            unfit=self.unfit,
            skipped=self.total - len(self.todo),
            left=len(self.todo) - self.done - self.failed,
            seconds=time.monotonic() - self.started,
            log=self.log.path,
            table=self.log.table,
            stopped_by=self.stopped_by,
            signal=interrupts.received,
        )

    def _collect(self, workers: int, interrupts: Interrupts) -> None:
        """Logs what the threads bring until the last has ended, whatever comes between."""
        working = workers
        try:
            while working:
                try:
                    outcome = self.outcomes.get(timeout=_TICK_S)
                except queue.Empty:
                    self._say(note=interrupts.note or self.patience.note)
                    continue
                if outcome is None:
                    working -= 1
                    continue
                self._take(outcome)
                if outcome.record is not None:
                    self._say(outcome.record, note=interrupts.note)
        except BaseException:
            self.stop.set()
            while working:
                outcome = self.outcomes.get()
                if outcome is None:
                    working -= 1
                else:
                    self._take(outcome)
            raise

    def _take(self, outcome: _Outcome) -> None:
        if outcome.record is not None:
            self._write_down(outcome.record)
        if self.stopped_by is None:
            self.stopped_by = outcome.fatal

    def _write_down(self, record: dict[str, Any]) -> None:
        try:
            self.log.append(record)
        except VcamError as error:
            self.stop.set()
            self.stopped_by = self.stopped_by or error
            return  # it is done again next time
        if record["status"] == _record.DONE:
            self.done += 1
        else:
            self.failed += 1
            self.unfit += record["error"]["type"] in _OF_THE_SCAN

    def _say(
        self, record: dict[str, Any] | None = None, *, note: str = "", finished: bool = False
    ) -> None:
        if self.on_progress is None:
            return
        error = (record or {}).get("error")
        self.on_progress(
            Progress(
                done=self.done,
                failed=self.failed,
                skipped=self.total - len(self.todo),
                total=self.total,
                seconds=time.monotonic() - self.started,
                note=note,
                failure=f"{one_line(record['key'])}: {error['message']}"
                if record and error
                else "",
                finished=finished,
            )
        )

    def _items(self) -> Iterator[ScanItem]:
        while not self.stop.is_set():
            with self._lock:
                item = next(self._next, None)
            if item is None:
                return
            yield item

    def _work(self) -> None:
        try:
            for item in self._items():
                outcome = self._outcome(item)
                if outcome is None:
                    return
                if outcome.fatal is not None:
                    self.stop.set()
                self.outcomes.put(outcome)
        finally:
            self.outcomes.put(None)

    def _outcome(self, item: ScanItem) -> _Outcome | None:
        """None where the run ended while the scan waited for the server."""
        try:
            return self._tried(item)
        except OutputError as error:
            if getattr(error.__cause__, "errno", None) not in _OF_ONE_SCAN:
                return _Outcome(fatal=error)
            return _Outcome(record=_record.failed(item, self.task.asked.to_dict(), error))
        except Exception as error:
            # whatever it is, it is this scan's: the thousand others go on
            return _Outcome(record=_record.failed(item, self.task.asked.to_dict(), error))

    def _tried(self, item: ScanItem) -> _Outcome | None:
        volume, seconds = self.task.read(item)
        attempt = breaks = 0
        alone = self.workers == 1
        while True:
            try:
                with self.gate.alone() if alone else self.gate.beside_others():
                    if (attempt or breaks) and self.stop.is_set():
                        return None
                    record = self.task.record(item, volume, seconds)
            except ServerMemoryError:
                if alone:
                    raise
                alone = True  # those beside it may have had the memory
            except BREAKING as error:
                breaks += 1
                alone = True
                if breaks == MOST_BREAKS:
                    if self.patience.broke():
                        raise  # alone with the server: it is this scan's failure
                    return _Outcome(fatal=error)
                if (ended := self._until_served(error)) is not None:
                    return None if self.stop.is_set() else ended
            except GONE + FATAL as error:
                if self.stop.is_set():
                    return None
                if not self.patience.wait(error, attempt):
                    return None if self.stop.is_set() else self._given_up(item, error)
                attempt += 1
            else:
                self.patience.answered()
                return _Outcome(record=record)

    def _given_up(self, item: ScanItem, error: VcamError) -> _Outcome:
        """The run ends; a scan that met a server which was there, but busy, is logged as failed.

        So the next run does it last: it may be this scan that there is never room for.
        """
        busy = isinstance(error, ServerBusyError)
        record = _record.failed(item, self.task.asked.to_dict(), error) if busy else None
        return _Outcome(record=record, fatal=error)

    def _until_served(self, error: VcamError) -> _Outcome | None:
        """Waits until the server is there again; an outcome where the run ends before."""
        attempt = 0
        while self.patience.wait(error, attempt):
            attempt += 1
            try:
                if self.task.is_served():
                    self.patience.is_back()
                    return None
            except GONE + FATAL as now:
                error = now
            except VcamError:  # something answers; the scan's call will say what
                return None
        return _Outcome(fatal=error)
