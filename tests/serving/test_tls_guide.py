"""docs/serving.md on TLS: its commands and its configuration, run."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from client.certificates import Signed, authority, require_openssl, signed
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message

from vcam_client import Client, Tls
from vcam_client.errors import VcamError
from vcam_serving import EmbeddedServer, _grpc_server
from vcam_serving._models import Models

if TYPE_CHECKING:
    from golden import Golden

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "serving.md"
START_SECONDS = 30
# tensorflow_serving/config/ssl_config.proto, which the package of stubs leaves out.
SSL_CONFIG = {"server_key": 1, "server_cert": 2, "custom_ca": 3, "client_verify": 4}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signed]:
    require_openssl()
    folder = tmp_path_factory.mktemp("pki")
    ours = authority(folder, "ca")
    return {
        "ca": ours,
        "server": signed(folder, "server", ours, "IP:127.0.0.1,DNS:localhost"),
        "client": signed(folder, "client", ours, "DNS:client"),
    }


def block(language: str, word: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(), re.M | re.S)
    [found] = [text for text in blocks if word in text]
    return found


def ssl_config(text: str) -> Message:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="ssl_config_test.proto", syntax="proto3")
    message = file.message_type.add(name="SSLConfig")
    for name, number in SSL_CONFIG.items():
        kind = field.TYPE_BOOL if name == "client_verify" else field.TYPE_STRING
        message.field.add(name=name, number=number, type=kind, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    type_of = message_factory.GetMessageClass(pool.FindMessageTypeByName("SSLConfig"))
    return text_format.Parse(text, type_of())


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize("verify", [False, True])
def test_the_file_for_grpc_holds_the_certificates(
    pki: dict[str, Signed], golden: "dict[str, Golden]", tmp_path: Path, verify: bool
) -> None:
    for name, source in (
        ("server.pem", pki["server"].certificate),
        ("server.key", pki["server"].key),
        ("ca.pem", pki["ca"].certificate),
    ):
        shutil.copy(source, tmp_path / name)
    script = block("sh", "ssl.config")
    assert " false >" in script
    if verify:
        script = script.replace(" false >", " true >")
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True)
    config = ssl_config((tmp_path / "ssl.config").read_text())
    assert config.server_key == (tmp_path / "server.key").read_text()
    assert config.server_cert == (tmp_path / "server.pem").read_text()
    assert config.custom_ca == (tmp_path / "ca.pem").read_text()
    assert config.client_verify is verify

    # and a gRPC server that is given these strings is one that the client trusts
    models = Models()
    models.update("default", {1: golden["bright"].path})
    server = _grpc_server.build(models, max_threads=4, tensor_content=False)
    key, certificate = config.server_key.encode(), config.server_cert.encode()
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)], config.custom_ca.encode(), config.client_verify
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    shown = {"certificate": pki["client"].certificate, "key": pki["client"].key}
    try:
        tls = Tls(ca=pki["ca"].certificate, **(shown if verify else {}))
        with Client(f"127.0.0.1:{port}", tls=tls) as client:
            assert client.spec().spec == golden["bright"].spec
        if verify:
            without = Tls(ca=pki["ca"].certificate)
            with Client(f"127.0.0.1:{port}", tls=without) as client, pytest.raises(VcamError):
                client.spec()
    finally:
        server.stop(None).wait()
        models.close()


@pytest.fixture(params=[False, True], ids=["any client", "clients with a certificate"])
def front(
    request: pytest.FixtureRequest,
    pki: dict[str, Signed],
    golden: "dict[str, Golden]",
    tmp_path: Path,
) -> Iterator[tuple[int, bool]]:
    """(port of the guide's nginx before a server, whether it wants certificates)."""
    nginx = shutil.which("nginx")
    if nginx is None:
        pytest.skip("no nginx here")
    verify = request.param
    with (
        EmbeddedServer(golden["bright"].path.parent, port=0, rest_port=0) as server,
        socket.create_server(("127.0.0.1", 0)) as free,
    ):
        port = free.getsockname()[1]
        free.close()
        text = block("nginx", "grpc_pass")
        for old, new in (
            ("listen 8443", f"listen 127.0.0.1:{port}"),
            ("/etc/nginx/tls/server.pem", str(pki["server"].certificate)),
            ("/etc/nginx/tls/server.key", str(pki["server"].key)),
            ("127.0.0.1:8500", server.address),
            ("127.0.0.1:8501", server.rest_address),
        ):
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        if verify:
            lines = [f"ssl_client_certificate {pki['ca'].certificate};", "ssl_verify_client on;"]
            for line in lines:
                assert re.sub(r"\S+/ca\.\w+;", "ca.pem;", line) in GUIDE.read_text()
            text = text.replace("  client_max", "\n".join([*lines, "  client_max"]))
        folders = "\n".join(
            f"{name}_temp_path {tmp_path};" for name in ("client_body", "proxy", "fastcgi", "uwsgi")
        )
        (tmp_path / "nginx.conf").write_text(
            f"pid {tmp_path}/pid;\nerror_log {tmp_path}/log;\ndaemon off;\nevents {{}}\n"
            f"http {{ access_log off;\n{folders}\nscgi_temp_path {tmp_path};\n{text} }}\n"
        )
        command = [nginx, "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-e", tmp_path / "log"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                _wait_for(port, process, tmp_path / "log")
                yield port, verify
            finally:
                process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(log.read_text())


def test_the_proxy_of_the_guide_serves_grpc_and_rest(
    front: tuple[int, bool], pki: dict[str, Signed], golden: "dict[str, Golden]"
) -> None:
    port, verify = front
    shown = {"certificate": pki["client"].certificate, "key": pki["client"].key}
    tls = Tls(ca=pki["ca"].certificate, **(shown if verify else {}))
    for address in (f"127.0.0.1:{port}", f"https://127.0.0.1:{port}"):
        with Client(address, tls=tls) as client:
            assert client.spec().spec == golden["bright"].spec
            assert client.status("default")[0].available
            assert client.health()
        if verify:
            without = Tls(ca=pki["ca"].certificate)
            with Client(address, tls=without) as client, pytest.raises(VcamError):
                client.spec()
