"""Encryption: whom a client trusts, how it shows who it is, and why a handshake fails."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vcam_client._sockets import host_name, opened
from vcam_client.errors import InputError

if TYPE_CHECKING:
    import ssl

_HUNG_UP = "TLS: closed after the handshake, as where a client certificate is required"

_PROBE_S = 1.0
"""Seconds that `why_refused` waits for a word of the server."""


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Encryption, and who is trusted.

    Attributes:
        ca: PEM file of the authority that signed the server's certificate; None for
            the system's authorities.
        certificate, key: PEM files by which the client shows who it is (mutual TLS).

    Raises:
        InputError: a file that is missing or holds something else, or a certificate
            without its key.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        for name in ("ca", "certificate", "key"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        if (self.certificate is None) != (self.key is None):
            raise InputError(
                "Expected a client certificate and its key, received one of them. Give both "
                "--cert and --key, or neither."
            )
        if self.ca is not None or self.certificate is not None:
            self.context()

    def context(self, *, verify: bool = True) -> "ssl.SSLContext":
        """The same as Python's ssl module has it.

        Raises:
            InputError: a file that is missing or holds something else.
        """
        import ssl

        if self.ca is not None:
            _require(self.ca, "--ca")
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (ssl.SSLError, OSError) as error:
            raise _unreadable(self.ca, "certificates of authorities", "--ca") from error
        if not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.certificate is not None and self.key is not None:
            _require(self.certificate, "--cert")
            _require(self.key, "--key")
            try:
                # a key with a password would be asked for on the terminal
                context.load_cert_chain(self.certificate, self.key, password="")
            except (ssl.SSLError, OSError, ValueError) as error:
                raise _unreadable(
                    self.certificate, "a certificate, and its key without a password", "--cert"
                ) from error
        return context

    def read(self, name: str) -> bytes | None:
        """The content of an attribute's file, None where there is none.

        Raises:
            InputError: it can't be read.
        """
        path: Path | None = getattr(self, name)
        if path is None:
            return None
        try:
            return path.read_bytes()
        except OSError as error:
            raise _unreadable(path, "a PEM file", f"--{name}") from error


def why_refused(address: str, tls: Tls | None, seconds: float) -> str:
    """Why a connection that was closed without a word failed, as far as TLS is the reason.

    gRPC keeps to itself that a server asked for a certificate, and that one speaks TLS
    to a client that doesn't. A handshake of our own tells.

    Args:
        address: HOST:PORT, or unix:PATH.
        tls: as the client uses it.
        seconds: that it may take.

    Returns:
        "TLS: " and OpenSSL's reason, such as "TLSV13_ALERT_CERTIFICATE_REQUIRED";
        "SERVER_EXPECTS_TLS"; "" where TLS is not the reason.
    """
    import ssl

    name = host_name(address)
    context = Tls().context(verify=False) if tls is None else tls.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    patience = min(seconds, _PROBE_S)
    if patience <= 0:
        return ""
    try:
        with (
            opened(address, patience) as plain,
            context.wrap_socket(plain, server_hostname=name) as encrypted,
        ):
            if tls is None:
                return "SERVER_EXPECTS_TLS"
            # a client's certificate is judged after the handshake; servers of gRPC then
            # hang up without a word, where others send an alert
            return "" if _speaks(encrypted) else _HUNG_UP
    except ssl.SSLCertVerificationError as error:
        return f"TLS: CERTIFICATE_VERIFY_FAILED: {error.verify_message}"
    except ssl.SSLError as error:
        reason = error.reason or ""
        return "" if tls is None or "EOF" in reason else f"TLS: {reason}"
    except OSError:
        pass
    return ""


def _speaks(connection: socket.socket) -> bool:
    """Whether the other side says something, or waits."""
    try:
        return bool(connection.recv(1))
    except TimeoutError:
        return True
    except ConnectionError:
        return False


def _require(path: Path, option: str) -> None:
    if not os.path.isfile(path):
        raise InputError(f"Expected a PEM file, there is none at {str(path)!r}. Check {option}.")


def _unreadable(path: Path | None, what: str, option: str) -> InputError:
    return InputError(f"Expected {what} in PEM, {str(path)!r} holds none. Check {option}.")
