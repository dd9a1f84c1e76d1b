"""Commands of vcam run as another user of the machine, where the tests run as root."""

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

UID = 12345
"""A number without a name or a home folder, as users in containers have."""
_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class User:
    """Who runs a command.

    Attributes:
        uid: None for the user of the tests.
        python: an interpreter that this user may run.
    """

    uid: int | None
    python: str

    def run(
        self,
        command: str,
        *arguments: "str | bytes | Path",
        cwd: Path,
        env: Mapping[str, str] | None = None,
        through: str = "",
        **options: Any,
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs `vcam-client`, `vcam-train` or `vcam-serve`, with no variables but `env`.

        Args:
            command: which.
            arguments: of it.
            cwd: the current folder.
            env: variables of the environment.
            through: what a shell puts behind the command, such as "| head -1".
            options: of `subprocess.run`.
        """
        entry = {"vcam-client": "vcam_client._cli", "vcam-train": "vcam_training._cli",
                 "vcam-serve": "vcam_serving._cli"}[command]  # fmt: skip
        line = [self.python, "-c", f"import sys; sys.argv[0] = {command!r}; "
                f"from {entry} import main; main()", *arguments]  # fmt: skip
        if through:
            line = ["bash", "-o", "pipefail", "-c", f'"$@" {through}', "bash", *line]
        return subprocess.run(
            line,
            cwd=cwd,
            timeout=_SECONDS,
            check=False,
            **{
                **self.options,
                "env": {**_ENVIRONMENT, **(env or {})},
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                **options,
            },
        )

    @property
    def options(self) -> dict[str, Any]:
        """Of `subprocess.run`: who runs it, with which variables."""
        return {"env": _ENVIRONMENT, **({} if self.uid is None else _as(self.uid))}


def this_user() -> User:
    """The user of the tests."""
    return User(uid=None, python=sys.executable)


@functools.cache
def another_user() -> User:
    """A user without a home folder; skips the test where this one can't become it."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a command as another user")
    found = (sys.executable, shutil.which(f"python3.{sys.version_info.minor}", path="/usr/bin"))
    for python in filter(None, found):
        if _runs(python):
            return User(uid=UID, python=python)
    pytest.skip(f"no Python with the packages of these tests that user {UID} may run")


def _runs(python: str) -> bool:
    try:
        done = subprocess.run(
            [python, "-c", "import numpy, vcam_client.client, vcam_serving"],
            env=_ENVIRONMENT,
            cwd="/",
            capture_output=True,
            check=False,
            **_as(UID),
        )
    except OSError:
        return False
    return done.returncode == 0


def _as(uid: int) -> dict[str, Any]:
    return {"user": uid, "group": uid, "extra_groups": []}


def _sources() -> list[str]:
    """Folders of the packages of vcam where they are installed from a checkout."""
    site = Path(sysconfig.get_path("purelib"))
    links = site.glob("__editable__*vcam*.pth")
    return [line for link in links for line in link.read_text().splitlines()]


_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    # the interpreter of the system has the packages of these tests from here
    "PYTHONPATH": os.pathsep.join([sysconfig.get_path("purelib"), *_sources()]),
}
