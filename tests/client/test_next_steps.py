"""Commands that messages advise reach the same server and model as the one before."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from client.stand_in import StandIn, stand_in

from vcam_client import Client
from vcam_client._cli import main
from vcam_client._cli.connecting import options_given
from vcam_client._cli.doctor import doctor
from vcam_client.errors import ServerUnavailableError


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as state:
        yield state


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "client.toml"
    path.touch()
    monkeypatch.setenv("VCAM_CONFIG", str(path))
    monkeypatch.delenv("VCAM_SERVER", raising=False)
    return path


def advised(*arguments: str) -> str:
    done = CliRunner().invoke(main, ["doctor", *arguments])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()[-1]


def test_doctor_repeats_the_options_it_was_given(server: StandIn) -> None:
    given = ["--server", server.address, "--metadata", "x-key=secret", "--retries", "2"]
    assert advised(*given) == (
        f"All is well: vcam-client predict SCAN --server {server.address} --retries 2 "
        "--metadata x-key=…"
    )


def test_doctor_leaves_out_what_holds_without_options(
    server: StandIn, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.write_text(f'server = "{server.address}"\n')
    assert advised() == "All is well: vcam-client predict SCAN"
    assert advised("--server", server.address) == "All is well: vcam-client predict SCAN"
    settings.write_text("")
    monkeypatch.setenv("VCAM_SERVER", server.address)
    assert advised() == "All is well: vcam-client predict SCAN"


@pytest.mark.parametrize(
    ("arguments", "repeated"),
    [
        (["--server", "[::1]:8730"], ["--server '[::1]:8730'"]),
        (["--server", "127.0.0.1:8500", "--tls"], ["--tls"]),
        (
            ["--model", "my model", "--model-version", "3"],
            ["--model 'my model'", "--model-version 3"],
        ),
        ([], []),
    ],
)
def test_options_are_repeated_for_the_shell(arguments: list[str], repeated: list[str]) -> None:
    assert options_given(doctor.make_context("doctor", list(arguments))) == repeated


def test_a_default_is_repeated_where_a_variable_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VCAM_SERVER", "elsewhere:8500")
    context = doctor.make_context("doctor", ["--server", "127.0.0.1:8500"])
    assert options_given(context) == ["--server 127.0.0.1:8500"]


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("127.0.0.1:1", "--server HOST:PORT."),
        ("unix:gone.sock", "--server unix:PATH."),
        ("http://127.0.0.1:1", "--server http://HOST:PORT."),
    ],
)
def test_where_nobody_answers_the_form_given_is_named(address: str, form: str) -> None:
    with (
        Client(address, retries=1, timeout=5) as client,
        pytest.raises(ServerUnavailableError) as found,
    ):
        client.spec()
    assert str(found.value).endswith(form)


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("::1:1", "Where 1 is the port, write [::1]:1."),
        ("http://::1:1", "Where 1 is the port, write http://[::1]:1."),
        ("[::1]:1", None),
        ("127.0.0.1:1", None),
    ],
)
def test_a_port_without_brackets_before_it_is_doubted(address: str, hint: str | None) -> None:
    with (
        Client(address, retries=1, timeout=5) as client,
        pytest.raises(ServerUnavailableError) as found,
    ):
        client.spec()
    assert (hint in str(found.value)) if hint else ("is the port" not in str(found.value))
    shown = CliRunner().invoke(main, ["doctor", "--server", address])
    assert shown.exit_code == 1
    assert (hint in shown.output) if hint else ("is the port, write" not in shown.output)


def test_the_path_of_a_forgotten_command_is_quoted(tmp_path: Path) -> None:
    scan = tmp_path / "my scan.nii"
    scan.touch()
    done = CliRunner().invoke(main, [str(scan)])
    assert done.exit_code == 2
    assert f"vcam-client predict '{scan}'" in done.output


def test_an_unknown_command_is_refused_even_where_it_is_a_path(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [str(tmp_path / "scan.nii")])
    assert done.exit_code == 2
    assert f"No such command '{tmp_path / 'scan.nii'}'." in done.output


def test_an_affine_has_no_negative_zero(tmp_path: Path) -> None:
    affine = np.array([[-2, -0.0, 1e-9, -1], [-0.0, -2, -1e-9, 0], [0, 0, 3, -0.0], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), affine), tmp_path / "scan.nii")
    shown = CliRunner().invoke(main, ["inspect", str(tmp_path / "scan.nii")])
    assert "    -2.0000     0.0000     0.0000    -1.0000" in shown.output
    assert "-0.0000" not in shown.output
    as_json = CliRunner().invoke(main, ["inspect", str(tmp_path / "scan.nii"), "--json"])
    assert json.loads(as_json.output)["volume"]["affine_ras_mm"][2] == [0, 0, 3, 0]
    assert re.search(r"-0\.0\b", as_json.output) is None


@pytest.mark.parametrize("command", ["predict", "verify"])
def test_a_file_in_place_of_the_folder_of_results_is_named(command: str, tmp_path: Path) -> None:
    scan, taken = tmp_path / "scan.nii", tmp_path / "t.mgz"
    scan.touch()
    taken.touch()
    done = CliRunner().invoke(main, [command, str(scan), "--out", str(taken)])
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    assert f"expected a folder for the results, received the file '{taken}'. Name a folder" in said
