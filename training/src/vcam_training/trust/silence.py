"""How often a map holds no evidence, as the client would say it."""

import numpy as np
from numpy.typing import NDArray

from vcam_client.evidence import Finding, finding, nothing_up_to
from vcam_client.spec import Explanation


def without_evidence(maps: NDArray[np.float32], explanation: Explanation) -> NDArray[np.bool_]:
    """bool [n]: whether the client calls a map no evidence.

    Args:
        maps: float32 [n, *cells], raw and signed.
        explanation: with the levels of the spec.
    """
    nothing = nothing_up_to(explanation)
    return np.array([finding(cam, nothing) is not Finding.EVIDENCE for cam in maps], bool)
