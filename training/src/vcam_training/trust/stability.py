"""Whether a map stays where it is when the scan hardly changes.

Noise that nobody would see should leave it alone; a scan that is shifted by half a
voxel should have its map shifted by half a voxel, which is far less than a cell.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_client.spec import ModelSpec
from vcam_training.evaluation.localisation import weighted_centre
from vcam_training.trust.cases import Cases
from vcam_training.trust.similarity import rank_correlations
from vcam_training.trust.subject import Subject

NOISE_SHARES = (0.01, 0.05)
"""Standard deviations of the noise, as shares of the intensity window."""
SHIFT = 0.5
"""Voxels by which a scan is shifted, along one axis at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Change:
    """Maps of changed scans beside those of the scans themselves.

    Attributes:
        similarity: float64 [n], Spearman's rank correlation over the cells.
        displacement: float64 [n], voxels from where the weighted centre should be to
            where it is; not a number where one of the maps has no positive cell.
        same_class: float64 [n], whether the changed scan is given the same class, 0 or 1;
            the mean where there are several changes.
    """

    similarity: NDArray[np.float64]
    displacement: NDArray[np.float64]
    same_class: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Stability:
    """What became of the maps.

    Attributes:
        noise: one `Change` for each of NOISE_SHARES.
        shift: shifted by SHIFT along each axis; means over the axes.
        others: each map beside that of another scan of the same class: what maps that
            have nothing to do with each other look like. Empty without two such scans.
    """

    noise: tuple[Change, ...]
    shift: Change
    others: Change


def stability(
    subject: Subject,
    cases: Cases,
    maps: NDArray[np.float32],
    *,
    seed: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> Stability:
    """Changes the scans a little and explains them again.

    Args:
        subject: the model.
        cases: scans and classes that are explained.
        maps: float32 [n, *cells], their maps.
        seed: of noise and of the pairs of different scans.
        progress: called after each kind of change.
    """
    rng = np.random.default_rng(seed)
    still = np.zeros(maps.ndim - 1)
    predicted = subject.answers(subject.logits(cases.volumes), cases.classes)

    def explained_again(volumes: NDArray, true: NDArray[np.float64]) -> Change:
        same = subject.answers(subject.logits(volumes), cases.classes) == predicted
        return _change(subject, maps, subject.maps(volumes, cases.classes), true, same)

    noise = []
    for share in NOISE_SHARES:
        width = share * spread(cases.volumes, subject.spec)
        volumes = cases.volumes + rng.standard_normal(cases.volumes.shape, np.float32) * width
        noise.append(explained_again(volumes, still))
        progress()
    shifts = []
    for axis in range(maps.ndim - 1):
        true = np.zeros_like(still)
        true[axis] = SHIFT
        volumes = shifted(cases.volumes, axis + 1)
        shifts.append(explained_again(volumes, true))
        progress()
    pairs = _partners(cases.classes, rng)
    return Stability(
        noise=tuple(noise),
        shift=Change(
            similarity=np.mean([one.similarity for one in shifts], axis=0),
            displacement=np.mean([one.displacement for one in shifts], axis=0),
            same_class=np.mean([one.same_class for one in shifts], axis=0),
        ),
        others=_change(
            subject, maps[pairs[:, 0]], maps[pairs[:, 1]], still, np.ones(len(pairs), bool)
        ),
    )


def spread(volumes: NDArray, spec: ModelSpec) -> float:
    """Width of the intensity window, or without one the data's standard deviation."""
    window = spec.intensity.window
    return window[1] - window[0] if window is not None else float(volumes.std())


def shifted(volumes: NDArray, axis: int) -> NDArray[np.float32]:
    """Volumes moved by half a voxel towards higher indices, interpolated linearly.

    What comes in at the edge repeats the outermost voxel.
    """
    given = np.moveaxis(volumes.astype(np.float32), axis, 0)
    before = np.concatenate([given[:1], given[:-1]])
    return np.moveaxis((1 - SHIFT) * given + SHIFT * before, 0, axis)


def _change(
    subject: Subject,
    before: NDArray,
    after: NDArray,
    true: NDArray[np.float64],
    same: NDArray[np.bool_],
) -> Change:
    nowhere = np.full(before.ndim - 1, np.nan)
    off = []
    for one, other in zip(before, after, strict=True):
        was, now = (weighted_centre(cam, subject.layer) for cam in (one, other))
        apart = nowhere if was is None or now is None else now - was - true
        off.append(float(np.linalg.norm(apart)))
    return Change(
        similarity=rank_correlations(before, after),
        displacement=np.array(off),
        same_class=same.astype(np.float64),
    )


def _partners(classes: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.intp]:
    """int [m, 2]: each scan with another one of its class."""
    pairs = []
    for label in np.unique(classes):
        of_class = rng.permutation(np.flatnonzero(classes == label))
        if len(of_class) > 1:
            pairs += list(zip(of_class, np.roll(of_class, 1), strict=True))
    return np.array(pairs, np.intp).reshape(-1, 2)
