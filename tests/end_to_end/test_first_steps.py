"""A new user's first steps, mistakes included; docs/first-steps.md is their transcript.

`VCAM_UPDATE_DOCS=1 pytest tests/end_to_end/test_first_steps.py` writes it. Numbers differ from
machine to machine, so only the words are compared.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

if TYPE_CHECKING:
    from served.server import ServerUnderTest

TRANSCRIPT = Path(__file__).resolve().parents[2] / "docs" / "first-steps.md"
HEAD = """# First steps, and first mistakes

What a new user sees, made by `tests/end_to_end/test_first_steps.py` with a model that learned
nothing. Every mistake should lead to the next step; tell us where one doesn't.
"""
NOBODY = "127.0.0.1:1"
DEFAULT = "127.0.0.1:8500"


@dataclass(frozen=True)
class Step:
    """A command, what it is tried for, and what its answer must lead to."""

    why: str
    command: str
    code: int = 0
    leads_to: str = ""
    served: bool = True


STEPS = (
    Step("What is there?", "vcam-client --help", leads_to="vcam-client predict scan.nii.gz"),
    Step("What is in this scan?", "vcam-client inspect scan.nii.gz", served=False),
    Step("No server yet.", "vcam-client predict scan.nii.gz", 1, "vcam-serve MODELS", False),
    Step("What is wrong?", "vcam-client doctor", 1, "Is the server started", False),
    Step(
        "With `vcam-serve models` running, which serves several models by name.",
        "vcam-client predict scan.nii.gz",
        1,
        "--model NAME",
    ),
    Step("Is it there?", "vcam-client status --model ct", leads_to="AVAILABLE"),
    Step("What does it expect?", "vcam-client info --model ct", leads_to="labels"),
    Step("A slip.", "vcam-client predict scan.nii.gz --model ct --clas abnormal", 2, "--class"),
    Step(
        "A class that it doesn't know.",
        "vcam-client predict scan.nii.gz --model ct --class tumour",
        1,
        "Choose one of:",
    ),
    Step("What would be sent?", "vcam-client predict scan.nii.gz --model ct --dry-run"),
    Step("Now.", "vcam-client predict scan.nii.gz --model ct", leads_to="look at this first"),
    Step("No scan.", "vcam-client predict notes.txt --model ct", 1, "Give a scan"),
    Step("Many scans.", "vcam-client predict scans --model ct", 1, "--out FOLDER"),
    Step(
        "With a folder for the results.",
        "vcam-client predict scans --model ct --out results",
        1,
        "results.csv",
    ),
    Step(
        "Started again, it does what is missing.",
        "vcam-client predict scans --model ct --out results",
        1,
        "done before",
    ),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("scan", "scans/a", "scans/b"):
        path = tmp_path / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        data = rng.integers(-1000, 400, (30, 28, 24)).astype(np.int16)
        nib.save(nib.Nifti1Image(data, np.diag([-2.0, -2.0, 3.0, 1.0])), path)
    (tmp_path / "notes.txt").write_text("Remember the milk.\n" * 9)
    (tmp_path / "scans" / "broken.nii.gz").write_bytes((tmp_path / "scan.nii.gz").read_bytes()[:99])
    return tmp_path


def take(step: Step, folder: Path, address: str) -> tuple[int, str]:
    """Exit code and output, as a terminal shows it."""
    server = address if step.served else NOBODY
    program, *arguments = step.command.split()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VCAM_")}
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        cwd=folder,
        env={**environment, "VCAM_SERVER": server, "XDG_CONFIG_HOME": "/nowhere", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    shown = done.stdout.replace(server, DEFAULT).replace("/nowhere", "~/.config")
    return done.returncode, shown.rstrip()


def words(text: str) -> list[str]:
    """What is compared: lines without numbers, and without what a version changes."""
    text = re.sub(r"^versions .*$", "versions", text, flags=re.M)
    text = re.sub(r"\[Errno \d+\] [\w ]+", "", text)
    return [re.sub(r"[-+]?\d[\d.,e+-]*", "#", line).strip() for line in text.splitlines()]


def test_each_step_leads_to_the_next(folder: Path, server: "ServerUnderTest") -> None:
    blocks = [HEAD]
    for step in STEPS:
        code, output = take(step, folder, server.address)
        assert code == step.code, f"{step.command}\n{output}"
        assert step.leads_to in output, step.command
        assert "Traceback" not in output
        blocks.append(f"{step.why}\n\n```text\n$ {step.command}\n{output}\n```\n")
    text = "\n".join(blocks)
    if os.environ.get("VCAM_UPDATE_DOCS"):
        TRANSCRIPT.write_text(text, encoding="utf-8")
    assert words(TRANSCRIPT.read_text(encoding="utf-8")) == words(text), "set VCAM_UPDATE_DOCS=1"
    shutil.rmtree(folder / "results")
