"""Which files of a folder are results of vcam, and no scans."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

LOG_NAME = re.compile(r"results(-\d+-of-\d+)?\.(jsonl|csv)")
_RESULT = "_result.json"
_WRITTEN = re.compile(r".*_(heatmap|overlay|mask)\.(nii\.gz|png)")


def own_results(folder: Path, names: Iterable[str]) -> set[str]:
    """Names of logs, of what they list, and of NAME_… beside NAME_result.json."""
    names = list(names)
    stems = [name.removesuffix(_RESULT) for name in names if name.endswith(_RESULT)]
    own = {stem + _RESULT for stem in stems}
    prefixes = tuple(f"{stem}_" for stem in stems)
    own |= {n for n in names if prefixes and n.startswith(prefixes) and _WRITTEN.fullmatch(n)}
    logs = {name for name in names if LOG_NAME.fullmatch(name)}
    for log in logs:
        if log.endswith(".jsonl"):
            own |= _listed(folder / log)
    return own | logs


def _listed(log: Path) -> set[str]:
    """Files directly in the folder of a log that it says were written."""
    listed = set()
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            listed |= {str(name) for name in json.loads(line).get("files", ())}
        except (ValueError, AttributeError, TypeError):
            continue  # torn by a crash, or another's file of this name
    return listed
