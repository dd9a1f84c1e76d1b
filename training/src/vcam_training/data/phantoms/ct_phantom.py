"""Chest-CT-like volumes in Hounsfield units, with or without one consolidation.

Writes `.nii.gz` (int16) with varied spacings, offsets and storage orientations,
a mask (uint8) for each lesion, and `index.jsonl`: one line for each volume with
path, label, split, the lesion's centre (RAS+ mm) and radius (mm), and SHA-256.

Difficulty, fixed before any network was tuned. It is not to be eased: a network that
does not learn this needs other training, not larger lesions.

- Radius 15 to 30 mm: consolidations, not nodules. The smallest is larger than any
  confounder's radius (12 mm), so the task has an answer; it is at least 3 voxels
  of the demo grid (5 mm), enough for a perfect map to show it (`perfect_map`).
- Density -200 to 30 HU, as of consolidated lung. Vessels, hila, heart, diaphragm
  and chest wall reach the same values: no threshold finds the lesion.
- Both classes have what a reader could mistake for a lesion: round hilar nodes up
  to 12 mm, vessel trees, heart and diaphragm bulging into the lung, in 40 % a
  dense posterior rim (dependent atelectasis), in half contrast-enhanced blood.
- Noise of 15 to 35 HU after smoothing: low-dose chest CT. Structures are smoothed
  by the same kernel (about one voxel), as a reconstruction does.

The same seed gives the same bytes.
"""

import gzip
import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_client.writing import write_atomically
from vcam_training.data.phantoms.chest import Axes, Lesion, ball, draw_chest, draw_lesion

LABELS = ("no consolidation", "consolidation")
SPLITS = ("train", "validation", "test")
INDEX = "index.jsonl"

LESION_RADIUS_MM = (15.0, 30.0)
LESION_DENSITY_HU = (-200.0, 30.0)
NOISE_HU = (15.0, 35.0)
"""Standard deviation of the noise after smoothing."""
SMOOTHED_NOISE = (6**0.5 / 4) ** 3
"""Standard deviation of white noise of 1 after the kernel [1, 2, 1] / 4 along three axes."""
IN_PLANE_MM = (2.5, 3.5)
SLICE_MM = (3.0, 5.0)
FIELD_OF_VIEW_MM = (350.0, 400.0)
LENGTH_MM = (240.0, 300.0)
ORIENTATIONS = ("RAS", "LPS", "LAS", "LPI", "RPI", "PSR", "ASL", "SPL", "IRA", "PIR")
"""Axis codes of the stored array; the third axis is not always the patient's length."""
_GZIP_LEVEL = 1
_WORKERS = 2
_CHUNK = 8
_FEW = 64
"""Volumes that are written sooner than processes start."""
_TRIES = 2000


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Volumes in each split; half of them (rounded down) carry a lesion."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the index.

    Attributes:
        path, mask: files, relative to the index; no mask without a lesion.
        split: "train", "validation" or "test".
        label: index into LABELS.
        centre_mm: lesion centre, RAS+ mm, or None.
        radius_mm: lesion radius, mm, or None.
        orientation: axis codes of the stored array.
        sha256: of the volume's file.
    """

    path: str
    mask: str | None
    split: str
    label: int
    centre_mm: tuple[float, float, float] | None
    radius_mm: float | None
    orientation: str
    sha256: str


def write(
    folder: Path | str,
    counts: Counts,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Writes the data set, or finds it complete and leaves it alone.

    Args:
        folder: where to; made if need be.
        counts: volumes in each split.
        seed: the same seed gives the same bytes.
        progress: called with (volumes done, volumes in all).

    Returns:
        The index, `index.jsonl`; it is written last.

    Raises:
        ConfigError: the folder holds another data set.
        OutputError: it can't be written.
    """
    folder = Path(folder)
    settings = json.dumps({"seed": seed, "radius_mm": LESION_RADIUS_MM, **asdict(counts)})
    marker, index = folder / "settings.json", folder / INDEX
    if marker.exists() and marker.read_text() != settings:
        raise ConfigError(
            f"Expected an empty folder or this data set in '{folder}', found one of other "
            f"settings ({marker.read_text()}). Name another folder."
        )
    if index.exists() and marker.exists():
        return index
    write_atomically(marker, settings.encode(), option="--data")
    jobs = [(split, number) for split in SPLITS for number in range(getattr(counts, split))]
    entries = []
    for entry in _write_all(folder, seed, jobs):
        entries.append(entry)
        progress(len(entries), len(jobs))
    lines = "".join(json.dumps(asdict(entry)) + "\n" for entry in entries)
    write_atomically(index, lines.encode(), option="--data")
    return index


def read_index(index: Path) -> list[Entry]:
    """The entries of an index.

    Raises:
        ConfigError: no such file, or lines that are no entries.
    """
    try:
        lines = [json.loads(line) for line in index.read_text().splitlines()]
        return [Entry(**{**line, "centre_mm": _as_tuple(line["centre_mm"])}) for line in lines]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"Expected an index of volumes in '{index}', received: {error}. "
            "Move the folder away; the next run writes it again."
        ) from error


