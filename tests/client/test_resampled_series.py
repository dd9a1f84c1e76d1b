"""Series that vcam resamples: what was measured is found again where it was measured."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from client.dicom_files import write_series
from client.peers import by_position
from client.test_independent_readers import SCANS, read, resampled
from real_scans import needs_data
from scipy.ndimage import map_coordinates

from vcam_client import Volume, read_volume

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


def resampled_scans() -> list[tuple[Path, tuple[Path, ...]]]:
    return [scan for scan in SCANS if len(scan[1]) > 1 and resampled(read(scan[0]))]


def pixel_world(dataset: pydicom.Dataset, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """RAS+ mm [3, N] of pixels, by PS3.3 C.7.6.2.1.1."""
    cosines = np.array(dataset.ImageOrientationPatient, float)
    between_rows, between_columns = map(float, dataset.PixelSpacing)
    along_row = cosines[:3, None] * between_columns * columns
    along_column = cosines[3:, None] * between_rows * rows
    lps = np.array(dataset.ImagePositionPatient, float)[:, None] + along_row + along_column
    return LPS_TO_RAS[:, None] * lps


def sampled(volume: Volume, world: np.ndarray) -> np.ndarray:
    """Values at RAS+ mm [3, N], linear; not a number where a neighbour is padding or outside."""
    inverse = np.linalg.inv(volume.affine)
    index = inverse[:3, :3] @ world + inverse[:3, 3:]
    values = volume.data.astype(np.float64)
    if volume.padding is not None:
        low, high = volume.padding
        values[(values >= low) & (values <= high)] = np.nan
    return map_coordinates(values, index, order=1, cval=np.nan)


@needs_data
@pytest.mark.parametrize("scan", resampled_scans(), ids=lambda s: s[0].name)
def test_each_slice_s_values_are_found_at_their_place(
    scan: tuple[Path, tuple[Path, ...]],
) -> None:
    path, files = scan
    volume = read(path)
    rng = np.random.default_rng(0)
    errors = []
    for file in by_position(files):
        dataset = pydicom.dcmread(file)
        stored = dataset.pixel_array.astype(np.float64)
        values = stored * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        rows = rng.integers(8, dataset.Rows - 8, 4000)
        columns = rng.integers(8, dataset.Columns - 8, 4000)
        world = pixel_world(dataset, rows, columns)
        found = sampled(volume, world)
        # where a slice is flat, what lies beside it matters little: brain
        blocks = np.stack([values[rows + a, columns + b] for a in (-2, 0, 2) for b in (-2, 0, 2)])
        known = np.isfinite(found) & (np.ptp(blocks, 0) < 60) & (blocks.min(0) > -200)
        if known.sum() >= 50:
            errors.append(np.median(np.abs(found[known] - values[rows, columns][known])))
    assert len(errors) > len(files) / 2
    assert np.median(errors) < 3, "Hounsfield units"


@needs_data
@pytest.mark.parametrize("scan", resampled_scans(), ids=lambda s: s[0].name)
def test_each_voxel_is_what_scipy_interpolates(scan: tuple[Path, tuple[Path, ...]]) -> None:
    """Bilinear within the two slices about a voxel, linear between them, by true geometry."""
    path, files = scan
    volume = read(path)
    headers = [pydicom.dcmread(file) for file in by_position(files)]
    cosines = np.array(headers[0].ImageOrientationPatient, float)
    between = np.array(headers[0].PixelSpacing, float)
    normal = np.cross(cosines[:3], cosines[3:])
    positions = np.array([h.ImagePositionPatient for h in headers], float)
    rng = np.random.default_rng(0)
    index = np.array([rng.integers(0, n, 100_000) for n in volume.shape])
    world = LPS_TO_RAS[:, None] * (volume.affine[:3, :3] @ index + volume.affine[:3, 3:])
    place = np.interp(normal @ world, positions @ normal, np.arange(len(headers)))
    expected = np.zeros(index.shape[1])
    for k, header in enumerate(headers):
        weight = np.clip(1 - np.abs(place - k), 0, None)
        near = weight > 0
        away = world[:, near] - positions[k][:, None]
        at = np.array([cosines[3:] @ away / between[0], cosines[:3] @ away / between[1]])
        values = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
        if volume.padding is not None:
            values[(values >= volume.padding[0]) & (values <= volume.padding[1])] = np.nan
        expected[near] += weight[near] * map_coordinates(values, at, order=1, cval=np.nan)
    known = np.isfinite(expected)
    assert known.mean() > 0.3
    found = volume.data[tuple(index)].astype(np.float64)
    # half a unit is lost to rounding to whole ones
    assert np.abs(found - expected)[known].max() < 0.51


@needs_data
@pytest.mark.parametrize("scan", resampled_scans(), ids=lambda s: s[0].name)
def test_an_edge_is_not_moved(scan: tuple[Path, tuple[Path, ...]]) -> None:
    """The shift within the plane at which volume and slice agree best is none.

    The neighbours of a slice have their say between planes, so a part of a pixel is left;
    a tilt that were not straightened, or in the wrong direction, would be several.
    """
    path, files = scan
    volume = read(path)
    ordered = by_position(files)
    for file in ordered[2:-2:4]:
        dataset = pydicom.dcmread(file)
        stored = dataset.pixel_array.astype(np.float64)
        values = stored * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        rows, columns = (g.ravel() for g in np.mgrid[40:470:3, 40:470:3])
        rows = rows * dataset.Rows // 512
        columns = columns * dataset.Columns // 512
        true = values[rows, columns]
        world = pixel_world(dataset, rows, columns)
        cosines = np.array(dataset.ImageOrientationPatient, float)
        axes = {
            "row": LPS_TO_RAS * cosines[:3] * float(dataset.PixelSpacing[1]),
            "column": LPS_TO_RAS * cosines[3:] * float(dataset.PixelSpacing[0]),
        }
        for name, axis in axes.items():
            costs = []
            for shift in (-1, 0, 1):
                found = sampled(volume, world + shift * axis[:, None])
                known = np.isfinite(found)
                costs.append(float(((found - true)[known] ** 2).mean()))
            before, here, after = costs
            best = 0.5 * (before - after) / (before - 2 * here + after)
            assert abs(best) < 0.5, f"{file.name}: {best:.2f} pixels along the {name}"


TILT = np.radians(17.0)
STEPS = {
    "tilted": np.arange(24) * 3.0,
    "uneven": np.concatenate([np.arange(16) * 2.0, 32 + np.arange(8) * 4.0]),
}
CENTRE = np.array([31.3, -40.6, 27.0])
"""Of the blob, LPS+ mm."""
SIGMA_MM = 6.0


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS.keys())
@pytest.mark.parametrize(
    "tilts",
    [(0.0, 0.0), (0.0, TILT), (TILT, 0.0), (-TILT, TILT / 2)],
    ids=["upright", "leaning", "sideways", "both"],
)
@pytest.mark.parametrize("turned", [False, True], ids=["axial", "oblique"])
def test_a_blob_is_where_it_was(
    tmp_path: Path, steps: np.ndarray, tilts: tuple[float, float], turned: bool
) -> None:
    angle = np.radians(20) if turned else 0.0
    row = np.array([np.cos(angle), np.sin(angle), 0])
    column = np.array([-np.sin(angle), np.cos(angle), 0])
    normal = np.cross(row, column)
    spacing, size = (1.1, 1.3), (64, 72)  # between rows, between columns; rows, columns
    origin = CENTRE - row * 46 - column * 34 - normal * CENTRE[2]
    lean = np.tan(tilts[0]) * row + np.tan(tilts[1]) * column
    origin = origin - 26 * lean
    positions = origin + steps[:, None] * (normal + lean)
    y, x = np.mgrid[: size[0], : size[1]]
    volume = []
    for position in positions:
        world = position + x[..., None] * spacing[1] * row + y[..., None] * spacing[0] * column
        distance = ((world - CENTRE) ** 2).sum(-1)
        volume.append(np.rint(20000 * np.exp(-distance / (2 * SIGMA_MM**2)) - 1000))
    paths = write_series(tmp_path, np.array(volume, np.int16), direction=(*row, *column))
    for path, position in zip(paths, positions, strict=True):
        dataset = pydicom.dcmread(path)
        dataset.ImagePositionPatient = [round(float(v), 6) for v in position]
        dataset.PixelSpacing = list(spacing)
        dataset.save_as(path)
    read_back = read_volume(tmp_path)
    assert resampled(read_back) == bool(any(tilts) or np.ptp(np.diff(steps)) > 1)
    weights = np.clip(read_back.data.astype(np.float64) + 1000, 0, None)
    weights[weights < 40] = 0
    index = np.array([(g * weights).sum() / weights.sum() for g in np.indices(read_back.shape)])
    expected = np.linalg.inv(read_back.affine) @ np.append(LPS_TO_RAS * CENTRE, 1)
    np.testing.assert_allclose(index, expected[:3], atol=0.05)


def tilted_series(folder: Path, volume: np.ndarray, **tags: object) -> Volume:
    """A series that leans by half a slice, or 1.5 mm, per 3 mm: half of its grid is outside."""
    write_series(folder, volume, step=(0, 1.5, 3.0), **tags)
    return read_volume(folder)


def is_padding(volume: Volume) -> np.ndarray:
    assert volume.padding is not None
    low, high = volume.padding
    return (volume.data >= low) & (volume.data <= high)


@pytest.mark.parametrize(
    ("slope", "dtype", "lowest"),
    [
        (1, np.int32, -32768),
        (65536, np.float64, -(2**31)),
        (12345678.5, np.float32, np.float32(-32768 * 12345678.5)),
        (0.5, np.float32, -16384),
    ],
)
def test_what_is_outside_is_no_value_of_the_scan(
    tmp_path: Path, slope: float, dtype: type[np.generic], lowest: float
) -> None:
    """The lowest value of a type may be measured; what no slice covers is padding all the same."""
    data = np.random.default_rng(0).integers(-1000, 1000, (9, 16, 16)).astype(np.int16)
    data[:, :, 3] = -32768  # along the tilt: some voxels keep it
    volume = tilted_series(tmp_path, data, RescaleSlope=slope)
    assert volume.data.dtype == dtype
    padded = is_padding(volume)
    # 9 slices lean by 12 mm, or 14 of 0.9 mm: 30 rows, each slice in 16 of them
    assert volume.shape == (16, 30, 9)
    assert 0.4 < padded.mean() < 0.5
    column = volume.data[3]
    assert column[~padded[3]].min() == column[~padded[3]].max() == lowest
    assert volume.data[~padded].max() <= 1000 * slope


@pytest.mark.parametrize("value", [-2000, 0, 2000])
def test_padding_of_a_series_stays_apart_from_means(tmp_path: Path, value: int) -> None:
    """Padding between the values would be met by means of the values on both sides of it."""
    data = np.full((9, 16, 16), 900, np.int16)
    data[:, ::2] = -900
    data[:, :, 5] = value
    volume = tilted_series(tmp_path, data, PixelPaddingValue=value)
    padded = is_padding(volume)
    expected = {-2000: -2000, 0: -1025, 2000: 2000}[value]
    assert volume.padding == (expected, expected)
    assert padded[5].all()
    inside = ~padded[[0, 9]]
    # whole rows between the edge ones are measured; means of -900 and 900 are among them
    assert inside.sum(axis=1).min() >= 14
    assert np.abs(volume.data[~padded]).max() <= 900


def test_whole_numbers_of_32_bits_are_not_rounded(tmp_path: Path) -> None:
    data = np.full((4, 8, 8), 16_777_217, np.int32)  # 2²⁴ + 1, which no float32 holds
    bits = {"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31, "PixelRepresentation": 1}
    volume = tilted_series(tmp_path, data, **bits)
    assert np.unique(volume.data[~is_padding(volume)]).tolist() == [16_777_217]


def test_slices_far_apart_in_value_keep_their_values_beside_padding(tmp_path: Path) -> None:
    data = np.repeat(np.arange(9, dtype=np.int16) * 100, 256).reshape(9, 16, 16)
    data[:, :, 0] = -2000
    volume = tilted_series(tmp_path, data, PixelPaddingValue=-2000)
    assert resampled(volume)
    padded = is_padding(volume)
    for n in range(9):
        plane, outside = volume.data[:, :, n], padded[:, :, n]
        np.testing.assert_array_equal(np.unique(plane[~outside]), 100 * n)
