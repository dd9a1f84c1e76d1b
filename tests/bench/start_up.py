"""How long the client takes to start, beside the official way to call TensorFlow Serving.

Processes take turns; medians of them. The peer is the first import of every example for
TensorFlow Serving: its generated messages, which need TensorFlow.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

PEER = "import tensorflow_serving.apis.predict_pb2"
ROUNDS = 7
_MEASURED = """
import json, resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(json.dumps(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024))
"""


def run() -> list[dict]:
    """Rows for the command's help, and for the import of the package and of its client."""
    python = sys.executable
    command = str(Path(python).with_name("vcam-client"))
    sides = {
        "vcam-client --help": ([command, "--help"], 0.06),
        "import vcam_client": ([python, "-c", "import vcam_client"], 0.15),
        "import Client": ([python, "-c", "from vcam_client import Client"], 0.15),
    }
    peer = [python, "-c", PEER]
    seconds: dict[str, list[float]] = {name: [] for name in (*sides, "peer")}
    for _ in range(ROUNDS):
        for name, (arguments, _limit) in sides.items():
            seconds[name].append(_seconds(arguments))
        seconds["peer"].append(_seconds(peer))
    middle = {name: statistics.median(each) for name, each in seconds.items()}
    return [
        {
            "name": name,
            "what": f"{1000 * middle[name]:.0f} ms",
            "peer": f"{PEER}, {1000 * middle['peer']:.0f} ms",
            "ratio": middle[name] / middle["peer"],
            "limit": limit,
            "peak_memory_mb": _memory(arguments),
        }
        for name, (arguments, limit) in sides.items()
    ]


def _seconds(arguments: list[str]) -> float:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    start = time.perf_counter()
    subprocess.run(arguments, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def _memory(arguments: list[str]) -> float:
    """Peak of a process, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *arguments], capture_output=True, text=True, check=True
    )
    return float(json.loads(done.stdout))
