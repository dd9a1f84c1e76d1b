"""Damaged files and answers give an error of vcam's, a volume or a prediction: no crash, hang,
leak or warning."""

import json
import random
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from real_scans import ROOT, needs_data
from soak.run import PEAK_LIMIT_MB, soak

from vcam_client.errors import InputError, VcamError

CASES = 4000
"""`make soak` reads 20,000, and of other seeds."""
ANSWERS = 300
"""`make soak` asks for 5,000."""

_EACH = """
import json, resource, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import soak.worker as worker

resource.setrlimit(resource.RLIMIT_AS, (worker.ADDRESS_SPACE, worker.ADDRESS_SPACE))
for line in sys.stdin:
    path = Path(line.rstrip("\\n"))
    print(json.dumps({"file": path.name}), flush=True)
    print(json.dumps(worker.outcome(path)), flush=True)
"""


def test_damaged_files_give_an_error_or_a_volume() -> None:
    report = soak(seed=0, first=0, count=CASES)
    assert report.failures == {}
    assert report.cases == CASES
    assert report.peak_mb < PEAK_LIMIT_MB
    # mutations that are always or never noticed would tell nothing
    assert report.outcomes["Volume"] > CASES / 10
    assert report.outcomes["CorruptFileError"] > CASES / 10


def test_damaged_answers_of_servers_give_an_error_or_a_prediction() -> None:
    report = soak(seed=0, first=0, count=ANSWERS, what="answers")
    assert report.failures == {}
    assert report.cases == ANSWERS
    assert report.peak_mb < PEAK_LIMIT_MB
    assert report.outcomes["Prediction"] > ANSWERS / 20
    assert report.outcomes["ContractError"] > ANSWERS / 5
    assert report.outcomes["ServerUnavailableError"] > ANSWERS / 50


def test_the_harness_sees_what_answers_must_not_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    from soak import answer_worker as worker

    def predicted(kind: str, address: str) -> object:
        print("noise", file=sys.stderr)
        warnings.warn("a warning", stacklevel=1)
        raise failure

    monkeypatch.setattr(worker, "_predicted", predicted)
    for failure in (ZeroDivisionError("x"), VcamError(f"said {worker.TOKEN}")):
        found = str(worker.outcome("rest", random.Random(0))["wrong"])
        assert "warning escaped: UserWarning" in found
        assert "printed: noise" in found
        assert ("ZeroDivisionError" in found) == (not isinstance(failure, VcamError))
        assert ("secret told" in found) == isinstance(failure, VcamError)


def test_the_harness_sees_what_must_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    from soak import worker

    def raises(path: Path) -> None:
        raise KeyError(path)

    def warns(path: Path) -> None:
        import warnings

        warnings.warn("about a patient", UserWarning, stacklevel=2)

    def names(path: Path) -> None:
        raise InputError("damaged (NotImplementedError)")

    wrongs = ((raises, "KeyError"), (warns, "warning escaped"), (names, "NotImplementedError"))
    for reader, word in wrongs:
        monkeypatch.setattr(worker, "read_volume", reader)
        assert word in str(worker.outcome(Path("x"))["wrong"])


@needs_data
@pytest.mark.parametrize("folder", ["invalid", "dicom", "nifti"])
def test_every_file_at_hand_is_read_or_refused(folder: str) -> None:
    files = sorted(p for p in (ROOT / folder).rglob("*") if p.is_file())
    files += sorted(p for p in (ROOT / folder).rglob("*") if p.is_dir())
    if not files:
        pytest.skip(f"no folder {folder!r} among the real scans")
    done = subprocess.run(
        [sys.executable, "-c", _EACH, str(Path(__file__).resolve().parents[1])],
        input="\n".join(map(str, files)),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"ended within {lines[-1]}: {done.stderr[-500:]}"
    assert done.stderr == ""
    wrong = {name["file"]: out["wrong"] for name, out in zip(lines[::2], lines[1::2], strict=True)}
    assert {name: text for name, text in wrong.items() if text} == {}
    assert len(lines) == 2 * len(files)
