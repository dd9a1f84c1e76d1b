"""Soil slices: targets against counting by hand, the same cube in every kind of file."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tifffile
from client.dicom_files import write_series

from vcam_client.errors import ConfigError
from vcam_client.spec import SliceAggregation
from vcam_training.config import Config, load, override
from vcam_training.data.dataset import DataSet
from vcam_training.data.soil.soil_cube import read_cube
from vcam_training.data.soil.soil_source import bands_for
from vcam_training.data.sources import SoilPorositySource
from vcam_training.intensity import intensity_layer
from vcam_training.task import Task

SLICES, ROWS, COLUMNS = 30, 24, 20
SLOPE, INTERCEPT = 2, -1000
SMALL = {"size": 16, "blocks": 5, "validation": 1, "test": 1, "gap": 1}


@pytest.fixture(scope="module")
def stored() -> np.ndarray:
    """int16 [slices, rows, columns]; every slice, row and column differs."""
    rng = np.random.default_rng(0)
    cube = rng.integers(0, 1500, (SLICES, ROWS, COLUMNS))
    cube += 10 * np.arange(SLICES)[:, None, None] + 3 * np.arange(COLUMNS)
    return cube.astype(np.int16)


@pytest.fixture(scope="module")
def tiff(stored: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiff") / "soil.tif"
    tifffile.imwrite(path, stored * SLOPE + INTERCEPT, photometric="minisblack")
    return path


@pytest.fixture(scope="module")
def dicom(stored: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files whose names and numbers run against their positions."""
    folder = tmp_path_factory.mktemp("dicom") / "soil"
    write_series(folder, stored, RescaleSlope=SLOPE, RescaleIntercept=INTERCEPT)
    return folder


def source(series: Path, **settings: object) -> SoilPorositySource:
    spacing = 0.1 if series.suffix == ".tif" else 0.0
    return SoilPorositySource(series=str(series), spacing_mm=spacing, **{**SMALL, **settings})


def loaded(made: SoilPorositySource) -> DataSet:
    return made.load(Path("unused"), lambda line: None)


def all_of(data: DataSet, part: str) -> dict[str, np.ndarray]:
    """What a split holds of each slice, by the slice's name."""
    return {
        name: getattr(split, part)[at]
        for split in data.splits.values()
        for at, name in enumerate(split.names)
    }


def by_hand(cube: np.ndarray, image: np.ndarray, phases: tuple[int, ...]) -> float:
    """1 minus the share of voxels of some phases, counted one by one."""
    low, high = int(cube.min()), int(cube.max())
    found = 0
    for value in image.ravel().tolist():
        at = 6 * (value - low) / (high - low)
        found += any(phase - 1 <= at < phase or (phase == at == 6) for phase in phases)
    return 1 - found / image.size


def test_targets_are_what_counting_gives(stored: np.ndarray, tiff: Path) -> None:
    physical = stored * SLOPE + INTERCEPT
    data = loaded(source(tiff, targets=(1, 2, 3, 4, 5)))
    labels = all_of(data, "labels")
    for name, values in labels.items():
        image = physical[int(name.removeprefix("slice "))]
        expected = [by_hand(physical, image, phases) for phases in ((1,), (2,), (3,), (4,), (5, 6))]
        np.testing.assert_allclose(values, expected, atol=1e-6)
    # what is left out of all five targets together is the whole slice
    np.testing.assert_allclose([(1 - row).sum() for row in labels.values()], 1, atol=1e-5)


def test_a_series_and_a_stack_of_the_same_cube_are_the_same(dicom: Path, tiff: Path) -> None:
    of_dicom, of_tiff = (loaded(source(path, targets=(1, 5))) for path in (dicom, tiff))
    assert of_dicom.contract.intensity.units == "HU"
    assert of_tiff.contract.intensity.units == ""
    assert of_dicom.contract.intensity.band_edges == of_tiff.contract.intensity.band_edges
    for name in ("train", "validation", "test"):
        for part in ("volumes", "labels", "names"):
            np.testing.assert_array_equal(
                getattr(of_dicom.splits[name], part), getattr(of_tiff.splits[name], part)
            )


def test_slices_rows_and_columns_can_be_chosen(stored: np.ndarray, dicom: Path) -> None:
    cube = read_cube(dicom, slices=(4, 29), crop=(2, 22, 1, 17))
    part = stored[4:29, 2:22, 1:17] * SLOPE + INTERCEPT
    np.testing.assert_array_equal(cube.values, part)
    whole = read_cube(dicom).volume
    assert cube.volume.world((0, 0, 0)) == pytest.approx(whole.world((1, 2, 4)))
    made = source(dicom, slices=(4, 29), crop=(2, 22, 1, 17), size=16)
    edges = loaded(made).contract.intensity.band_edges
    np.testing.assert_allclose(edges[::3], (part.min(), part.max()))


def test_slices_are_averaged_onto_the_grid(tiff: Path, stored: np.ndarray) -> None:
    data = loaded(source(tiff, crop=(0, 16, 4, 20), size=8))
    physical = stored[:, 0:16, 4:20] * SLOPE + INTERCEPT
    means = physical.reshape(SLICES, 8, 2, 8, 2).mean(axis=(2, 4))
    for name, image in all_of(data, "volumes").items():
        np.testing.assert_allclose(image, means[int(name.removeprefix("slice "))], rtol=1e-6)


