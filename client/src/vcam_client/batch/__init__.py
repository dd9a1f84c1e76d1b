"""Scans by the thousand: found, scored with bounded memory, logged as they finish.

    from vcam_client import Client
    from vcam_client.batch import find_scans, run_batch

    with Client("127.0.0.1:8500") as client:
        summary = run_batch(client, find_scans(["scans/"]), "results")
    print(summary.text)

docs/folders.md describes what is found, the log, shards and how a run is taken up again.
"""

from vcam_client.batch._finding import find_scans
from vcam_client.batch._item import FoundScans, ScanItem
from vcam_client.batch._progress import Progress, ProgressPrinter
from vcam_client.batch._runner import run_batch
from vcam_client.batch._shards import Shard
from vcam_client.batch._summary import BatchSummary

__all__ = [
    "BatchSummary",
    "FoundScans",
    "Progress",
    "ProgressPrinter",
    "ScanItem",
    "Shard",
    "find_scans",
    "run_batch",
]
