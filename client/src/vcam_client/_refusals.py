"""What a server's refusal means, by the code that gRPC and REST share."""

import re

from vcam_client._calls import Target
from vcam_client._connection import (
    DEFAULT_PORT,
    DEFAULT_REST_PORT,
    address_form,
    port_hint,
)
from vcam_client._gateways import GatewayAnswer, proxy_is_gone, proxy_refused
from vcam_client._proxies import Proxy
from vcam_client._sockets import UNIX
from vcam_client.errors import (
    AccessDeniedError,
    CallBrokenError,
    ContractError,
    DeadlineExceededError,
    ModelNotFoundError,
    ServerBusyError,
    ServerError,
    ServerMemoryError,
    ServerUnavailableError,
    VcamError,
)

_MOST_CHARACTERS = 500
"""Length at which a server's text is cut in a message."""

# Texts of BoringSSL (gRPC), OpenSSL (REST, `why_refused`) and gRPC's own check of names.
_ABOUT_TLS = ("ssl", "certificate", "handshake", "tls", "hostname verification")
_NO_TLS = ("wrong_version_number", "wrong version number", "http_request", "record layer failure")
_WANTS_TLS = "server_expects_tls"
_NO_TCP = "tcp handshaker shutdown"
"""gRPC's text where there was no connection, long before any TLS."""
_NAME = (
    "hostname verification",
    "hostname mismatch",
    "ip address mismatch",
    "not in peer certificate",
)
_EXPIRED = ("expired", "not yet valid")
_OF_THE_CLIENT = ("alert", "client certificate", "certificate_required", "certificate required")
_NO_GRPC = ("http/2", "http1", "received http2 header with status", "content-type")
_NO_GRPC_STATUS = "no status received"
"""gRPC's text for an HTTP/2 answer that is not one of gRPC, such as a login page."""
_TOO_LARGE = "larger than max"
_OWN_LIMIT = "client: received message"
_NO_MEMORY = re.compile(
    r"\boom\b|out of memory|out_of_memory|cannot allocate|can't allocate|bad_alloc"
    r"|failed to allocate|failed allocat|memory allocation|not enough memory"
)
"""Texts of TensorFlow's allocators, XLA, CUDA and C++ where RESOURCE_EXHAUSTED is no queue."""
_QUEUE_IS_FULL = "batch scheduling queue"
_SPEC = "spec"

# Texts of gateways and proxies that gRPC and Envoy put in place of a model server's answer.
_HTTP_STATUS = re.compile(r"received http2 header with status: (\d{3})")
_PROXY_STATUS = re.compile(r"http proxy returned response code (\d{3})")
_UPSTREAM = (
    ("upstream request timeout", 504),
    ("connection termination", 502),
    ("remote reset", 502),
    ("upstream connect error", 503),
    ("no healthy upstream", 503),
    ("upstream", 503),
)


class UnknownMethodError(ServerError):
    """Something answers that does not know the method."""


def refused(
    code: str,
    details: str,
    *,
    address: str,
    target: Target,
    signature: str,
    timeout: float,
    encrypted: bool,
    broken: bool = False,
    proxy: Proxy | None = None,
) -> VcamError:
    """The error for a status code of gRPC, by name.

    Args:
        code: such as "UNAVAILABLE".
        details: the server's text, or that of the library which carries the call.
        address, target, signature: what was called.
        timeout: seconds that were allowed.
        encrypted: whether the client speaks TLS to it.
        broken: whether the connection was there and broke during the call.
        proxy: which the call goes through, or None.
    """
    details = _short(details)
    text = details.lower()
    gateway = _of_a_gateway(code, details, address, signature, proxy)
    if gateway is not None:
        return gateway
    if code == "UNAVAILABLE" and _QUEUE_IS_FULL in text:
        return ServerBusyError(
            f"The server at {address} is busy, its batching queue is full ({details}). Try again, "
            "or raise max_enqueued_batches in its batching parameters."
        )
    if code == "UNAVAILABLE":
        return _unreachable(
            address, details, signature, encrypted=encrypted, broken=broken, proxy=proxy
        )
    if code == "DEADLINE_EXCEEDED":
        return _too_late(address, details, timeout)
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return AccessDeniedError(
            f"The server at {address} refused access ({details or code}). Give a valid token with "
            "$VCAM_TOKEN or --token-file."
        )
    if code == "NOT_FOUND" or "servable version label" in text:
        return _not_served(address, target, details)
    if code == "FAILED_PRECONDITION" and "signature" in text:
        return _no_signature(address, target, signature, details)
    if code == "RESOURCE_EXHAUSTED":
        return _exhausted(address, signature, details)
    foreign = any(word in text for word in (*_NO_GRPC, _NO_GRPC_STATUS))
    if code == "UNIMPLEMENTED" or foreign:
        return UnknownMethodError(
            f"What answers at {address} is no TensorFlow Serving ({code}: {details or 'no text'}), "
            "but another server or a gateway before it. "
            f"It has gRPC on port {DEFAULT_PORT} by default, REST on {DEFAULT_REST_PORT}."
        )
    return ServerError(
        f"The server at {address} refused {signature!r} of model {target}: "
        f"{code}: {details}. `vcam-client info` shows what the model expects."
    )


