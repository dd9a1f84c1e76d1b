"""The Python in docs/sdk.md runs, against stand-ins at the addresses that it names."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import nibabel as nib
import pytest
from client.certificates import authority, require_openssl, signed
from client.rest_stand_in import rest_stand_in
from client.stand_in import stand_in
from client.test_client import SCAN

from vcam_client.errors import VcamError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sdk.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
SECURE = "gateway.example:8500"


@pytest.fixture
def addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """{address in the page: address of a stand-in}, in a folder with a scan and certificates."""
    monkeypatch.chdir(tmp_path)
    nib.save(nib.Nifti1Image(SCAN.data, SCAN.affine), "scan.nii.gz")
    with ExitStack() as stack:
        plain = stack.enter_context(stand_in())
        rest = stack.enter_context(rest_stand_in())
        yield {"127.0.0.1:8500": plain.address, "http://127.0.0.1:8501": rest.address}


@pytest.fixture
def gateway(addresses: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    """The same, with a gateway that asks for a certificate and a token."""
    require_openssl()
    ca = authority(tmp_path, "ca")
    shown = signed(tmp_path, "server", ca, "DNS:localhost")
    signed(tmp_path, "client", ca, "DNS:client")
    root = ca.certificate.read_bytes()
    with stand_in(grpc.ssl_server_credentials([shown.pair], root, True)) as server:
        server.token = "the-token"
        yield {**addresses, SECURE: server.address.replace("127.0.0.1", "localhost")}


def run(block: str, addresses: dict[str, str]) -> None:
    for written, served in addresses.items():
        block = block.replace(f'"{written}"', f'"{served}"')
    exec(compile(block, PAGE.name, "exec"), {"__name__": "sdk"})


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if SECURE not in b], ids=lambda block: str(len(block))
)
def test_blocks(block: str, addresses: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    run(block, addresses)
    printed = capsys.readouterr().out
    assert "no server" in printed if "errors import" in block else re.search("lesion", printed)


def test_the_secure_block(gateway: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    [block] = [b for b in BLOCKS if SECURE in b]
    run(block, gateway)
    assert capsys.readouterr().out == "True\n"
    with pytest.raises(VcamError, match="valid token"):
        run(block.replace("the-token", "another"), gateway)


def test_the_errors_are_those_that_exist() -> None:
    from vcam_client import errors

    rows = re.findall(r"^\| `(\w+Error)` \| (?:`(\w+)`)? ?\|", PAGE.read_text(), re.M)
    assert len(rows) == 7
    for name, built_in in rows:
        kinds = {kind.__name__ for kind in getattr(errors, name).__mro__}
        assert "VcamError" in kinds
        assert not built_in or built_in in kinds
