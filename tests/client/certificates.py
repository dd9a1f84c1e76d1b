"""Authorities and certificates for tests, made by the openssl command."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Signed:
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path

    @property
    def pair(self) -> tuple[bytes, bytes]:
        """Key and certificate, as gRPC takes them."""
        return self.key.read_bytes(), self.certificate.read_bytes()


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def require_openssl() -> None:
    """Skips where there is none."""
    if shutil.which("openssl") is None:
        pytest.skip("the command openssl is not installed")


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def authority(folder: Path, name: str) -> Signed:
    """An authority that signs itself."""
    made = Signed(folder / f"{name}.pem", folder / f"{name}.key")
    # what Python asks of an authority from 3.13 on (VERIFY_X509_STRICT)
    strict = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
    added = [word for extension in strict for word in ("-addext", extension)]
    subject = ("-subj", f"/CN={name}", *added)
    out = ("-keyout", str(made.key), "-out", str(made.certificate))
    _openssl("req", "-x509", *_KEY, *out, "-days", "2", *subject)
    return made


def signed(
    folder: Path, name: str, by: Signed, made_out_to: str, *, expired: bool = False
) -> Signed:
    """A certificate made out to, for instance, "IP:127.0.0.1"."""
    made = Signed(folder / f"{name}.pem", folder / f"{name}.key")
    request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
    extensions.write_text(
        f"subjectAltName={made_out_to}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    out = ("-keyout", str(made.key), "-out", str(request), "-subj", f"/CN={name}")
    _openssl("req", *_KEY, *out)
    signer = ("-CA", str(by.certificate), "-CAkey", str(by.key), "-CAcreateserial")
    validity = (*_validity(expired), "-extfile", str(extensions))
    result = ("-in", str(request), "-out", str(made.certificate))
    _openssl("x509", "-req", *result, *signer, *validity)
    return made


def _validity(expired: bool) -> tuple[str, ...]:
    if not expired:
        return ("-days", "2")
    known = subprocess.run(["openssl", "x509", "-help"], check=True, capture_output=True).stderr
    if b"-not_after" in known:  # since OpenSSL 3.4, which refuses days below 0
        return ("-not_before", "20200101000000Z", "-not_after", "20200102000000Z")
    return ("-days", "-1")
