"""Where options come from: flag, variable, configuration file, default; and the commands around."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from vcam_client._cli import main

if TYPE_CHECKING:
    from served.server import ServerUnderTest

NOBODY = "127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SERVER", "MODEL", "CONFIG", "TOKEN", "TLS", "CA", "CERT", "KEY", "TIMEOUT"):
        monkeypatch.delenv(f"VCAM_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def write_settings(folder: Path, text: str) -> Path:
    path = folder / "config" / "vcam" / "client.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_flag_wins_over_variable_over_file(
    server: "ServerUnderTest", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(tmp_path, f'server = "{server.address}"\nmodel = "ct"\n')
    assert run("info").output.startswith("model")
    assert "served as 'ct'" in run("info").output
    monkeypatch.setenv("VCAM_MODEL", "mr")
    assert "served as 'mr'" in run("info").output
    assert "served as 'findings'" in run("info", "--model", "findings").output


def test_the_file_can_be_named(
    server: "ServerUnderTest", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text(f'server = "{server.address}"\nmodel = "mr"\n')
    monkeypatch.setenv("VCAM_CONFIG", str(tmp_path / "mine.toml"))
    assert "served as 'mr'" in run("info").output
    monkeypatch.setenv("VCAM_CONFIG", str(tmp_path / "gone.toml"))
    gone = run("info")
    assert gone.exit_code == 1
    assert "gone.toml" in gone.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sever = 'host'", "received sever"),
        ("server = host", "can't be read"),
        ("metadata = 3", "Expected a table [metadata]"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = write_settings(tmp_path, text)
    done = run("info")
    assert done.exit_code == 1
    assert message in done.output
    assert str(path) in done.output


def test_status_lists_versions(server: "ServerUnderTest") -> None:
    done = run("status", "--server", server.address, "--model", "ct")
    assert done.exit_code == 0
    assert "version 1  AVAILABLE" in done.output
    listed = json.loads(run("status", "--server", server.address, "--model", "ct", "--json").output)
    assert [(v["version"], v["state"]) for v in listed] == [(1, "AVAILABLE")]
    missing = run("status", "--server", server.address, "--model", "nope")
    assert missing.exit_code == 1
    assert "--model NAME" in missing.output


@pytest.mark.parametrize(
    "model", ["ct", "mr", "radiograph", "slices", "regression", "findings", "bright"]
)
def test_doctor_makes_a_round_trip_with_every_kind_of_model(
    server: "ServerUnderTest", model: str
) -> None:
    done = run("doctor", "--server", server.address, "--model", model)
    assert done.exit_code == 0, done.output
    steps = [line.split("  ")[0] for line in done.output.splitlines() if "  ok " in line]
    assert steps == ["versions", "address", "health", "model", "contract", "round trip"]


def test_doctor_names_the_step_that_fails(server: "ServerUnderTest") -> None:
    nobody = run("doctor", "--server", NOBODY)
    assert nobody.exit_code == 1
    assert "address     FAILED" in nobody.output
    assert "Is the server started" in nobody.output
    wrong = run("doctor", "--server", server.address, "--model", "nope")
    assert wrong.exit_code == 1
    assert "--model NAME" in wrong.output
    unknown = run("doctor", "--server", "no-such-host.invalid:8500")
    assert unknown.exit_code == 1
    assert "is not known" in unknown.output


def test_both_version_and_label_are_refused() -> None:
    done = run("info", "--model-version", 1, "--version-label", "stable")
    assert done.exit_code == 1
    assert "received both" in done.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_back(shell: str) -> None:
    done = run("completion", shell)
    assert done.exit_code == 0
    assert "_VCAM_CLIENT_COMPLETE" in done.output


def test_a_scan_in_place_of_a_command_gets_advice(tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii"
    scan.touch()
    done = run(scan)
    assert done.exit_code == 2
    assert f"vcam-client predict {scan}" in done.output
