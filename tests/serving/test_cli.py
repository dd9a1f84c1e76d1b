"""The command vcam-serve."""

import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from served.calls import rest

from vcam_client.client import Client
from vcam_serving._cli import main

if TYPE_CHECKING:
    from golden import Golden

COMMAND = Path(sys.executable).with_name("vcam-serve")
PATIENCE_SECONDS = 60


def ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_help_does_not_import_tensorflow() -> None:
    code = (
        "import sys; from vcam_serving._cli import main; main(['--help'], standalone_mode=False); "
        "sys.exit('tensorflow' in sys.modules or 'grpc' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Serve PATH the way TensorFlow Serving does" in done.stdout


def test_a_missing_path_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path / "nope")])
    assert result.exit_code == 255
    assert result.output.startswith("vcam-serve: Expected a folder of versions or of models")
    assert len(result.output.splitlines()) == 1


def test_a_wrong_port_is_a_usage_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path), "--port", "70000"])
    assert result.exit_code == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_and_stops(golden: "dict[str, Golden]", number: signal.Signals) -> None:
    process = subprocess.Popen(
        [COMMAND, golden["bright"].path.parent, "--port", "0", "--rest-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        lines = []
        for line in process.stdout:
            lines.append(line.split())
            if line.startswith("  vcam-client"):
                break
        said = {words[0]: words[1:] for words in lines if words}
        assert said["default"] == ["version", "1"]
        [address], [url] = said["gRPC"], said["REST"]
        assert said["vcam-client"] == ["predict", "scan.nii", "--server", address]
        assert rest(url.split("/")[2], "GET", "/v1/models/default")[0] == 200
        process.send_signal(number)
        out, log = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert out == "Stopping.\n"
    assert "default version 1: available" in log
    assert "Traceback" not in log


def test_tensor_content_beside_rest_is_refused(golden: "dict[str, Golden]") -> None:
    flag = "--enable-serialization-as-tensor-content"
    for ports in ([], ["--rest-port", "0"]):
        result = CliRunner().invoke(main, [str(golden["bright"].path.parent), flag, *ports])
        assert result.exit_code == 1
        assert result.output.startswith(f"vcam-serve: Expected --no-rest with {flag}")
        assert "zeros" in result.output
        assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "where", "rest_where"),
    [
        (["--host", "::1"], "[::1]", "[::1]"),
        (["--host", "::"], "[::1]", "[::]"),
        (["--no-rest", "--enable-serialization-as-tensor-content"], "127.0.0.1", ""),
    ],
    ids=["IPv6", "every network", "without REST"],
)
def test_the_printed_lines_work(
    golden: "dict[str, Golden]", options: list[str], where: str, rest_where: str
) -> None:
    if where.startswith("[") and not ipv6():
        pytest.skip("no IPv6 here")
    command = [COMMAND, golden["bright"].path.parent, "--port", "0", "--rest-port", "0", *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith("  vcam-client"):
                    break
            said = {words[0]: words[1:] for words in map(shlex.split, lines) if words}
            address = said["vcam-client"][-1]
            assert address.startswith(f"{where}:")
            with Client(address) as client:
                assert client.health()
            assert bool(rest_where) == ("REST" in said)
            if rest_where:
                [url] = said["REST"]
                assert url.startswith(f"http://{rest_where}:")
                assert rest(url.split("/")[2], "GET", "/v1/models/default")[0] == 200
        finally:
            process.kill()


def test_a_port_in_use_is_one_line(golden: "dict[str, Golden]") -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [COMMAND, golden["bright"].path.parent, "--port", port, "--rest-port", "0"],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"vcam-serve: Expected 127.0.0.1:{port} to be free")
    assert len(done.stderr.splitlines()) == 1
