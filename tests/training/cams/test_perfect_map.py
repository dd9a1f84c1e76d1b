"""The ceiling that a layer's cells set to any map."""

from itertools import product

import numpy as np
import pytest

from vcam_client.spec import CamLayer
from vcam_training.cams.perfect_map import perfect_map_dice, worst_ball_dice
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.config import load
from vcam_training.data.phantoms.ct_phantom import LESION_RADIUS_MM
from vcam_training.intensity import Window
from vcam_training.models import KerasCt

KERAS_GRID = (64, 128, 128)
PLACES_OF_A_BALL = 12
PLASTIC = 1.22074408460575947536
"""Its powers place points evenly in a cube: M. Roberts, Evenly distributing points, 2018."""


def line(cells: int, offset: float, stride: float) -> CamLayer:
    return CamLayer(name="line", cells=(cells,), offset=(offset,), stride=(stride,))


def on_line(voxels: int, low: int, high: int) -> np.ndarray:
    mask = np.zeros(voxels, bool)
    mask[low:high] = True
    return mask


def cube(cells: int, offset: float, stride: float) -> CamLayer:
    return CamLayer(name="cube", cells=(cells,) * 3, offset=(offset,) * 3, stride=(stride,) * 3)


def ball(grid: tuple[int, ...], centre: np.ndarray, radius: float) -> np.ndarray:
    axes = np.ogrid[tuple(slice(n) for n in grid)]
    return sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) <= radius**2


def anywhere(grid: tuple[int, ...], radius: float) -> list[np.ndarray]:
    """Balls placed evenly, wholly inside the grid."""
    low, high = np.full(3, radius), np.array(grid) - 1 - radius
    steps = PLASTIC ** -np.arange(1.0, 4.0)
    shares = [(0.5 + steps * number) % 1 for number in range(PLACES_OF_A_BALL)]
    return [ball(grid, low + share * (high - low), radius) for share in shares]


@pytest.mark.parametrize(
    ("mask", "layer", "dice"),
    [
        # A cell for each voxel shows everything.
        (on_line(9, 2, 5), line(9, 0, 1), 1.0),
        # One cell of four voxels, exactly the object: 1 at its centre, 0.625 at its own
        # outer voxels, 0.375 at the next.
        (on_line(12, 4, 8), line(3, 1.5, 4), 1.0),
        # Across two cells: 0.5 in both and before them, falling behind: voxels 0 … 5.
        (on_line(12, 2, 6), line(3, 1.5, 4), 2 * 4 / (4 + 6)),
        # Half a cell: the map can't tell which half; all four voxels at the best threshold.
        (on_line(12, 4, 6), line(3, 1.5, 4), 2 * 2 / (4 + 2)),
        # Beyond half a cell from the outermost centre there is no map: voxels 0 … 7 here.
        (on_line(20, 0, 6), line(2, 9.5, 4), 0.0),
        (on_line(20, 6, 12), line(2, 9.5, 4), 2 * 4 / (4 + 6)),
    ],
)
def test_on_a_line(mask: np.ndarray, layer: CamLayer, dice: float) -> None:
    assert perfect_map_dice(mask, layer) == pytest.approx(dice)


def test_in_space() -> None:
    """One voxel of a cell of 2³: all eight look the same."""
    voxel, whole = np.zeros((8, 8, 8), bool), np.zeros((8, 8, 8), bool)
    voxel[2, 3, 2] = True
    whole[2:4, 2:4, 2:4] = True
    assert perfect_map_dice(voxel, cube(4, 0.5, 2)) == pytest.approx(2 * 1 / (8 + 1))
    assert perfect_map_dice(whole, cube(4, 0.5, 2)) == pytest.approx(1)
    assert perfect_map_dice(voxel, cube(8, 0, 1)) == pytest.approx(1)


