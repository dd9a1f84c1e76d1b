"""Which maps are shown: some that are right, and the ones that are wrong or weakest."""

import numpy as np
from numpy.typing import NDArray

from vcam_training.evaluation.localisation import heatmap_on_grid
from vcam_training.trust.cases import Cases
from vcam_training.trust.report import Example
from vcam_training.trust.subject import Subject

RIGHT, WRONG = 4, 2
"""How many of each."""


def examples(
    subject: Subject,
    cases: Cases,
    maps: NDArray[np.float32],
    *,
    found: NDArray[np.bool_],
    silent: NDArray[np.bool_],
    quality: NDArray[np.float64],
    missed: NDArray[np.bool_],
    seed: int = 0,
) -> tuple[Example, ...]:
    """Draws right ones at random, and takes the worst of the others.

    Args:
        subject: the model.
        cases, maps: what was explained.
        found: bool [n], whether the class explained is the one predicted.
        silent: bool [n], whether the map holds no evidence.
        quality: float64 [n], the higher the better; the worst are shown.
        missed: bool [n], whether the map points elsewhere than at the object.
        seed: of the draw.
    """
    wrong = ~found | silent | missed
    rng = np.random.default_rng(seed)
    good = np.flatnonzero(~wrong)
    right = np.sort(rng.choice(good, min(RIGHT, len(good)), replace=False))
    # the wrong ones first, then the weakest of the right ones that are not shown yet
    rest = np.setdiff1d(np.arange(len(cases)), right)
    worst = rest[np.lexsort((quality[rest], ~wrong[rest]))][:WRONG]
    shown = [(int(n), True) for n in right] + [(int(n), False) for n in worst]
    labels = subject.spec.labels
    return tuple(
        Example(
            number=int(cases.numbers[n]),
            right=is_right,
            caption=_caption(
                labels[cases.classes[n]],
                subject.fitted is None,
                found[n],
                silent[n],
                missed[n],
                is_right,
            ),
            volume=cases.volumes[n],
            heatmap=heatmap_on_grid(maps[n], cases.volumes.shape[1:], subject.layer),
            mask=cases.masks[n],
        )
        for n, is_right in shown
    )


def _caption(
    label: str, exclusive: bool, found: bool, silent: bool, missed: bool, right: bool
) -> str:
    said = []
    if not found:
        said.append("another class is predicted" if exclusive else "its score is too low")
    if silent:
        said.append("the map holds no evidence and is drawn all the same")
    elif missed:
        said.append("the strongest cell lies elsewhere")
    if said:
        return f"{label}: {', '.join(said)}."
    return f"{label}: found." if right else f"{label}: found; the weakest of these maps."
