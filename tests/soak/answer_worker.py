"""Asks servers whose answers are damaged, over REST and gRPC, within 6 GiB of addresses.

    answer_worker.py SEED FIRST COUNT

One line of JSON before each case and one after it, as worker.py has them.
"""

import asyncio
import contextlib
import io
import os
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

os.environ["GRPC_VERBOSITY"] = "NONE"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from client.test_client import SCAN
from soak.grpc_answers import grpc_server
from soak.http_answers import bombs, http_server
from soak.worker import peak_mb, say

from vcam_client import AsyncClient, Client
from vcam_client.errors import VcamError

ADDRESS_SPACE = 6 * 2**30
SECONDS = 60
"""Of a case: far more than its calls may take."""
TIMEOUT_S = 0.5
TOKEN = "t0ken-that-nobody-may-read"
KINDS = ("rest", "rest", "async rest", "grpc", "aio")


def main(seed: int, first: int, count: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    bombs()  # some seconds, so that no case waits for them
    for case in range(first, first + count):
        kind = KINDS[case % len(KINDS)]
        say(case=case, input=kind)
        found = outcome(kind, random.Random(f"{seed}/{case}"))
        say(case=case, **found, peak_mb=peak_mb())


def outcome(kind: str, rng: random.Random) -> dict[str, object]:
    """What a prediction gives: itself, an error of vcam's, or what must not be."""
    wrong = text = ""
    printed = io.StringIO()
    server = http_server(rng) if "rest" in kind else grpc_server(rng)
    with server as address:
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stderr(printed):
            warnings.simplefilter("always")
            try:
                what, text = "Prediction", repr(_predicted(kind, address))
            except VcamError as error:
                what, text = type(error).__name__, str(error)
            except BaseException:
                what, wrong = "escaped", traceback.format_exc(limit=-6)
        seconds = time.perf_counter() - start
        signal.setitimer(signal.ITIMER_REAL, 0)
    if caught:
        wrong += f"\nwarning escaped: {caught[0].category.__name__}: {caught[0].message}"
    if printed.getvalue():
        wrong += f"\nprinted: {printed.getvalue()[:300]}"
    if TOKEN in text:
        wrong += f"\nsecret told: {text[:300]}"
    if what != "Prediction" and len(text) > 2000:
        wrong += f"\na message of {len(text)} characters: {text[:300]}"
    return {"what": what, "wrong": wrong, "seconds": round(seconds, 3)}


def _predicted(kind: str, address: str) -> object:
    options = {"timeout": TIMEOUT_S, "retries": 1, "token": TOKEN}
    if kind in ("rest", "grpc"):
        with Client(address, **options) as client:
            return client.predict(SCAN).scores

    async def predicted() -> object:
        async with AsyncClient(address, **options) as client:
            return (await client.predict(SCAN)).scores

    return asyncio.run(predicted())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
