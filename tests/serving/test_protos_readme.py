"""protos/README.md: its Python and its curl lines, run against a server."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from served.calls import rest
from served.server import ServedModel, ServerUnderTest

from vcam_serving import EmbeddedServer

if TYPE_CHECKING:
    from golden import Golden

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "protos" / "README.md"
SERVER, REST_SERVER = "127.0.0.1:8500", "127.0.0.1:8501"
OFFICIAL = "tensorflow_serving"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.M | re.S)


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the README's protoc command makes."""
    [command] = [line for block in blocks("sh") for line in block.splitlines() if "protoc" in line]
    program, *arguments = shlex.split(command)
    (tmp_path / "generated").mkdir()
    arguments = [word.replace("=generated", f"={tmp_path}/generated") for word in arguments]
    subprocess.run([Path(sys.executable).with_name(program), *arguments], cwd=ROOT, check=True)
    monkeypatch.syspath_prepend(tmp_path / "generated")


@pytest.fixture(params=[False, True], ids=["typed fields", "tensor_content"])
def address(
    request: pytest.FixtureRequest, golden: "dict[str, Golden]", tmp_path: Path
) -> Iterator[str]:
    """A server with the model `ct`, in both ways to encode answers."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "ct").symlink_to(golden["ct"].path.parent)
    with EmbeddedServer(
        tmp_path / "models", port=0, rest_port=None, tensor_content=request.param
    ) as server:
        yield server.address


@pytest.mark.usefixtures("generated")
def test_with_our_protos(
    address: str, golden: "dict[str, Golden]", capsys: pytest.CaptureFixture[str]
) -> None:
    spec = golden["ct"].spec
    code = "\n".join(block for block in blocks("python") if OFFICIAL not in block)
    assert SERVER in code
    namespace: dict[str, object] = {}
    try:
        exec(compile(code.replace(SERVER, address), str(README), "exec"), namespace)
    finally:
        namespace["channel"].close()
    said = capsys.readouterr().out
    assert "1 AVAILABLE" in said
    assert all(label in said for label in spec.labels)
    assert "the strongest evidence is at" in said
    assert list(namespace["spec"].grid.shape) == list(spec.grid.shape)
    layer = spec.cam_layers[0]
    assert namespace["where"] == pytest.approx(
        [
            offset + stride * cell
            for offset, stride, cell in zip(
                layer.offset, layer.stride, namespace["strongest"], strict=True
            )
        ]
    )


def test_with_the_official_stubs(
    server: ServerUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    [code] = [block for block in blocks("python") if OFFICIAL in block]
    namespace: dict[str, object] = {}
    try:
        exec(compile(code.replace(SERVER, server.address), str(README), "exec"), namespace)
    finally:
        namespace["channel"].close()
    assert "[[" in capsys.readouterr().out


def test_the_curl_lines(rest_address: str, subject: ServedModel) -> None:
    calls = 0
    for block in blocks("sh"):
        for line in block.splitlines():
            words = shlex.split(line)
            if words[:2] != ["curl", "-s"]:
                continue
            path = words[2].removeprefix(f"http://{REST_SERVER}")
            body = None
            if "-d" in words:
                data = words[words.index("-d") + 1]
                body = data.encode()
                if data.startswith("@"):
                    body = {"signature_name": "scores", "inputs": subject.volume().tolist()}
            status, answer = rest(rest_address, "POST" if body else "GET", path, body)
            assert status == 200, answer
            calls += 1
    assert calls == 4
