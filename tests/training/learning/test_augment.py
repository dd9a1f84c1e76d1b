"""What augmentation does to volumes and masks, against scipy and known places."""

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from scipy import ndimage

from vcam_client.errors import ConfigError
from vcam_client.spec import Fit, Grid
from vcam_training.learning.augment import augmenter
from vcam_training.learning.augmentation import Augmentation

AIR = -1000.0
SHAPE = (9, 12, 11)
SETTINGS = {
    "symmetries": Augmentation(symmetries=True),
    "mirror": Augmentation(mirror=(0, 1, 2)),
    "shift": Augmentation(shift=3),
    "rotate": Augmentation(rotate=20.0),
    "rotate about each axis": Augmentation(rotate=20.0, rotate_axis=-1),
    "angles": Augmentation(angles=(5.0, 10.0, 20.0), rotate_axis=1),
    "scale": Augmentation(scale=0.2),
    "gain": Augmentation(gain=0.2),
    "offset": Augmentation(offset=30.0),
    "noise": Augmentation(noise=20.0),
    "all": Augmentation(
        mirror=(2,), shift=2, rotate=10.0, scale=0.1, gain=0.1, offset=5.0, noise=2.0
    ),
}
GEOMETRY = [name for name in SETTINGS if name not in ("gain", "offset", "noise", "all")]


def grid(
    shape: tuple[int, ...], padding: float = 0.0, spacing: tuple[float, ...] | None = None
) -> Grid:
    if spacing is None:
        return Grid(shape=shape, padding_value=padding)
    return Grid(shape=shape, padding_value=padding, fit=Fit.SPACING, spacing_mm=spacing)


def some_volume(shape: tuple[int, ...] = SHAPE) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-900, 900, shape).astype(np.float32)


@functools.cache
def graph(augmentation: Augmentation, on: Grid) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    return tf.function(augmenter(augmentation, on))


