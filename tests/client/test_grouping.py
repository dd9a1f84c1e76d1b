"""Slices of one stack stay together however they are rounded; two stacks come apart.

Frames are put together from one header, so that hundreds of stacks are tried; a part
of them goes through files as well.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from client.dicom_files import write_slice
from scipy.spatial.transform import Rotation

from vcam_client._dicom.frame import Frame, frames_of
from vcam_client._dicom.grouping import groups_of
from vcam_client._dicom.header import read_header
from vcam_client._dicom.sources import file_source
from vcam_client._dicom.stack import stack
from vcam_client._dicom.volume import lps_to_ras_affine

STACKS = 300
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
MATRIX = 512
SPACING = 0.7
# decimals of positions and of directions, drift in degrees, largest error of a voxel's place (mm)
KINDS: dict[str, tuple[int, int, float, float]] = {
    "positions to 0.01 mm": (2, 9, 0.0, 0.03),
    "positions to 0.001 mm": (3, 9, 0.0, 0.003),
    "directions to 4 decimals": (6, 4, 0.0, 0.06),
    "directions to 3 decimals": (6, 3, 0.0, 0.6),
    "positions to 0.01 mm, directions to 3 decimals": (2, 3, 0.0, 0.6),
    "drift": (6, 6, 0.3, 0.001),
    "drift, positions to 0.01 mm, directions to 4 decimals": (2, 4, 0.3, 0.1),
}


class Truth:
    """A stack of any orientation, before it is rounded."""

    def __init__(self, rng: np.random.Generator, drift_deg: float = 0.0) -> None:
        matrix = Rotation.random(random_state=rng).as_matrix()
        self.row, self.column, self.normal = matrix.T
        self.origin = rng.uniform(-300, 300, 3)
        self.slices = int(rng.integers(2, 300))
        self.distance = float(rng.uniform(0.3, 6))
        turn = rng.uniform(0, 2 * np.pi)
        lean = np.tan(np.radians(rng.uniform(0, drift_deg)))
        aside = np.cos(turn) * self.row + np.sin(turn) * self.column
        self.step = self.distance * (self.normal + lean * aside)

    def beside(self, offset: np.ndarray, slices: int) -> "Truth":
        """A stack of the same orientation, spacing and drift elsewhere."""
        other = object.__new__(Truth)
        other.__dict__.update(self.__dict__)
        other.origin, other.slices = self.origin + offset, slices
        return other

    def frames(self, template: Frame, decimals: tuple[int, int], **marks: str) -> list[Frame]:
        places, directions = decimals
        direction = np.round(np.concatenate([self.row, self.column]), directions)
        direction /= np.repeat(np.linalg.norm(direction.reshape(2, 3), axis=1), 3)
        return [
            replace(
                template,
                position=np.round(self.origin + k * self.step, places),
                direction=direction,
                spacing=(SPACING, SPACING),
                marks={**template.marks, **marks},
            )
            for k in range(self.slices)
        ]

    @property
    def affine(self) -> np.ndarray:
        """Voxel (column, row, slice) to RAS+ mm."""
        affine = np.eye(4)
        columns = [self.row * SPACING, self.column * SPACING, self.step, self.origin]
        affine[:3] = np.stack(columns, axis=1)
        return LPS_TO_RAS @ affine


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Frame:
    path = tmp_path_factory.mktemp("template") / "a.dcm"
    write_slice(path, np.zeros((4, 4), np.int16), (0, 0, 0), SOPInstanceUID=None)
    (frame,) = frames_of(read_header(file_source(path)))
    return frame


def farthest(one: np.ndarray, other: np.ndarray, slices: int) -> float:
    """Largest distance (mm) between the places of a voxel at a corner."""
    corners = [(*c, 1.0) for c in product((0, MATRIX), (0, MATRIX), (0, slices - 1))]
    return float(np.linalg.norm(np.array(corners) @ (one - other).T, axis=1).max())


@pytest.mark.parametrize("name", KINDS)
def test_a_stack_stays_one_and_is_where_it_was(name: str, template: Frame) -> None:
    places, directions, drift, error = KINDS[name]
    rng = np.random.default_rng(list(KINDS).index(name))
    wrong = []
    for n in range(STACKS):
        truth = Truth(rng, drift)
        frames = truth.frames(template, (places, directions))
        mixed = [frames[i] for i in rng.permutation(len(frames))]
        groups = groups_of(mixed)
        if len(groups) != 1:
            wrong.append((n, f"{len(groups)} volumes"))
            continue
        ordered = stack(groups[0], (SPACING, SPACING), "scan")
        first = ordered.frames[0]
        affine = lps_to_ras_affine(first, ordered.spacing, ordered.step, first.position)
        in_order = [f.position.tolist() for f in ordered.frames]
        if not ordered.regular:
            wrong.append((n, f"even {ordered.even}, tilt {ordered.tilt_deg}"))
        elif in_order != [f.position.tolist() for f in frames]:
            wrong.append((n, "order"))
        elif farthest(affine, truth.affine, truth.slices) > error:
            wrong.append((n, f"{farthest(affine, truth.affine, truth.slices):.3g} mm off"))
    assert wrong == []


def test_directions_that_flicker_between_two_roundings_are_one(template: Frame) -> None:
    rng = np.random.default_rng(7)
    wrong = []
    for n in range(STACKS // 6):
        truth = Truth(rng, drift_deg=0.2)
        frames = []
        for frame in truth.frames(template, (2, 9)):
            direction = np.round(frame.direction + rng.normal(0, 2e-4, 6), 3)
            direction /= np.repeat(np.linalg.norm(direction.reshape(2, 3), axis=1), 3)
            frames.append(replace(frame, direction=direction))
        groups = groups_of(frames)
        ordered = stack(groups[0], (SPACING, SPACING), "scan")
        first = ordered.frames[0]
        affine = lps_to_ras_affine(first, ordered.spacing, ordered.step, first.position)
        near = farthest(affine, truth.affine, truth.slices) < 0.6
        if len(groups) != 1 or not ordered.regular or not near:
            wrong.append(n)
    assert wrong == []


def test_scattered_slices_are_not_cut_into_chance_lines(template: Frame) -> None:
    rng = np.random.default_rng(8)
    for _ in range(3):
        truth = Truth(rng)
        truth.slices = 400
        frames = [
            replace(frame, position=frame.position + rng.normal(0, 0.5, 3))
            for frame in truth.frames(template, (2, 6))
        ]
        assert [len(group) for group in groups_of(frames)] == [400]


ROUNDED = {name: KINDS[name] for name in KINDS if "3 decimals" in name or "drift" in name}


@pytest.mark.parametrize("name", ROUNDED)
@pytest.mark.parametrize("how", ["interleaved", "adjacent", "at the same positions", "kernels"])
def test_two_stacks_under_one_uid_come_apart(name: str, how: str, template: Frame) -> None:
    places, directions, drift, _ = ROUNDED[name]
    rng = np.random.default_rng([list(KINDS).index(name), len(how)])
    wrong = []
    for n in range(STACKS // 6):
        one = Truth(rng, drift)
        one.slices = 3 + one.slices % 97
        turn, away = rng.uniform(0, 2 * np.pi), rng.uniform(2, 80)
        aside = away * (np.cos(turn) * one.row + np.sin(turn) * one.column)
        begin = {
            "interleaved": rng.uniform(0.1, 0.9) * one.step + aside,
            "adjacent": one.slices * one.step + aside,
            "at the same positions": aside,
            "kernels": rng.uniform(0.1, 0.9) * one.step,
        }[how]
        other = one.beside(begin, int(rng.integers(3, 100)))
        kernels = ("B30f", "B70f") if how == "kernels" else ("", "")
        stacks = [
            truth.frames(template, (places, directions), ConvolutionKernel=kernel)
            for truth, kernel in zip((one, other), kernels, strict=True)
        ]
        both = [*stacks[0], *stacks[1]]
        groups = groups_of([both[i] for i in rng.permutation(len(both))])
        found = sorted(sorted(tuple(f.position) for f in group) for group in groups)
        if found != sorted(sorted(tuple(f.position) for f in frames) for frames in stacks):
            wrong.append((n, one.slices, other.slices, [len(group) for group in groups]))
    assert wrong == []