def test_it_is_the_best_of_all_thresholds() -> None:
    """The same, by trying every threshold on a map made by plain loops."""
    rng = np.random.default_rng(1)
    layer = CamLayer(name="plane", cells=(3, 4), offset=(2.0, 1.0), stride=(3.0, 2.0))
    for _ in range(20):
        mask = rng.random((10, 9)) < 0.3
        cells = np.zeros(layer.cells)
        for a, b in product(*map(range, layer.cells)):
            shares = np.zeros((10, 9))
            for i, j in product(range(10), range(9)):
                shares[i, j] = overlap(i, 2 + 3 * a, 3) * overlap(j, 1 + 2 * b, 2)
            cells[a, b] = (shares * mask).sum() / 6
        map_ = np.zeros((10, 9))
        for i, j in product(range(10), range(9)):
            map_[i, j] = sum(
                weight(i, 2, 3, 3, a) * weight(j, 1, 2, 4, b) * cells[a, b]
                for a, b in product(*map(range, layer.cells))
            )
        dice = max(
            2 * (mask & (map_ > t - 1e-6)).sum() / (mask.sum() + (map_ > t - 1e-6).sum())
            for t in np.unique(map_[map_ > 0])
        )
        assert perfect_map_dice(mask, layer) == pytest.approx(dice)


def overlap(voxel: int, centre: float, width: float) -> float:
    return max(0.0, min(voxel + 0.5, centre + width / 2) - max(voxel - 0.5, centre - width / 2))


def weight(voxel: int, offset: float, stride: float, cells: int, cell: int) -> float:
    position = (voxel - offset) / stride
    if not -0.5 <= position <= cells - 0.5:
        return 0.0
    return max(0.0, 1 - abs(min(max(position, 0), cells - 1) - cell))


def test_the_worst_ball_is_no_better_than_balls_at_other_places() -> None:
    layer, grid = cube(8, 1.5, 4), (32, 32, 32)
    worst = worst_ball_dice(4, layer, grid)
    centres = 13.5 + np.random.default_rng(0).uniform(0, 4, (30, 3))
    found = [perfect_map_dice(ball(grid, centre, 4), layer) for centre in centres]
    assert worst <= min(found) + 0.02
    assert worst < np.mean(found)
    assert worst < worst_ball_dice(8, layer, grid)