def all_of(
    augmentation: Augmentation,
    on: Grid,
    volume: NDArray,
    count: int,
    mask: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The volume and mask changed by seeds 0 to count, [count, *grid] each."""
    marked = np.zeros(on.shape, bool) if mask is None else mask
    change, values = graph(augmentation, on), tf.constant(volume, tf.float32)
    made = [change(values, tf.constant([0, seed]), tf.constant(marked)) for seed in range(count)]
    return np.stack([v.numpy() for v, _ in made]), np.stack([m.numpy() for _, m in made])


def unique(volumes: NDArray) -> set[bytes]:
    return {volume.tobytes() for volume in volumes}


def ball(
    shape: tuple[int, ...], centre: tuple[float, ...], sigma: float = 2.0
) -> NDArray[np.float32]:
    """A smooth blob of height 1."""
    index = np.indices(shape, float)
    squares = sum((i - c) ** 2 for i, c in zip(index, centre, strict=True))
    return np.exp(-squares / (2 * sigma**2)).astype(np.float32)


def centroid(values: NDArray) -> NDArray[np.float64]:
    return np.array(ndimage.center_of_mass(values.astype(float)))


def test_without_settings_everything_stays() -> None:
    volume = some_volume()
    volumes, masks = all_of(Augmentation(), grid(SHAPE, AIR), volume, 3, volume > 0)
    assert unique(volumes) == {volume.tobytes()}
    assert unique(masks) == {(volume > 0).tobytes()}


def test_no_mask_is_no_mask() -> None:
    change = augmenter(SETTINGS["all"], grid(SHAPE))
    assert change(tf.constant(some_volume()), tf.constant([1, 2]), None)[1] is None


@pytest.mark.parametrize("name", SETTINGS)
def test_a_seed_decides(name: str) -> None:
    shape = (10, 10, 10) if name == "symmetries" else SHAPE
    volume = some_volume(shape)
    first, masks = all_of(SETTINGS[name], grid(shape, AIR), volume, 8, volume > 0)
    again = tf.function(augmenter(SETTINGS[name], grid(shape, AIR)))
    for seed in (2, 5):
        values, mask = again(tf.constant(volume), tf.constant([0, seed]), tf.constant(volume > 0))
        assert values.numpy().tobytes() == first[seed].tobytes()
        assert mask.numpy().tobytes() == masks[seed].tobytes()
    assert first.shape == (8, *shape)
    assert first.dtype == np.float32
    assert len(unique(first)) > 3


@pytest.mark.parametrize("name", GEOMETRY)
@pytest.mark.parametrize("padding", [AIR, 2000.0])
def test_geometry_stays_in_the_range_of_volume_and_padding(name: str, padding: float) -> None:
    shape = (10, 10, 10) if name == "symmetries" else SHAPE
    volume = some_volume(shape)
    volumes, _ = all_of(SETTINGS[name], grid(shape, padding), volume, 10)
    assert volumes.min() >= min(volume.min(), padding)
    assert volumes.max() <= max(volume.max(), padding)


@pytest.mark.parametrize("name", ["rotate", "rotate about each axis"])
def test_not_even_rounding_leaves_the_range(name: str) -> None:
    """Two shares of one value may add up to a little more."""
    volume = np.full(SHAPE, 40.3, np.float32)
    volumes, _ = all_of(SETTINGS[name], grid(SHAPE, AIR), volume, 10)
    assert volumes.max() <= volume.max()
    assert volumes.max() == pytest.approx(40.3, abs=1e-3)


@pytest.mark.parametrize("name", SETTINGS)
def test_padding_stays_exactly_padding(name: str) -> None:
    """So that a layer that leaves padding out finds it, whatever its value."""
    shape = (10, 10, 10) if name == "symmetries" else SHAPE
    padding = -1000.3
    volume = np.full(shape, padding, np.float32)
    volumes, _ = all_of(SETTINGS[name], grid(shape, padding), volume, 5)
    assert unique(volumes) == {volume.tobytes()}


@pytest.mark.parametrize("name", ["shift", "rotate", "rotate about each axis", "angles"])
def test_padding_comes_in_from_outside(name: str) -> None:
    volumes, masks = all_of(
        SETTINGS[name], grid(SHAPE, AIR), np.full(SHAPE, 40.0), 10, np.ones(SHAPE, bool)
    )
    assert (volumes == AIR).any()
    assert (volumes == 40).any()
    np.testing.assert_allclose(volumes >= (AIR + 40) / 2, masks)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_angles_turn_both_ways_as_scipy_does(axis: int) -> None:
    volume = some_volume()
    augmentation = Augmentation(angles=(10.0, 25.0), rotate_axis=axis)
    volumes, _ = all_of(augmentation, grid(SHAPE, AIR), volume, 80)
    plane = tuple(other for other in range(3) if other != axis)
    counts = dict.fromkeys((-25, -10, 10, 25), 0)
    for turned in volumes:
        for angle in counts:
            expected = ndimage.rotate(
                volume, angle, plane, reshape=False, order=1, mode="grid-constant", cval=AIR
            )
            counts[angle] += bool(np.abs(turned - expected).max() < 0.1)
    assert sum(counts.values()) == 80
    assert min(counts.values()) >= 8  # 20 each are expected


def test_an_image_turns_in_its_plane() -> None:
    image = some_volume((15, 10))
    volumes, _ = all_of(Augmentation(angles=(30.0,)), grid((15, 10), AIR), image, 20)
    kinds = [
        ndimage.rotate(image, angle, reshape=False, order=1, mode="grid-constant", cval=AIR)
        for angle in (30, -30)
    ]
    found = {int(np.argmin([np.abs(turned - kind).max() for kind in kinds])) for turned in volumes}
    assert found == {0, 1}
    assert all(min(np.abs(turned - kind).max() for kind in kinds) < 0.1 for turned in volumes)


def test_a_quarter_turn_moves_whole_voxels() -> None:
    """Whichever way, about the centre (n − 1) / 2 of even and odd sides."""
    for shape in ((7, 8, 8), (8, 7, 7)):
        volume = some_volume(shape)
        volumes, _ = all_of(Augmentation(angles=(90.0,)), grid(shape), volume, 20)
        ways = [np.rot90(volume, turns, (1, 2)) for turns in (1, 3)]
        distances = np.array([[np.abs(v - way).max() for way in ways] for v in volumes])
        assert (distances.min(axis=1) < 0.01).all()
        assert set(distances.argmin(axis=1)) == {0, 1}


def test_rotation_is_even_between_both_limits() -> None:
    spot = ball((3, 41, 41), (1, 20, 32))
    volumes, _ = all_of(Augmentation(rotate=40.0), grid((3, 41, 41)), spot, 200)
    places = np.array([centroid(volume) for volume in volumes])[:, 1:] - 20
    assert np.hypot(*places.T) == pytest.approx(12, abs=0.1)
    angles = np.degrees(np.arctan2(places[:, 0], places[:, 1]))
    assert np.abs(angles).max() <= 40.1
    assert abs(angles.mean()) < 5  # standard error 1.6
    assert angles.std() == pytest.approx(80 / math.sqrt(12), rel=0.15)


def test_about_each_axis_moves_a_spot_on_a_sphere() -> None:
    """Degrees of freedom: from one pole, a spot leaves in both directions."""
    spot = ball((31, 31, 31), (15, 15, 25))
    augmentation = Augmentation(rotate=30.0, rotate_axis=-1)
    volumes, _ = all_of(augmentation, grid((31, 31, 31)), spot, 40)
    places = np.array([centroid(volume) for volume in volumes]) - 15
    assert np.linalg.norm(places, axis=1) == pytest.approx(10, abs=0.1)
    assert (places[:, :2].std(axis=0) > 1.5).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_rotation_is_one_in_millimetres(axis: int) -> None:
    """Of a grid whose slices are thick."""
    spacing = np.array([3.0, 1.0, 2.0])
    shape = (21, 41, 31)
    centre = (np.array(shape) - 1) / 2
    start = np.array([12.0, -6.0, 8.0])
    spot = ball(shape, tuple(centre + start / spacing), 1.5)
    on = grid(shape, spacing=tuple(spacing))
    volumes, _ = all_of(Augmentation(angles=(30.0,), rotate_axis=axis), on, spot, 12)
    first, second = (other for other in range(3) if other != axis)
    expected = []
    for degrees in (30, -30):
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        end = start.copy()
        end[first] = cosine * start[first] - sine * start[second]
        end[second] = sine * start[first] + cosine * start[second]
        expected.append(end)
    found = set()
    for volume in volumes:
        place = (centroid(volume) - centre) * spacing
        off = [np.abs(place - end).max() for end in expected]
        assert min(off) < 0.2
        found.add(int(np.argmin(off)))
    assert found == {0, 1}


def test_without_spacing_or_with_equal_ones_voxels_are_turned_alike() -> None:
    volume = some_volume()
    augmentation = Augmentation(rotate=30.0, rotate_axis=-1)
    without, _ = all_of(augmentation, grid(SHAPE), volume, 3)
    equal, _ = all_of(augmentation, grid(SHAPE, spacing=(2.5,) * 3), volume, 3)
    np.testing.assert_allclose(without, equal, atol=1e-2)


def test_scale_magnifies_and_shrinks_about_the_centre() -> None:
    sigma = 2.0
    spot = ball((33, 33, 33), (16, 16, 16), sigma)
    volumes, _ = all_of(Augmentation(scale=0.3), grid((33, 33, 33)), spot, 60)
    # linear interpolation blurs: what is magnified is compared by volume
    factors = np.array([(volume.sum() / spot.sum()) ** (1 / 3) for volume in volumes])
    assert np.abs([centroid(volume) - 16 for volume in volumes]).max() < 0.05
    assert 0.695 < factors.min() < 0.8
    assert 1.2 < factors.max() < 1.305
    assert factors.mean() == pytest.approx(1, abs=0.08)


def test_shifting_moves_whole_voxels_and_fills_with_padding() -> None:
    volume = np.full((5, 6, 7), AIR, np.float32)
    volume[2, 3, 3] = 40
    volumes, masks = all_of(
        Augmentation(shift=1), grid(volume.shape, AIR), volume, 300, volume == 40
    )
    assert set(np.unique(volumes)) == {AIR, 40}
    assert ((volumes == 40) == masks).all()
    places = {tuple(np.argwhere(moved == 40)[0] - (2, 3, 3)) for moved in volumes}
    assert places == {(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)}
    edge, _ = all_of(Augmentation(shift=1), grid((2, 2, 2), -7.0), np.full((2, 2, 2), 5.0), 300)
    assert {float(moved.min()) for moved in edge} == {-7.0, 5.0}


def test_shifts_of_turned_volumes_reach_as_far() -> None:
    spot = ball((25, 25, 25), (12, 12, 12))
    augmentation = Augmentation(rotate=15.0, shift=3)
    volumes, _ = all_of(augmentation, grid((25, 25, 25)), spot, 60)
    shifts = np.array([centroid(volume) for volume in volumes]) - 12
    assert np.abs(shifts).max() <= 3.05
    assert (shifts.max(axis=0) > 2).all()
    assert (shifts.min(axis=0) < -2).all()


@pytest.mark.parametrize(("axes", "ways"), [(3, 48), (2, 8)])
def test_a_cube_has_48_symmetries_and_a_square_8(axes: int, ways: int) -> None:
    volume = np.arange(3**axes, dtype=np.float32).reshape((3,) * axes)
    volumes, masks = all_of(
        Augmentation(symmetries=True), grid(volume.shape), volume, 20 * ways, volume > 5
    )
    assert len(unique(volumes)) == ways
    assert ((volumes > 5) == masks).all()
    if axes == 2:
        turned = [np.rot90(side, n) for side in (volume, volume.T) for n in range(4)]
        assert unique(volumes) == {side.tobytes() for side in turned}


def test_mirroring_swaps_left_and_right_half_of_the_time() -> None:
    volume = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    volumes, _ = all_of(Augmentation(mirror=(2,)), grid((2, 2, 2)), volume, 100)
    assert unique(volumes) == {volume.tobytes(), volume[:, :, ::-1].tobytes()}
    assert 30 < sum((moved == volume).all() for moved in volumes) < 70


def test_each_axis_is_mirrored_on_its_own() -> None:
    volume = some_volume((3, 4, 5))
    volumes, _ = all_of(Augmentation(mirror=(0, 2)), grid((3, 4, 5)), volume, 60)
    assert unique(volumes) == {
        volume[::first, :, ::last].tobytes() for first in (1, -1) for last in (1, -1)
    }


@pytest.mark.parametrize("name", GEOMETRY)
def test_a_mask_moves_with_its_volume(name: str) -> None:
    shape = (48, 48, 48) if name == "symmetries" else (44, 50, 48)
    blob = ball(shape, (21, 26, 22.3), 10.0)
    marked = blob >= 0.5
    as_volume, masks = all_of(SETTINGS[name], grid(shape), marked, 6, marked)
    assert ((as_volume >= 0.5) == masks).all()
    assert (masks.sum(axis=(1, 2, 3)) > 3000).all()
    volumes, _ = all_of(SETTINGS[name], grid(shape), blob, 6)
    most = 0.2 if name == "scale" else 0.1  # a ball's flat caps come or go as a whole
    for volume, mask in zip(volumes, masks, strict=True):
        seen = np.where(volume > 0.3, volume, 0)
        assert np.abs(centroid(seen) - centroid(mask)).max() < most


def test_gain_multiplies_about_padding() -> None:
    volume = some_volume()
    volumes, masks = all_of(Augmentation(gain=0.2), grid(SHAPE, AIR), volume, 100, volume > 0)
    factors = (volumes - AIR) / (volume - AIR)
    assert np.ptp(factors, axis=(1, 2, 3)).max() < 1e-3
    means = factors.mean(axis=(1, 2, 3))
    assert 0.8 <= means.min() < 0.85
    assert 1.15 < means.max() <= 1.2
    assert (masks == (volume > 0)).all()


def test_offset_raises_and_lowers_all_alike() -> None:
    volume = some_volume()
    volumes, _ = all_of(Augmentation(offset=50.0), grid(SHAPE, AIR), volume, 100)
    offsets = volumes - volume
    assert np.ptp(offsets, axis=(1, 2, 3)).max() < 1e-3
    means = offsets.mean(axis=(1, 2, 3))
    assert -50 <= means.min() < -40
    assert 40 < means.max() <= 50


def test_noise_has_the_deviation_asked_for() -> None:
    volume = some_volume((20, 20, 20))
    volumes, _ = all_of(Augmentation(noise=20.0), grid((20, 20, 20), AIR), volume, 5)
    noise = volumes - volume
    assert noise.std() == pytest.approx(20, rel=0.03)
    assert abs(noise.mean()) < 0.5
    neighbours = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]
    assert abs(neighbours) < 0.03


def test_amounts_are_drawn_apart() -> None:
    """A volume that is raised is not always turned the same way, for example."""
    on = grid((3, 41, 41), AIR)
    spot = ball((3, 41, 41), (1, 20, 32)) * 1000
    augmentation = Augmentation(rotate=40.0, offset=50.0)
    volumes, _ = all_of(augmentation, on, spot, 100)
    offsets = volumes[:, 1, 20, 20]
    rest = volumes - offsets[:, None, None, None]
    angles = [centroid(np.where(volume > 50, volume, 0))[1] for volume in rest]
    assert abs(np.corrcoef(offsets, angles)[0, 1]) < 0.3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rotate": -5.0}, "0 or more"),
        ({"noise": math.nan}, "finite amounts"),
        ({"offset": math.inf}, "finite amounts"),
        ({"shift": 1.5}, "whole voxels of shift"),
        ({"scale": 1.0}, "below 1"),
        ({"gain": 1.5}, "below 1"),
        ({"rotate": 5.0, "angles": (5.0,)}, "received both"),
        ({"rotate": 270.0}, "0 to 180 degrees"),
        ({"angles": (-5.0, 5.0)}, "without its sign"),
        ({"angles": (math.nan,)}, "0 to 180 degrees"),
        ({"angles": (5.0, 5.0)}, "angles named once"),
        ({"mirror": (1, 1)}, "mirror named once"),
    ],
)
def test_odd_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(Augmentation(), **settings)


@pytest.mark.parametrize(
    ("augmentation", "on", "message"),
    [
        (Augmentation(symmetries=True), grid((4, 4, 5)), "grid of equal sides"),
        (
            Augmentation(symmetries=True),
            grid((4, 4, 4), spacing=(2.0, 1.0, 1.0)),
            "grid of equal sides",
        ),
        (Augmentation(mirror=(3,)), grid((4, 4, 4)), r"mirror=\(3,\)"),
        (Augmentation(mirror=(-1,)), grid((4, 4, 4)), r"mirror=\(-1,\)"),
        (Augmentation(mirror=(2,)), grid((4, 4)), "axes from 0 to 1"),
        (Augmentation(rotate=5.0, rotate_axis=3), grid((4, 4, 4)), "rotate_axis out of"),
        (Augmentation(rotate=5.0, rotate_axis=-2), grid((4, 4, 4)), "rotate_axis out of"),
        (Augmentation(rotate=5.0, rotate_axis=1), grid((4, 4)), "turns in its plane"),
        (Augmentation(shift=4), grid((4, 5, 6)), "nothing would be left"),
    ],
)
def test_settings_that_do_not_fit_a_grid_are_refused(
    augmentation: Augmentation, on: Grid, message: str
) -> None:
    for ask in (augmentation.check, lambda one: augmenter(augmentation, one)):
        with pytest.raises(ConfigError, match=message):
            ask(on)


def test_only_settings_that_change_something_count() -> None:
    assert Augmentation().is_none
    assert Augmentation(rotate_axis=2).is_none
    assert not any(augmentation.is_none for augmentation in SETTINGS.values())