def test_what_the_network_is_told(tiff: Path) -> None:
    contract = loaded(source(tiff, targets=(3, 5))).contract
    assert contract.task is Task.REGRESSION
    assert contract.labels == ("1 - fraction of phase 3", "1 - fraction of phases 5 and 6")
    assert contract.unit == ""
    assert contract.slice_aggregation is SliceAggregation.MEAN
    assert contract.grid.axes == ()
    assert contract.intensity.window is None


def test_bands_can_be_chosen(tiff: Path, stored: np.ndarray) -> None:
    edges = loaded(source(tiff, bands=(1, 2, 3, 5))).contract.intensity.band_edges
    low, high = (float(value) * SLOPE + INTERCEPT for value in (stored.min(), stored.max()))
    expected = low + (high - low) / 6 * np.array([1, 2, 3, 5])
    np.testing.assert_allclose(edges, expected, rtol=1e-6)


def test_the_same_seed_makes_the_same_data() -> None:
    tiny = load("soil_porosity", tiny=True).data
    one, again = loaded(tiny), loaded(tiny)
    other = loaded(override(load("soil_porosity", tiny=True), ["data.seed=1"]).data)
    assert one.sha256 == again.sha256 != other.sha256
    assert one.train.volumes.tobytes() == again.train.volumes.tobytes()


def test_splits_are_blocks_with_gaps() -> None:
    data = loaded(load("soil_porosity").data)
    numbers = {
        name: np.array([int(text.removeprefix("slice ")) for text in split.names])
        for name, split in data.splits.items()
    }
    assert sum(map(len, numbers.values())) > 900
    for name, chosen in numbers.items():
        others = np.concatenate([numbers[other] for other in numbers if other != name])
        assert np.abs(chosen[:, None] - others[None]).min() > 8


def test_padding_of_a_scanner_is_refused(stored: np.ndarray, tmp_path: Path) -> None:
    padded = stored.copy()
    padded[:, :2] = -2000
    write_series(tmp_path / "series", padded, PixelPaddingValue=-2000)
    with pytest.raises(ConfigError, match="Set a crop inside it"):
        loaded(source(tmp_path / "series"))
    assert loaded(source(tmp_path / "series", crop=(2, ROWS, 0, COLUMNS))).train


@pytest.mark.parametrize(
    ("targets", "bands"),
    [
        ((1,), (0, 1, 3, 6)),
        ((2,), (0, 1, 2, 6)),
        ((3,), (0, 2, 3, 6)),
        ((4,), (0, 3, 4, 6)),
        ((5,), (0, 2, 4, 6)),
        ((1, 2, 3, 4, 5), (0, 2, 4, 6)),
    ],
)
def test_what_a_target_counts_is_a_band_of_its_own(
    targets: tuple[int, ...], bands: tuple[int, ...], tiff: Path
) -> None:
    data = loaded(source(tiff, targets=targets, size=ROWS, crop=(0, ROWS, 0, COLUMNS)))
    edges = data.contract.intensity.band_edges
    assert bands_for(targets) == bands
    width = (edges[-1] - edges[0]) / 6
    np.testing.assert_allclose(edges, edges[0] + width * np.array(bands), rtol=1e-6)


def test_one_band_of_the_graph_has_the_target(tiff: Path) -> None:
    """Not resampled, 1 minus the mean of one of the three channels is the target."""
    for target, channel in ((1, 0), (2, 1), (3, 1), (4, 1), (5, 2)):
        data = loaded(source(tiff, targets=(target,), crop=(0, 20, 0, 20), size=20))
        layer = intensity_layer("bands", data.contract.intensity, data.grid)
        seen = keras.ops.convert_to_numpy(layer(data.train.volumes[..., None]))
        np.testing.assert_allclose(
            1 - seen[..., channel].mean(axis=(1, 2)), data.train.labels[:, 0], atol=1e-6
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"targets": ()}, "targets out of"),
        ({"targets": (6,)}, "targets out of"),
        ({"bands": (0, 2, 4)}, "four ascending edges"),
        ({"bands": (0, 2, 2, 6)}, "four ascending edges"),
        ({"bands": (0, 2, 4, 7)}, "four ascending edges"),
        ({"size": 0}, "at least 1 pixel"),
        ({"gap": 0}, "gap of at least 1"),
        ({"made_size": 1}, "at least 2 voxels"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SoilPorositySource(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"slices": (0, 31)}, "part of the 30 slices"),
        ({"slices": (3,)}, "2 numbers for slices"),
        ({"crop": (0, 24, 5, 21)}, "part of the 20 columns"),
        ({"crop": (9, 9, 0, 20)}, "part of the 24 rows"),
        ({"blocks": 20}, "longer than the gap"),
        ({"series": "gone.tif"}, "data.series=gone.tif"),
    ],
)
def test_parts_that_are_not_there_are_refused(
    settings: dict[str, object], message: str, tiff: Path
) -> None:
    given = {**SMALL, "series": str(tiff), "spacing_mm": 0.1, **settings}
    with pytest.raises(ConfigError, match=message):
        loaded(SoilPorositySource(**given))


def test_a_config_of_it_is_read_back(tiff: Path) -> None:
    config = override(
        load("soil_porosity"), [f"data.series={tiff}", "data.crop=0,8,0,8", "data.targets=2,5"]
    )
    assert Config.from_json_dict(config.to_json_dict()) == config
