"""A run in a process of its own: batch_worker.py ADDRESS OUT PATH…; exits as the run says."""

import sys

from vcam_client import Client
from vcam_client.batch import ProgressPrinter, find_scans, run_batch

if __name__ == "__main__":
    with Client(sys.argv[1]) as client:
        items = find_scans(sys.argv[3:])
        printer = ProgressPrinter(sys.stderr)
        summary = run_batch(client, items, sys.argv[2], workers=2, on_progress=printer)
    print(summary.text)
    sys.exit(summary.exit_code)