@pytest.mark.parametrize(
    ("grid", "layer", "radii"),
    [
        ((24, 24, 24), cube(6, 1.5, 4), (4, 4, 4)),
        ((24, 24, 24), cube(6, 1.5, 4), (2.5, 4, 5)),
        ((16, 24, 24), cube(4, 3.5, 3), (3, 3, 3)),  # the first axis is no other's like
        ((21, 14), CamLayer(name="plane", cells=(5, 9), offset=(2, -1.5), stride=(4, 1.5)), (3, 2)),
        ((12, 20), CamLayer(name="wide", cells=(1, 2), offset=(5.5, 3), stride=(12, 8)), (9, 6)),
        (
            (24, 20),
            CamLayer(name="fine", cells=(48, 60), offset=(0, 0), stride=(0.5, 1 / 3)),
            (3, 2),
        ),
        ((15, 15), CamLayer(name="tiny", cells=(5, 5), offset=(1, 1), stride=(3, 3)), (0.3, 0.4)),
    ],
)
def test_the_worst_ball_is_that_of_the_whole_grid(
    grid: tuple[int, ...], layer: CamLayer, radii: tuple[float, ...]
) -> None:
    """The same placements, masks and maps on the whole grid, every threshold tried."""
    worst = 1.0
    for phases in product(*(np.linspace(0, stride / 2, 5) for stride in layer.stride)):
        centre = [
            offset + stride * ((cells - 1) // 2) + phase
            for cells, offset, stride, phase in zip(
                layer.cells, layer.offset, layer.stride, phases, strict=True
            )
        ]
        index = np.stack(np.indices(grid), axis=-1)
        mask = (((index - centre) / radii) ** 2).sum(axis=-1) <= 1
        mask |= (index == np.rint(centre)).all(axis=-1)
        map_ = mask.astype(float)
        for axis, (voxels, cells, offset, stride) in enumerate(
            zip(grid, layer.cells, layer.offset, layer.stride, strict=True)
        ):
            there = [
                [overlap(i, offset + stride * c, stride) / stride for i in range(voxels)]
                for c in range(cells)
            ]
            back = [
                [weight(i, offset, stride, cells, c) for c in range(cells)] for i in range(voxels)
            ]
            map_ = np.moveaxis(np.tensordot(np.dot(back, there), map_, (1, axis)), 0, axis)
        levels = np.round(map_, 6)
        worst = min(
            worst,
            max(
                2 * (mask & (levels >= level)).sum() / (mask.sum() + (levels >= level).sum())
                for level in np.unique(levels[levels > 0])
            ),
        )
    assert worst_ball_dice(radii, layer, grid) == pytest.approx(worst, abs=1e-9)


def test_an_empty_mask_is_shown_by_nothing() -> None:
    assert perfect_map_dice(np.zeros((4, 4, 4), bool), cube(2, 0.5, 2)) == 0


def test_the_ct_phantoms_cells_show_its_smallest_lesion() -> None:
    config = load("ct_phantom")
    source = config.data
    model = config.model.build(source.grid.shape, Window(*source.window), 1)
    layer = cam_layer(model, config.model.target_layer)
    radius = LESION_RADIUS_MM[0] / source.spacing_mm
    assert worst_ball_dice(radius, layer, source.grid.shape) >= 0.7
    middle = np.array(layer.offset) + np.array(layer.stride) * (np.array(layer.cells) // 2)
    for phase in np.random.default_rng(0).uniform(-0.5, 0.5, (20, 3)):
        lesion = ball(source.grid.shape, middle + phase * layer.stride, radius)
        assert perfect_map_dice(lesion, layer) >= 0.7


@pytest.fixture(scope="module")
def keras_ct_layers() -> dict[str, CamLayer]:
    model = KerasCt().build(KERAS_GRID, Window(-1000.0, 400.0), 1)
    return {name: cam_layer(model, name) for name in ("conv3", "conv4")}


def test_the_keras_ct_networks_cells(keras_ct_layers: dict[str, CamLayer]) -> None:
    last, before = keras_ct_layers["conv4"], keras_ct_layers["conv3"]
    assert (last.cells, last.offset, last.stride) == ((4, 12, 12), (18.5,) * 3, (8.0,) * 3)
    assert (before.cells, before.offset, before.stride) == ((12, 28, 28), (8.5,) * 3, (4.0,) * 3)


@pytest.mark.parametrize(("radius", "dice"), [(6, 0.29), (10, 0.49), (16, 0.62)])
def test_the_keras_ct_networks_last_cells_show_little(
    keras_ct_layers: dict[str, CamLayer], radius: int, dice: float
) -> None:
    """As docs/contract.md says: half of the map's maximum, mean over places in the grid."""
    balls = anywhere(KERAS_GRID, radius)
    shown = np.mean([half_dice(mask, keras_ct_layers["conv4"]) for mask in balls])
    assert shown == pytest.approx(dice, abs=0.06)


def test_the_keras_ct_networks_layer_before_shows_more(
    keras_ct_layers: dict[str, CamLayer],
) -> None:
    balls = anywhere(KERAS_GRID, 6)
    last, before = (
        np.mean([perfect_map_dice(mask, keras_ct_layers[name]) for mask in balls])
        for name in ("conv4", "conv3")
    )
    assert last < 0.6
    assert before >= 0.79


def half_dice(mask: np.ndarray, layer: CamLayer) -> float:
    """Dice at half of the map's maximum, the outermost cells stretched to the grid's edge."""
    map_ = mask.astype(float)
    for axis, (voxels, cells, offset, stride) in enumerate(
        zip(mask.shape, layer.cells, layer.offset, layer.stride, strict=True)
    ):
        boxes = np.array(
            [[overlap(i, offset + stride * c, stride) for i in range(voxels)] for c in range(cells)]
        )
        position = np.clip((np.arange(voxels) - offset) / stride, 0, cells - 1)
        back = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells)))
        map_ = np.moveaxis(np.tensordot(back @ boxes / stride, map_, (1, axis)), 0, axis)
    chosen = map_ >= map_.max() / 2 if map_.max() > 0 else np.zeros_like(mask)
    return 2 * (mask & chosen).sum() / (mask.sum() + chosen.sum())
