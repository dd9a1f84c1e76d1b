"""Whether a server's REST answers numbers at all, found out without a call that could end it.

TensorFlow Serving with --enable_serialization_as_tensor_content=true has a JSON writer that
looks for values where they are not: any numbers come as zeros, with status 200, and a call for
text, such as that for the spec, ends the whole server by a segmentation fault (measured on 2.20).
Its status and metadata are right. So scores are requested before the first call for text, and
again whenever scores are all zero: that answer may come from a replica, or from a server that was
started again, that nothing was known of. Scores and logits are never all zero at once, as softmax
and sigmoid of zeros are not zero. Only those of a regression may be; so a second volume is sent
as well.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._calls import Answer, Call, Target
from vcam_client.errors import ContractError

FLAG = "--enable_serialization_as_tensor_content=true"
TEXT_OUTPUTS = frozenset({"model_spec"})
"""Outputs that are strings."""

_SIGNATURE = "scores"
_OUTPUTS = ("scores", "logits")
_DTYPES = {"DT_INT16": np.int16, "DT_FLOAT": np.float32}
_RAMP = 1201
"""Values of the second volume, -600 to 600: within any window of Hounsfield units."""


@dataclass(frozen=True, kw_only=True)
class Signatures:
    """What a model's metadata says of its signatures.

    Attributes:
        names: of all; empty where the metadata does not say.
        shape: of a volume for `scores`, with its batch axis; None where it is not said.
        dtype: of it.
    """

    names: frozenset[str] = frozenset()
    shape: tuple[int, ...] | None = None
    dtype: type[Any] = np.float32


def signatures_of(text: bytes) -> Signatures:
    """The signatures in an answer of /metadata; nothing where something leaves them out."""
    try:
        found = json.loads(text)["metadata"]["signature_def"]["signature_def"]
        names = frozenset(map(str, found.keys()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Signatures()
    try:
        volume = found[_SIGNATURE]["inputs"]["volume"]
        batch, *sizes = (int(dim["size"]) for dim in volume["tensor_shape"]["dim"])
        dtype = _DTYPES[volume["dtype"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return Signatures(names=names)
    shape = (1, *sizes) if batch == -1 and sizes and min(sizes) > 0 else None
    return Signatures(names=names, shape=shape, dtype=dtype)


def probes(target: Target, signatures: Signatures) -> Iterator[Call]:
    """Calls for numbers that may not all be zero: of zeros, then of a ramp."""
    if signatures.shape is None:
        return
    zeros: NDArray[Any] = np.zeros(signatures.shape, signatures.dtype)
    ramp = np.arange(zeros.size, dtype=np.int32) % _RAMP - _RAMP // 2
    for volume in (zeros, ramp.astype(signatures.dtype).reshape(zeros.shape)):
        yield Call(target=target, signature=_SIGNATURE, inputs={"volume": volume}, outputs=_OUTPUTS)


def probes_like(call: Call, target: Target) -> Iterator[Call]:
    """The same, of volumes like those of a call; none where it has no volume."""
    volume = call.inputs.get("volume")
    if isinstance(volume, np.ndarray):
        shape = (1, *volume.shape[1:])
        yield from probes(target, Signatures(shape=shape, dtype=volume.dtype.type))


def needs_probes(answer: Answer) -> bool:
    """Whether an answer may come from such a server: its scores are all zero.

    Of an answer without scores, all numbers count.
    """
    scores = answer.outputs.get(_SIGNATURE)
    found = list(answer.outputs.values()) if scores is None else [scores]
    numbers = [value for value in found if value.dtype.kind in "iuf" and value.size]
    return bool(numbers) and not any(np.any(value != 0) for value in numbers)


def is_all_zero(answer: Answer) -> bool:
    """Whether each of the numbers is 0.

    Raises:
        ContractError: there are no scores.
    """
    if _SIGNATURE not in answer.outputs:
        raise ContractError(
            "Expected 'scores' in the answer to the signature 'scores', received "
            f"{', '.join(answer.outputs) or 'nothing'}. Export the model again."
        )
    return not any(np.any(value != 0) for value in answer.outputs.values())


def zeros_error(address: str, target: Target, *, before_text: bool = False) -> ContractError:
    """The error for such a server; `before_text` where a call for the spec would have followed."""
    spared = (
        " The model's spec was not asked for: over REST, such a server ends on a call for text."
    )
    return ContractError(
        f"Expected numbers from {address} over REST, received zeros for every score of model "
        f"{target}, as TensorFlow Serving answers when it is started with {FLAG}. Start it without "
        "that flag; or close its REST port and call it over gRPC (--server HOST:8500)."
        f"{spared if before_text else ''}"
    )