def _of_a_gateway(
    code: str, details: str, address: str, signature: str, proxy: Proxy | None
) -> VcamError | None:
    """The error where a gateway or a proxy answered gRPC; None where it was a model server."""
    text = details.lower()
    found = _PROXY_STATUS.search(text)
    if found is not None:
        return proxy_refused(proxy, address, f"HTTP {found[1]}")
    found = _HTTP_STATUS.search(text)
    status = int(found[1]) if found is not None else None
    if status in (400, 404, 405, 415):  # a web server that knows nothing of gRPC
        return None
    if status is None and code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
        status = next((number for words, number in _UPSTREAM if words in text), None)
    if status is None:
        return None
    said = "" if found is not None else details
    answer = GatewayAnswer(
        address=address, status=status, signature=signature, text=said, proxy=proxy
    )
    return answer.error


def _not_served(address: str, target: Target, details: str) -> VcamError:
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


def _no_signature(address: str, target: Target, signature: str, details: str) -> VcamError:
    if signature == _SPEC:
        return ContractError(
            f"The server at {address} has the model {target}, but that is not a vcam model: it "
            f"has no signature 'spec' ({details}). Export it with `vcam-train export`, or name a "
            "vcam model with --model NAME."
        )
    return ContractError(
        f"Model {target} has no signature {signature!r} ({details}). "
        "Export it with `vcam-train export`, or choose another --method."
    )


def _exhausted(address: str, signature: str, details: str) -> VcamError:
    """Too large, out of memory, or too many calls: only the last passes by itself."""
    text = details.lower()
    if _TOO_LARGE in text:
        if _OWN_LIMIT in text:
            return ContractError(
                f"Expected an answer to {signature!r} from {address} of a size that its outputs "
                f"can have, received more ({details}). Is this model exported by vcam?"
            )
        what = "answer to" if "sent message" in text else "call of"
        return ServerError(
            f"The {what} {signature!r} is larger than {address} takes ({details}). Raise the "
            "limit of the server, or of the proxy before it."
        )
    if _NO_MEMORY.search(text):
        return ServerMemoryError(
            f"The server at {address} ran out of memory in {signature!r} ({details}). Give it "
            "more memory or fewer calls at once (--workers); a model with a smaller grid needs "
            "less."
        )
    return ServerBusyError(
        f"The server at {address} is busy ({details}). Try again, or start it with "
        "more threads (--grpc_max_threads)."
    )


def _unreachable(
    address: str,
    details: str,
    signature: str,
    *,
    encrypted: bool,
    broken: bool,
    proxy: Proxy | None,
) -> VcamError:
    # a host may be called tls-gateway
    at = address if address.startswith(UNIX) else address.split("://")[-1].rpartition(":")[0]
    text = details.lower().replace(at.removeprefix(UNIX).lower(), "").replace(_NO_TCP, "")
    if _WANTS_TLS in text:
        return AccessDeniedError(
            f"The server at {address} expects an encrypted connection. Give --tls (https:// for "
            "REST), and --ca FILE where its authority is not one of the system's."
        )
    if encrypted and any(word in text for word in _ABOUT_TLS):
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
    if broken:
        return CallBrokenError(
            f"The connection to {address} broke during {signature!r} ({details}). The server may "
            "have ended because of this call: its log says so. It is made once more at most."
        )
    if proxy is not None:
        return proxy_is_gone(proxy, address, details)
    return ServerUnavailableError(
        f"No model server answers at {address} ({details}). {port_hint(address)}Start one with "
        f"`vcam-serve MODELS`, or name its address with --server {address_form(address)}."
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
