"""What a server's refusal means, by the code that gRPC and REST share."""

from vcam_client._calls import Target
from vcam_client._connection import DEFAULT_PORT, DEFAULT_REST_PORT
from vcam_client._sockets import UNIX
from vcam_client.errors import (
    AccessDeniedError,
    ContractError,
    DeadlineExceededError,
    ModelNotFoundError,
    ServerBusyError,
    ServerError,
    ServerUnavailableError,
    VcamError,
)

_MOST_CHARACTERS = 500
"""Length at which a server's text is cut in a message."""

# Texts of BoringSSL (gRPC), OpenSSL (REST, `why_refused`) and gRPC's own check of names.
_ABOUT_TLS = ("ssl", "certificate", "handshake", "tls", "hostname verification")
_NO_TLS = ("wrong_version_number", "wrong version number", "http_request", "record layer failure")
_WANTS_TLS = "server_expects_tls"
_NAME = (
    "hostname verification",
    "hostname mismatch",
    "ip address mismatch",
    "not in peer certificate",
)
_EXPIRED = ("expired", "not yet valid")
_OF_THE_CLIENT = ("alert", "client certificate", "certificate_required", "certificate required")
_NO_GRPC = ("http/2", "http1", "received http2 header with status", "content-type")
_TOO_LARGE = "larger than max"


class UnknownMethodError(ServerError):
    """Something answers that does not know the method."""


def refused(
    code: str, details: str, *, address: str, target: Target, signature: str, timeout: float
) -> VcamError:
    """The error for a status code of gRPC, by name.

    Args:
        code: such as "UNAVAILABLE".
        details: the server's text, or that of the library which carries the call.
        address, target, signature: what was called.
        timeout: seconds that were allowed.
    """
    details = _short(details)
    text = details.lower()
    if code == "UNAVAILABLE":
        return _unreachable(address, details)
    if code == "DEADLINE_EXCEEDED":
        return _too_late(address, details, timeout)
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return AccessDeniedError(
            f"The server at {address} refused access ({details or code}). Give a valid token with "
            "$VCAM_TOKEN or --token-file."
        )
    if code == "NOT_FOUND" or "servable version label" in text:
        if target.version is not None or target.label:
            return ModelNotFoundError(
                f"The server at {address} serves no model {target} ({details}). "
                f"`vcam-client status --model {target.model}` shows which versions are there; "
                "leave the version out for the newest, or name another model with --model NAME."
            )
        return ModelNotFoundError(
            f"The server at {address} serves no model {target} ({details}). Name one of "
            "its models with --model NAME, as its log and models folder tell them; a folder of "
            "versions is served as 'default'."
        )
    if code == "FAILED_PRECONDITION" and "signature" in text:
        return ContractError(
            f"Model {target} has no signature {signature!r} ({details}). "
            "Export it with `vcam-train export`, or choose another --method."
        )
    if code == "RESOURCE_EXHAUSTED" and _TOO_LARGE in text:
        return ServerError(
            f"The call of {signature!r} is larger than {address} takes ({details}). Raise the "
            "limit of the server, or of the proxy before it."
        )
    if code == "RESOURCE_EXHAUSTED":
        return ServerBusyError(
            f"The server at {address} is busy ({details}). Try again, or start it with "
            "more threads (--grpc_max_threads)."
        )
    if code == "UNIMPLEMENTED" or any(word in text for word in _NO_GRPC):
        return UnknownMethodError(
            f"What answers at {address} is no TensorFlow Serving ({code}: {details or 'no text'}). "
            f"It has gRPC on port {DEFAULT_PORT} by default, REST on {DEFAULT_REST_PORT}."
        )
    return ServerError(
        f"The server at {address} refused {signature!r} of model {target}: "
        f"{code}: {details}. `vcam-client info` shows what the model expects."
    )


def _unreachable(address: str, details: str) -> VcamError:
    # a host may be called tls-gateway
    at = address if address.startswith(UNIX) else address.split("://")[-1].rpartition(":")[0]
    text = details.lower().replace(at.removeprefix(UNIX).lower(), "")
    if _WANTS_TLS in text:
        return AccessDeniedError(
            f"The server at {address} expects an encrypted connection. Give --tls (https:// for "
            "REST), and --ca FILE where its authority is not one of the system's."
        )
    if any(word in text for word in _ABOUT_TLS):
        return AccessDeniedError(
            f"The encrypted connection to {address} failed ({details}). {_advice(text)}"
        )
    if any(word in text for word in _NO_GRPC):
        return ServerUnavailableError(
            f"What answers at {address} does not speak gRPC. Is that the REST port? Give the "
            f"gRPC port ({DEFAULT_PORT} by default), or http://{address} for REST."
        )
    if address.startswith("http") and ("badstatusline" in text or not details.isprintable()):
        bare = address.split("://")[-1]
        return ServerUnavailableError(
            f"What answers at {address} does not speak HTTP. Is that the gRPC port? Give the REST "
            f"port ({DEFAULT_REST_PORT} by default), or {bare} for gRPC."
        )
    return ServerUnavailableError(
        f"No model server answers at {address} ({details}). Start one with "
        "`vcam-serve MODELS`, or name its address with --server HOST:PORT."
    )


def _advice(text: str) -> str:
    """What to do about a handshake that failed."""
    if any(word in text for word in _NO_TLS):
        return "What answers there does not speak TLS: leave out --tls (http:// for REST)."
    if any(word in text for word in _OF_THE_CLIENT):
        return (
            "The server asks who the client is: give --cert and --key, signed by an authority "
            "that the server trusts."
        )
    if any(word in text for word in _NAME):
        return (
            "The server's certificate is made out to another name: give that name as the address."
        )
    if any(word in text for word in _EXPIRED):
        return "The server's certificate is out of date: renew it, or check this machine's clock."
    return "Name the authority that signed the server's certificate with --ca FILE."


def _too_late(address: str, details: str, timeout: float) -> VcamError:
    if "rest_api_timeout" in details or "timed out" in details.lower():
        return DeadlineExceededError(
            f"The server at {address} gave up before it had an answer ({details}). Start it with "
            "a larger --rest_api_timeout_in_ms, or call it over gRPC."
        )
    return DeadlineExceededError(
        f"The server at {address} did not answer within {timeout:g} s. "
        "Allow more with --timeout SECONDS."
    )


def _short(details: str) -> str:
    """One line, not too long: a proxy may have answered with a whole page."""
    line = " ".join(details.split())
    return line if len(line) <= _MOST_CHARACTERS else line[:_MOST_CHARACTERS] + " …"
