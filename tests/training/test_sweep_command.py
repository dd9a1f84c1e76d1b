"""`vcam-train sweep`."""

import sys
from pathlib import Path

import pytest

from vcam_training import _cli, train
from vcam_training.run_folder import read_config


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
def test_the_command_keeps_finished_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    arguments = ["vcam-train", "sweep", "discs", "--tiny", "--out", str(tmp_path / "s")]
    arguments += ["--set", "epochs=1", "--over", "data.images=8", "--data", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    written: list[int] = []
    place = tmp_path / "s/data.images=8/seed=0"

    def call(*more: str) -> str:
        monkeypatch.setattr(sys, "argv", [*arguments, *more])
        with pytest.raises(SystemExit) as stopped:
            _cli.main()
        assert not stopped.value.code
        written.append((place / "best.keras").stat().st_mtime_ns)
        return capfd.readouterr().out

    said = call()
    assert "accuracy\ndata.images  seeds" in said
    assert read_config(place).data.images == 8
    call("--metric", "AUC")
    monkeypatch.setattr(sys, "argv", [*arguments, "--metric", "foo", "--seeds", "0,1"])
    with pytest.raises(SystemExit) as stopped:
        _cli.main()
    assert stopped.value.code == 1
    assert "'AUC', " in capfd.readouterr().err
    assert not (tmp_path / "s/data.images=8/seed=1").exists()
    assert written[0] == written[1]
    assert {path.name for path in (tmp_path / "s").iterdir()} == {
        "data.images=8",
        "sweep.csv",
        "sweep.json",
        "sweep.png",
    }


def test_interrupting_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "run", interrupted)
    monkeypatch.setattr(sys, "argv", ["vcam-train", "sweep", "discs", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        _cli.main()
    assert stopped.value.code == 130
    assert "The same command goes on" in capfd.readouterr().err
