"""A server in its own process that is started again a moment after it ends."""

import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from vcam_client import Client
from vcam_client.errors import VcamError

START_S = 90.0


class Revived:
    """Use it as a context manager.

    Attributes:
        starts: how often it was started.
    """

    def __init__(self, command: Sequence[object]) -> None:
        self._command = [str(part) for part in command]
        self.starts = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep)

    def _keep(self) -> None:
        while not self._over.is_set():
            self.starts += 1
            with subprocess.Popen(self._command) as process:
                while process.poll() is None and not self._over.wait(0.05):
                    pass
                process.kill()

    def __enter__(self) -> "Revived":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_served(address: str) -> None:
    """Returns once the model's spec is answered."""
    ends = time.monotonic() + START_S
    with Client(address, retries=1) as client:
        while True:
            try:
                client.spec()
                return
            except VcamError:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.1)
