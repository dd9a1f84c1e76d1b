"""What a server's refusal means, by the code that gRPC and REST share."""

from vcam_client._calls import Target
from vcam_client._connection import DEFAULT_PORT
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


def refused(
    code: str, details: str, *, address: str, target: Target, signature: str, timeout: float
) -> VcamError:
    """The error for a status code of gRPC, by name."""
    if code == "UNAVAILABLE":
        if _about_tls(details):
            return AccessDeniedError(
                f"The encrypted connection to {address} failed ({details}). Name the authority "
                "that signed the server's certificate with --ca FILE, and the name it is made out "
                "to as the address; with mutual TLS give --cert and --key."
            )
        if "HTTP/2" in details:
            return ServerUnavailableError(
                f"What answers at {address} does not speak gRPC. Is that the REST port? Give the "
                f"gRPC port ({DEFAULT_PORT} by default), or http://{address} for REST."
            )
        return ServerUnavailableError(
            f"No model server answers at {address} ({details}). Start one with "
            "`vcam-serve MODELS`, or name its address with --server HOST:PORT."
        )
    if code == "DEADLINE_EXCEEDED":
        return DeadlineExceededError(
            f"The server at {address} did not answer within {timeout:g} s. "
            "Allow more with --timeout SECONDS."
        )
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return AccessDeniedError(
            f"The server at {address} refused access ({details or code}). Give a valid token with "
            "$VCAM_TOKEN or --token-file."
        )
    if code == "NOT_FOUND" or "servable version label" in details:
        return ModelNotFoundError(
            f"The server at {address} serves no model {target} ({details}). Name one of "
            "its models with --model NAME, as its log and models folder tell them; a folder of "
            "versions is served as 'default'."
        )
    if code == "FAILED_PRECONDITION" and "signature" in details:
        return ContractError(
            f"Model {target} has no signature {signature!r} ({details}). "
            "Export it with `vcam-train export`, or choose another --method."
        )
    if code == "RESOURCE_EXHAUSTED":
        return ServerBusyError(
            f"The server at {address} is busy ({details}). Try again, or start it with "
            "more threads (--grpc_max_threads)."
        )
    return ServerError(
        f"The server at {address} refused {signature!r} of model {target}: "
        f"{code}: {details}. `vcam-client info` shows what the model expects."
    )


def _about_tls(details: str) -> bool:
    text = details.lower()
    return any(word in text for word in ("ssl", "certificate", "handshake", "tls"))
