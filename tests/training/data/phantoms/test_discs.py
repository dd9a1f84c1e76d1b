"""Images with discs: what is in the pixels, what the masks say, and a run in two dimensions."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from vcam_client.errors import ConfigError
from vcam_client.spec import Fit, Grid, SliceAggregation
from vcam_training import train
from vcam_training.config import Config, load, override
from vcam_training.data.dataset import DataSet
from vcam_training.data.phantoms import discs
from vcam_training.data.phantoms.discs import VARIANTS, Discs, Look, generate
from vcam_training.data.sources import DiscsSource
from vcam_training.run_folder import read_config

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 saves a variable by np.array(variable), which NumPy 2 would like to be otherwise.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

SMALL = Look(size=256, radius=50.0)
COUNT = 60


@pytest.fixture(scope="module")
def sparse() -> Discs:
    return generate(COUNT, SMALL, seed=3)


@pytest.fixture(scope="module")
def easy() -> Discs:
    return generate(COUNT, VARIANTS["easy"], seed=3)


def positives(made: Discs) -> np.ndarray:
    return np.flatnonzero(made.labels == 1)


def test_the_variants_are_those_of_the_task() -> None:
    assert VARIANTS["sparse"] == Look(size=1024, radius=50.0, noise=(0.5, 1.0), fill=0.7)
    assert VARIANTS["easy"] == Look(size=256, radius=40.0, noise=(0.0, 1.0), fill=1.0)


def test_an_image_of_the_sparse_variant() -> None:
    made = generate(2, VARIANTS["sparse"], seed=0)
    (disc,) = positives(made)
    assert made.images.shape == made.masks.shape == (2, 1024, 1024)
    assert made.images.dtype == np.float32
    assert (made.images[made.masks] == 1).mean() == pytest.approx(0.7, abs=0.02)
    assert 30 <= made.radii[disc] < 50


@pytest.mark.parametrize("variant", ["sparse", "easy"])
def test_noise_is_uniform_and_never_reaches_the_discs_value(
    variant: str, request: pytest.FixtureRequest
) -> None:
    made: Discs = request.getfixturevalue(variant)
    low, high = VARIANTS[variant].noise
    noise = made.images[~made.masks]
    assert low <= noise.min() < low + 1e-3
    assert high - 1e-3 < noise.max() < high
    assert noise.mean() == pytest.approx((low + high) / 2, abs=1e-3)
    assert noise.std() == pytest.approx((high - low) / 12**0.5, abs=1e-3)


def test_noise_stays_below_its_upper_end_when_it_rounds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class AlmostOne:
        def random(self, shape: tuple[int, int], dtype: type) -> np.ndarray:
            return np.full(shape, np.nextafter(dtype(1), dtype(0)))

    assert discs._noise(AlmostOne(), Look(size=128)).max() < 1.0


@pytest.mark.parametrize(("variant", "fill"), [("sparse", 0.7), ("easy", 1.0)])
def test_the_wanted_share_of_a_discs_pixels_is_set(
    variant: str, fill: float, request: pytest.FixtureRequest
) -> None:
    made: Discs = request.getfixturevalue(variant)
    shares = [(made.images[at][made.masks[at]] == 1).mean() for at in positives(made)]
    assert np.mean(shares) == pytest.approx(fill, abs=0.005)
    assert np.ptp(shares) < 0.1  # of each disc, not of all discs together


def test_the_pixels_that_are_not_set_keep_their_noise(sparse: Discs) -> None:
    left = sparse.images[sparse.masks & (sparse.images < 1)]
    assert left.mean() == pytest.approx(0.75, abs=0.005)


def test_a_mask_is_the_whole_disc_inside_the_image(sparse: Discs) -> None:
    rows, columns = np.indices((256, 256))
    for at in positives(sparse):
        (row, column), radius = sparse.centres[at], sparse.radii[at]
        inside = np.hypot(rows - row, columns - column) <= radius
        np.testing.assert_array_equal(sparse.masks[at], inside)
        assert inside.sum() == pytest.approx(np.pi * radius**2, rel=0.02)
        assert min(row, column) >= radius
        assert max(row, column) <= 255 - radius


def test_radii_are_uniform_between_three_fifths_and_the_whole() -> None:
    made = generate(600, Look(size=16, radius=5.0), seed=1)
    radii = np.sort(made.radii[positives(made)] / 5)
    assert radii[0] >= 0.6
    assert radii[-1] < 1
    expected = np.linspace(0.6, 1, len(radii))
    assert np.abs(radii - expected).max() < 0.04  # Kolmogorov-Smirnov: 1.63 / √300 of 0.4


def test_negative_images_have_neither_disc_nor_mask(sparse: Discs) -> None:
    none = sparse.labels == 0
    assert none.sum() == COUNT / 2
    assert not sparse.masks[none].any()
    assert sparse.images[none].max() < 1
    assert np.isnan(sparse.radii[none]).all()
    assert np.isnan(sparse.centres[none]).all()


def test_labels_are_shuffled(sparse: Discs) -> None:
    assert 0.3 < (np.diff(sparse.labels) != 0).mean() < 0.7


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, again, other = (generate(4, Look(size=128), seed=seed) for seed in (5, 5, 6))
    for field in ("images", "labels", "masks", "centres", "radii"):
        assert getattr(one, field).tobytes() == getattr(again, field).tobytes()
    assert one.images.tobytes() != other.images.tobytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 100}, r"fits into the image, received radius=50 and size=100"),
        ({"radius": 0.5}, "radius of at least 1 pixel"),
        ({"noise": (0.5, 0.5)}, "low < high"),
        ({"noise": (0.5, 1.5)}, "high ≤ 1"),
        ({"noise": (-0.5, 1.0)}, "0 ≤ low"),
        ({"fill": 0.0}, "0 < fill ≤ 1"),
        ({"fill": 1.1}, "0 < fill ≤ 1"),
    ],
)
def test_looks_that_can_not_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Look(**settings)
    with pytest.raises(ConfigError, match=message):
        DiscsSource(**settings)
    assert Look(size=101).size == 101


def made_by(tmp_path: Path, **settings: object) -> DataSet:
    return DiscsSource(**{"size": 16, "radius": 5.0} | settings).load(tmp_path, lambda line: None)


def test_a_hundred_images_are_split_70_15_15_with_half_of_each_class(tmp_path: Path) -> None:
    data = made_by(tmp_path)
    splits = data.splits.values()
    assert [len(split) for split in splits] == [70, 15, 15]
    assert [np.bincount(split.labels).tolist() for split in splits] == [[35, 35], [8, 7], [7, 8]]
    contents = [{image.tobytes() for image in split.volumes} for split in splits]
    assert len(set.union(*contents)) == 100
    for split in splits:
        np.testing.assert_array_equal(split.masks.any(axis=(1, 2)), split.labels == 1)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("images", "counts"),
    [
        (6, (2, 2, 2)),
        (10, (6, 2, 2)),
        (20, (14, 3, 3)),
        (50, (35, 8, 7)),
        (200, (140, 30, 30)),
    ],
)
def test_any_number_of_images_is_split(
    tmp_path: Path, images: int, counts: tuple[int, int, int]
) -> None:
    data = made_by(tmp_path, images=images)
    assert tuple(len(split) for split in data.splits.values()) == counts
    for split in data.splits.values():
        without, with_disc = np.bincount(split.labels)
        assert abs(without - with_disc) <= 1
    assert abs(sum(int(split.labels.sum()) for split in data.splits.values()) - images / 2) < 1


def test_fresh_images_are_tested_on_and_change_nothing_else(tmp_path: Path) -> None:
    few, many = made_by(tmp_path), made_by(tmp_path, fresh=200)
    assert many.train.volumes.tobytes() == few.train.volumes.tobytes()
    assert many.validation.volumes.tobytes() == few.validation.volumes.tobytes()
    assert many.test.volumes[:15].tobytes() == few.test.volumes.tobytes()
    assert np.bincount(many.test.labels[15:]).tolist() == [100, 100]
    assert len({image.tobytes() for s in many.splits.values() for image in s.volumes}) == 300


@pytest.mark.parametrize("variant", ["sparse", "easy"])
@pytest.mark.parametrize("size", [128, 131, 300])
def test_any_size_from_128_on_has_room_for_its_discs(
    tmp_path: Path, variant: str, size: int
) -> None:
    data = DiscsSource(variant=variant, size=size, images=6).load(tmp_path, lambda line: None)
    assert data.train.volumes.shape == (2, size, size)
    assert data.contract.grid.shape == (size, size)


def test_the_source_hashes_what_it_made(tmp_path: Path) -> None:
    digests = {made_by(tmp_path, **s).sha256 for s in ({}, {"seed": 1}, {"fill": 0.5})}
    assert made_by(tmp_path).sha256 in digests
    assert len(digests) == 3


def test_the_grid_and_the_intensities_are_those_of_the_variant() -> None:
    sparse, easy = DiscsSource(), DiscsSource(variant="easy")
    assert sparse.grid.shape == (1024, 1024)
    assert sparse.intensity.window == (0.5, 1.0)
    assert easy.grid.shape == (256, 256)
    assert easy.intensity.window == (0.0, 1.0)
    assert DiscsSource(variant="easy", size=512).look == Look(
        size=512, radius=40.0, noise=(0.0, 1.0), fill=1.0
    )
    assert sparse.slice_aggregation is SliceAggregation.NONE


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "hard"}, "variant out of"),
        ({"images": 5}, "at least 6 images.*received images=5"),
        ({"fresh": -1}, "fresh ones of 0 or more.*fresh=-1"),
    ],
)
def test_sources_that_can_not_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DiscsSource(**settings)


def test_the_looks_values_are_settings() -> None:
    config = override(
        load("discs", tiny=True),
        ["data.variant=easy", "data.size=128", "data.radius=20", "data.noise=0.1,0.9"],
    )
    assert config.data.look == Look(size=128, radius=20.0, noise=(0.1, 0.9), fill=1.0)
    assert Config.from_json_dict(json.loads(json.dumps(config.to_json_dict()))) == config
    with pytest.raises(ConfigError, match=r"data\.fill to be a number"):
        override(config, ["data.fill=half"])


def test_a_square_is_wanted_for_its_symmetries() -> None:
    augmentation = load("discs").augmentation
    assert augmentation.symmetries
    augmentation.check(DiscsSource().grid)
    with pytest.raises(ConfigError, match=r"equal sides for augmentation\.symmetries"):
        augmentation.check(Grid(shape=(64, 32), axes=(), fit=Fit.STRETCH))


def test_a_run_in_two_dimensions(tmp_path: Path) -> None:
    config = load("discs", tiny=True)
    out = train.run(config, tmp_path / "run", data_folder=tmp_path)
    assert read_config(out) == config
    metrics = json.loads((out / "metrics.json").read_text())
    named = {metric["name"]: metric for metric in metrics["metrics"]}
    assert named["accuracy"]["count"] == config.data.counts[2]
    best = keras.models.load_model(out / "best.keras")
    assert best.input_shape == (None, 64, 64, 1)
