"""Whether the score depends on what a map marks: deletion and insertion curves.

Source: V. Petsiuk, A. Das, K. Saenko, RISE, BMVC 2018. Voxels are replaced in the
order of the map, the strongest first (deletion), or put back in that order (insertion);
the score of the class explained is followed. The control is the same map with its
cells shuffled: what hiding as much at other places does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import integrate

from vcam_client.spec import CamLayer, Fit, Grid
from vcam_training.cams.heatmap import interpolation_matrix
from vcam_training.trust.cases import Cases
from vcam_training.trust.controls import shuffled_cells
from vcam_training.trust.subject import Subject

STEPS = 12
FRACTIONS: NDArray[np.float64] = (np.arange(STEPS + 1) / STEPS) ** 2
"""Shares of the voxels that are replaced: finer at first, where objects are."""
SHUFFLES = 2
"""Controls for each scan."""
RISE = 0.1
"""Mean score by which hiding anything may raise the score before curves say nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fidelity:
    """Curves of the calibrated score of the class explained.

    Attributes:
        fractions: float64 [k], share of the voxels replaced, or put back.
        deletion, insertion: float64 [n, k].
        control_deletion, control_insertion: float64 [n, shuffles, k], of shuffled maps.
    """

    fractions: NDArray[np.float64]
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    control_deletion: NDArray[np.float64]
    control_insertion: NDArray[np.float64]

    def area(self, curves: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [...]: area under each curve [..., k], by trapezoids; 0 … 1."""
        areas: NDArray[np.float64] = integrate.trapezoid(curves, self.fractions, axis=-1)
        return areas

    @property
    def looks_alike(self) -> bool:
        """Whether hiding anything raises the mean score by more than RISE on the way.

        Then what is put in place looks like the class to the model, as soft tissue in a
        lung looks like a lesion: both maps and controls paint objects. Clearest on scans
        that show nothing of the class.
        """
        control = self.control_deletion.mean(axis=(0, 1))
        return bool(control.max() - control[0] > RISE)

    @property
    def deletion_gain(self) -> NDArray[np.float64]:
        """float64 [n]: by how much the area is below the control's; above 0 is good."""
        return self.area(self.control_deletion).mean(axis=1) - self.area(self.deletion)

    @property
    def insertion_gain(self) -> NDArray[np.float64]:
        """float64 [n]: by how much the area is above the control's; above 0 is good."""
        return self.area(self.insertion) - self.area(self.control_insertion).mean(axis=1)


def fidelity(
    subject: Subject,
    cases: Cases,
    maps: NDArray[np.float32],
    *,
    seed: int = 0,
    shuffles: int = SHUFFLES,
    progress: Callable[[], None] = lambda: None,
) -> Fidelity:
    """Follows the score of each scan while it is deleted and inserted.

    Args:
        subject: the model; its calibrated scores are followed.
        cases: scans and classes that are explained.
        maps: float32 [n, *cells], their maps, raw and signed.
        seed: of shuffles and of ties.
        shuffles: controls for each scan.
        progress: called after each scan.
    """
    rows = []
    for number, (volume, label, cam) in enumerate(
        zip(cases.volumes, cases.classes, maps, strict=True)
    ):
        rng = np.random.default_rng([seed, number])
        ties = rng.permutation(volume.size)
        tried = [cam, *(shuffled_cells(cam, rng) for _ in range(shuffles))]
        ranks = [ranked_voxels(one, volume.shape, subject.layer, ties) for one in tried]
        blank = np.full(volume.shape, replacement(volume, subject.spec.grid), np.float32)
        pairs = ((volume.astype(np.float32), blank), (blank, volume.astype(np.float32)))
        inner = [
            _changed(start, end, rank, fraction)
            for rank in ranks
            for start, end in pairs
            for fraction in FRACTIONS[1:-1]
        ]
        whole, nothing, *between = subject.scores(np.stack([*pairs[0], *inner]))[:, label]
        curves = np.empty((len(ranks), 2, len(FRACTIONS)))
        curves[:, :, 1:-1] = np.reshape(between, (len(ranks), 2, -1))
        curves[:, 0, [0, -1]] = whole, nothing
        curves[:, 1, [0, -1]] = nothing, whole
        rows.append(curves)
        progress()
    found = np.stack(rows)
    return Fidelity(
        fractions=FRACTIONS,
        deletion=found[:, 0, 0],
        insertion=found[:, 0, 1],
        control_deletion=found[:, 1:, 0],
        control_insertion=found[:, 1:, 1],
    )


def ranked_voxels(
    cam: NDArray[np.float32], grid: tuple[int, ...], layer: CamLayer, ties: NDArray[np.intp]
) -> NDArray[np.intp]:
    """int [*grid]: how many voxels come before each, the strongest first.

    The signed map is interpolated between the cells' centres and is 0 where there are
    no cells, so that what speaks against the class comes last.

    Args:
        cam: float32 [*cells], raw and signed.
        grid: voxels along each axis.
        layer: where the cells lie.
        ties: a permutation of all voxels: the order of those with equal values.
    """
    values = cam
    for axis, geometry in enumerate(
        zip(grid, layer.cells, layer.offset, layer.stride, strict=True)
    ):
        matrix = interpolation_matrix(*geometry)
        values = np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)
    ranks = np.empty(values.size, np.intp)
    ranks[np.lexsort((ties, -values.ravel()))] = np.arange(values.size)
    return ranks.reshape(grid)


def replacement(volume: NDArray, grid: Grid) -> float:
    """The scan's median on the grid, in its units.

    Where scans are padded onto the grid, voxels of the padding value are left out,
    unless there are no others.
    """
    if grid.fit is Fit.SPACING:
        seen = volume[volume != grid.padding_value]
        if seen.size:
            return float(np.median(seen))
    return float(np.median(volume))


def _changed(
    start: NDArray[np.float32], end: NDArray[np.float32], ranks: NDArray[np.intp], fraction: float
) -> NDArray[np.float32]:
    """`start` with its first voxels as they are in `end`."""
    return np.where(ranks < round(fraction * ranks.size), end, start)