def phantom(
    rng: np.random.Generator, *, with_lesion: bool
) -> tuple[NDArray[np.int16], NDArray[np.float64], NDArray[np.bool_], Lesion | None]:
    """One volume, stored in RAS order.

    Returns:
        volume: int16 [nx, ny, nz], HU.
        affine: float64 [4, 4], voxel index to RAS+ mm.
        mask: bool [nx, ny, nz], the lesion.
        lesion: in the affine's world, or None.
    """
    axes, spacing = _axes(rng)
    chest, lungs = draw_chest(rng, axes)
    mask = np.zeros(chest.shape, bool)
    lesion = None
    if with_lesion:
        lesion = _place(rng, lungs, axes)
        draw_lesion(rng, chest, axes, lesion, float(rng.uniform(*LESION_DENSITY_HU)))
        mask = ball(axes, lesion)
    noise = rng.standard_normal(chest.shape, dtype=np.float32)
    noise *= rng.uniform(*NOISE_HU) / SMOOTHED_NOISE
    chest = _smooth(chest + noise)
    volume = np.clip(np.rint(chest), -1024, 3071).astype(np.int16)

    table_position = rng.uniform((-30, -30, -500), (30, 30, 100))
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = np.add([axes.x[0], axes.y[0], axes.z[0]], table_position)
    if lesion is not None:
        centre = np.array(lesion.centre) + table_position
        lesion = Lesion(centre=tuple(float(c) for c in centre), radius=lesion.radius)
    return volume, affine, mask, lesion


def _write_all(folder: Path, seed: int, jobs: list[tuple[str, int]]) -> Iterator[Entry]:
    """Writes the volumes of all jobs, in order, on both processors where it pays."""
    write_one = partial(_write_one, folder, seed)
    if len(jobs) < _FEW:
        yield from map(write_one, jobs)
        return
    # spawned, not forked: TensorFlow's threads may run in this process
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(_WORKERS, mp_context=spawn) as pool:
        yield from pool.map(write_one, jobs, chunksize=_CHUNK)


def _write_one(folder: Path, seed: int, job: tuple[str, int]) -> Entry:
    split, number = job
    rng = np.random.default_rng([seed, SPLITS.index(split), number])
    label = number % 2
    volume, affine, mask, lesion = phantom(rng, with_lesion=bool(label))
    orientation = str(rng.choice(ORIENTATIONS))
    path = f"{split}_{number:04d}.nii.gz"
    digest = save(folder / path, volume, affine, orientation)
    mask_path = None
    if lesion is not None:
        mask_path = f"{split}_{number:04d}_mask.nii.gz"
        save(folder / mask_path, mask.astype(np.uint8), affine, orientation)
    return Entry(
        path=path,
        mask=mask_path,
        split=split,
        label=label,
        centre_mm=_as_tuple(lesion.centre) if lesion else None,
        radius_mm=lesion.radius if lesion else None,
        orientation=orientation,
        sha256=digest,
    )


def save(path: Path, array: NDArray, affine: NDArray[np.float64], orientation: str) -> str:
    """Writes NIfTI-1 whose array is stored along `orientation`; returns its SHA-256."""
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    wanted = nib.orientations.axcodes2ornt(tuple(orientation))
    image = image.as_reoriented(
        nib.orientations.ornt_transform(nib.orientations.io_orientation(affine), wanted)
    )
    data = gzip.compress(image.to_bytes(), _GZIP_LEVEL, mtime=0)
    write_atomically(path, data, option="--data")
    return hashlib.sha256(data).hexdigest()


def _axes(rng: np.random.Generator) -> tuple[Axes, tuple[float, float, float]]:
    """A scan's voxel grid about the lungs, and its spacing in mm."""
    in_plane = round(float(rng.uniform(*IN_PLANE_MM)), 3)
    slice_mm = float(rng.choice(np.arange(SLICE_MM[0], SLICE_MM[1] + 0.1, 0.5)))
    field, length = float(rng.uniform(*FIELD_OF_VIEW_MM)), float(rng.uniform(*LENGTH_MM))
    spacing = (in_plane, in_plane, slice_mm)
    shift = rng.normal(0, (5, 5, 8))
    positions = []
    for extent, step, offset in zip((field, field, length), spacing, shift, strict=True):
        count = round(extent / step)
        positions.append(((np.arange(count) - (count - 1) / 2) * step + offset).astype(np.float32))
    return Axes(x=positions[0], y=positions[1], z=positions[2]), spacing


def _place(rng: np.random.Generator, lungs: NDArray[np.bool_], axes: Axes) -> Lesion:
    """A ball wholly inside the lungs; it may touch pleura, heart and diaphragm."""
    voxels = np.argwhere(lungs)
    for _ in range(_TRIES):
        radius = round(float(rng.uniform(*LESION_RADIUS_MM)), 1)
        i, j, k = voxels[rng.integers(len(voxels))]
        centre = (float(axes.x[i]), float(axes.y[j]), float(axes.z[k]))
        parts, (x, y, z) = axes.near(np.subtract(centre, radius), np.add(centre, radius))
        inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 <= radius**2
        if lungs[parts][inside].all():
            return Lesion(centre=centre, radius=radius)
    raise AssertionError(f"No place for a lesion in {_TRIES} tries; the lungs are too small.")


def _smooth(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convolution with [1, 2, 1] / 4 along each axis, edges repeated."""
    for axis in range(3):
        width = [(1, 1) if a == axis else (0, 0) for a in range(3)]
        padded = np.moveaxis(np.pad(volume, width, mode="edge"), axis, 0)
        smooth = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
        volume = np.moveaxis(smooth, 0, axis)
    return volume


def _as_tuple(centre: object) -> tuple[float, float, float] | None:
    if centre is None:
        return None
    x, y, z = (float(v) for v in centre)  # type: ignore[attr-defined]
    return x, y, z
