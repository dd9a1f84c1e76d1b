"""What a run that is started again has left to do."""

from collections.abc import Mapping, Sequence
from typing import Any

from vcam_client.batch._item import ScanItem
from vcam_client.batch._log import ResultLog, other_logs, read_records
from vcam_client.batch._record import DONE, Asked, is_done
from vcam_client.errors import InputError

_ADVICE = "Give another folder with --out, or do all of them again with --again."


def missing(
    items: Sequence[ScanItem], log: ResultLog, asked: Asked, version: int
) -> list[ScanItem]:
    """Scans that no log in the folder has as done: in their order, those that failed last.

    So a scan that stops the run does not stop each further one before the others are done.

    Args:
        items: of this run.
        log: this run's.
        asked: what is asked now.
        version: of the model, as it is served now.

    Raises:
        InputError: the logs hold answers to another question, or of another version.
    """
    records = list(log.records.values())
    _require_same(records, asked, log)
    versions = {record["model_version"] for record in records if record["status"] == DONE}
    if versions and version not in versions:
        raise InputError(
            f"{log.path} holds results of version {', '.join(map(str, sorted(versions)))} of the "
            f"model, the server has version {version} now. {_ADVICE}"
        )
    known: dict[str, Mapping[str, Any]] = {}
    for path in other_logs(log.path.parent, log.path):
        others = read_records(path)
        _require_same(others, asked, log)
        known.update((str(r["key"]), r) for r in others if r["status"] == DONE)
    known |= log.records
    left = [item for item in items if not is_done(known.get(item.key), item)]
    return sorted(left, key=lambda item: item.key in known)


def _require_same(records: Sequence[Mapping[str, Any]], asked: Asked, log: ResultLog) -> None:
    now = asked.to_dict()
    then = next((r["asked"] for r in records if r["status"] == DONE and r["asked"] != now), None)
    if then is None:
        return
    names = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    before = ", ".join(_said(name, then) for name in names)
    after = ", ".join(_said(name, now) for name in names)
    raise InputError(
        f"{log.path.parent} holds results of another question: {before}; now {after}. {_ADVICE}"
    )


def _said(name: str, asked: Mapping[str, Any]) -> str:
    return f"{name} {asked[name]!r}" if name in asked else f"{name} by default"
