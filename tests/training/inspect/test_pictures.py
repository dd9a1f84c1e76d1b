"""Tiles, galleries and points in space: what is drawn where."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer, Fit, Grid, Intensity, SliceAggregation
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Split
from vcam_training.drawing import OUTLINE
from vcam_training.inspecting import gallery, pictures, scatter, tiles
from vcam_training.inspecting.gallery import draw_gallery, limits_of, middle_slice, truth_text
from vcam_training.inspecting.look import Look
from vcam_training.inspecting.tiles import Block, Tile, draw_tiles, reduced
from vcam_training.task import Task

OUTLINE_RGB = tuple(int(OUTLINE[at : at + 2], 16) for at in (1, 3, 5))


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def near(picture: np.ndarray, colour: tuple[int, ...]) -> np.ndarray:
    return (np.abs(picture - colour).max(axis=-1)) < 40


def contract(task: Task = Task.CLASSES, labels=("no", "yes"), shape=(6, 8), **more) -> DataContract:
    return DataContract(
        task=task,
        labels=labels,
        grid=Grid(shape=shape, axes=(), fit=Fit.STRETCH),
        intensity=Intensity(**more),
        unit="%" if task is Task.REGRESSION else "",
        slice_aggregation=SliceAggregation.NONE if len(shape) == 2 else None,
    )


def split_of(labels: np.ndarray, shape=(6, 8), masks=None, **more) -> Split:
    volumes = np.zeros((len(labels), *shape), np.float32)
    if masks is None:
        masks = np.zeros(volumes.shape, bool)
    return Split(volumes=volumes, labels=labels, masks=masks, **more)


def test_a_tile_has_its_place_and_its_shade(tmp_path: Path) -> None:
    side = tiles.TILE_INCHES * tiles._DPI
    shown = [Tile(picture=np.full((4, 4), value)) for value in (1.0, 3.0)]
    blocks = [Block(name="", tiles=shown)]
    draw_tiles(tmp_path / "t.png", blocks, title="two", limits=(1, 3))
    found = pixels(tmp_path / "t.png")
    black, white = near(found, (0, 0, 0)), near(found, (255, 255, 255))
    assert black.sum() == pytest.approx(side**2, rel=0.05)
    row, column = np.argwhere(black).mean(axis=0).astype(int)
    aside = round((tiles.TILE_INCHES + tiles._GAP_INCHES) * tiles._DPI)
    assert white[row - 20 : row + 20, column + aside - 20 : column + aside + 20].all()


def test_masks_are_outlined_where_they_are(tmp_path: Path) -> None:
    mask = np.zeros((100, 100), bool)
    mask[10:30, 60:90] = True
    for name, marked in (("with", mask), ("without", np.zeros_like(mask)), ("none", None)):
        tile = Tile(picture=np.zeros((100, 100)), mask=marked)
        draw_tiles(tmp_path / name, [Block(name="", tiles=[tile])], title=name, limits=(0, 1))
    for name in ("without", "none"):
        assert not near(pixels(tmp_path / name), OUTLINE_RGB).any()
    found = pixels(tmp_path / "with")
    black = near(found, (0, 0, 0))
    scale = tiles.TILE_INCHES * tiles._DPI / 100
    top, left = (np.flatnonzero(black.sum(axis=axis) > 60 * scale)[0] for axis in (1, 0))
    edge = np.argwhere(found[..., 1] - found[..., 0] > 60) - (top, left)
    first, last = edge.min(axis=0) / scale, edge.max(axis=0) / scale
    np.testing.assert_allclose(first, (10, 60), atol=2)
    np.testing.assert_allclose(last, (30, 90), atol=2)


def test_large_pictures_are_averaged(tmp_path: Path) -> None:
    picture = np.arange(9 * 6).reshape(9, 6)
    np.testing.assert_array_equal(reduced(picture, side=9), picture)
    smaller = reduced(picture, side=4)
    assert smaller.shape == (3, 2)
    assert smaller[1, 1] == picture[3:6, 3:6].mean()


def test_a_gallery_of_each_task_is_the_same_bytes_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    findings = rng.random((5, 3)) < 0.5
    cases = {
        "classes": (contract(), np.array([0, 1, 0, 1, 1], np.int32)),
        "volumes": (contract(shape=(3, 6, 8)), np.array([0, 1, 0, 1, 1], np.int32)),
        "findings": (contract(Task.FINDINGS, ("a", "b", "c")), findings),
        "regression": (
            contract(Task.REGRESSION, ("porosity",)),
            rng.random((5, 1)).astype(np.float32),
        ),
    }
    for name, (meaning, labels) in cases.items():
        split = split_of(labels, meaning.grid.shape)
        data = DataSet(
            name=name, contract=meaning, train=split, validation=split, test=split, sha256=""
        )
        for again in ("1", "2"):
            draw_gallery(tmp_path / f"{name}{again}.png", data)
        one, two = ((tmp_path / f"{name}{again}.png").read_bytes() for again in ("1", "2"))
        assert one == two
        assert one.startswith(b"\x89PNG")


def test_a_split_that_stands_in_for_another_is_shown_once(tmp_path: Path) -> None:
    one, other = (split_of(np.array([0, 1], np.int32)) for _ in range(2))
    shown = {}
    for test in (one, other):
        data = DataSet(
            name="", contract=contract(), train=other, validation=one, test=test, sha256=""
        )
        draw_gallery(tmp_path / "sheet.png", data)
        shown[data.is_tested_on_validation] = len(pixels(tmp_path / "sheet.png"))
    assert shown[True] < shown[False]


def test_of_a_long_name_the_end_is_kept(tmp_path: Path) -> None:
    def sheet(name: str) -> bytes:
        tile = Tile(picture=np.zeros((8, 8), np.float32), text=name)
        draw_tiles(tmp_path / "t.png", [Block(name="", tiles=[tile])], title="", limits=(0, 1))
        return (tmp_path / "t.png").read_bytes()

    assert sheet("normal · train_images[17]") != sheet("normal · train_images[18]")


def test_classes_take_turns_and_values_are_spread() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2], np.int32)
    names = contract(labels=("a", "b", "c"))
    assert gallery._spread(split_of(labels), names, 5) == [0, 1, 4, 5, 6]
    assert gallery._spread(split_of(labels), names, 40) == list(range(7))
    values = np.array([[5], [1], [2], [4], [3]], np.float32)
    meaning = contract(Task.REGRESSION, ("v",))
    assert gallery._spread(split_of(values), meaning, 3) == [1, 4, 0]
    findings = np.array([[0, 0], [0, 0], [1, 0], [1, 1], [0, 1]], bool)
    meaning = contract(Task.FINDINGS, ("a", "b"))
    assert gallery._spread(split_of(findings), meaning, 3) == [0, 2, 4]


def test_what_is_said_of_a_volume() -> None:
    assert truth_text(split_of(np.array([1], np.int32)), 0, contract()) == "yes"
    findings = split_of(np.array([[True, False, True], [False] * 3]))
    meaning = contract(Task.FINDINGS, ("a", "b", "c"))
    assert [truth_text(findings, at, meaning) for at in (0, 1)] == ["a, c", "no finding"]
    values = split_of(np.array([[12.34567]], np.float32))
    assert truth_text(values, 0, contract(Task.REGRESSION, ("p",))) == "12.35 %"


def test_a_volume_is_shown_by_the_slice_with_most_of_the_mask() -> None:
    mask = np.zeros((9, 4, 4), bool)
    assert middle_slice(mask) == 4
    mask[6, 1, 1] = mask[7, :2, :2] = True
    assert middle_slice(mask) == 7


def test_black_and_white_are_the_window_the_bands_or_the_voxels() -> None:
    picture = np.linspace(0, 1000, 1001)
    assert limits_of(contract(window=(-1.0, 4.0)), [picture]) == (-1, 4)
    assert limits_of(contract(band_edges=(0.0, 5.0, 9.0)), [picture]) == (0, 9)
    assert limits_of(contract(), [picture]) == pytest.approx((5, 995))


PLACE = CamLayer(name="cells", cells=(4, 4, 4), offset=(0.5,) * 3, stride=(2.0,) * 3)
SPACE = Grid(shape=(8, 8, 8), axes=(), fit=Fit.STRETCH)


def scene_of(cam: np.ndarray) -> scatter.Scene:
    volume = np.zeros((8, 8, 8), np.float32)
    mask = np.zeros(volume.shape, bool)
    mask[2:4, 2:4, 2:4] = True
    volume[mask] = 1
    return scatter.map_scene(cam, PLACE, volume, mask, grid=SPACE, limits=(0, 1), title="known")


def test_the_object_has_the_colours_of_the_map() -> None:
    cam = np.zeros((4, 4, 4), np.float32)
    cam[1, 1, 1], cam[3, 3, 3] = 2.0, -1.0  # in the object's middle, and far from it
    scene = scene_of(cam)
    background, outside, inside = scene.points
    assert not len(background.places)
    assert len(inside.places) == 8
    np.testing.assert_allclose(inside.values, 2 * 0.75**3)
    assert (outside.values < 0).any()
    assert np.abs(outside.values).min() >= 0.25 * 2
    assert (scene.scale.vmin, scene.scale.vmax) == (-2, 2)


def test_a_filters_cells_lie_at_their_centres() -> None:
    activation = np.zeros((4, 4, 4), np.float32)
    activation[1, 2, 3], activation[0, 0, 0] = 4.0, 1.0
    scene = scatter.filter_scene(
        activation,
        activation > 0,
        PLACE,
        np.zeros((8, 8, 8)),
        np.ones((8, 8, 8), bool),
        grid=SPACE,
        limits=(0, 1),
        title="known",
    )
    _, cells = scene.points
    np.testing.assert_allclose(cells.places, [[0.5, 0.5, 0.5], [2.5, 4.5, 6.5]])
    np.testing.assert_allclose(cells.values, [1, 4])


def test_a_rotation_is_small_turns_and_is_the_same_again(tmp_path: Path) -> None:
    cam = np.random.default_rng(1).normal(size=(4, 4, 4)).astype(np.float32)
    for name in ("a.gif", "b.gif"):
        scatter.draw_rotation(tmp_path / name, scene_of(cam), frames=3)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    with Image.open(tmp_path / "a.gif") as turning:
        assert turning.n_frames == 3
        frames = []
        for number in range(3):
            turning.seek(number)
            frames.append(np.asarray(turning.convert("RGB")))
    assert (frames[0] != frames[1]).any()
    assert (frames[1] != frames[2]).any()
    assert (tmp_path / "a.gif").stat().st_size * scatter.FRAMES / 3 < 2e6


def test_positive_and_negative_have_different_colours(tmp_path: Path) -> None:
    for name, sign in (("plus.png", 1), ("minus.png", -1)):
        scatter.draw_scene(tmp_path / name, scene_of(np.full((4, 4, 4), sign, np.float32)))
    plus, minus = (pixels(tmp_path / name)[:, :380] for name in ("plus.png", "minus.png"))
    assert (plus[..., 0] - plus[..., 2]).sum() > 1e4 < (minus[..., 2] - minus[..., 0]).sum()


def look_of(sums: list[float]) -> Look:
    activation = np.ones((2, 2, 1), np.float32) * np.array(sums, np.float32) / 4
    return Look(
        scores=np.zeros(2, np.float32),
        class_index=0,
        method="gradcam",
        place=CamLayer(name="cells", cells=(2, 2), offset=(0.5, 0.5), stride=(2.0, 2.0)),
        cam=activation[..., 0],
        activation=activation,
        gradient=activation,
        filter_index=0,
        is_strongest=True,
    )


def test_channels_whose_sum_is_above_a_threshold(tmp_path: Path) -> None:
    seen = look_of([1, 5, 3, 5.5])
    assert pictures.channels_above(seen, 3) == [1, 3]
    assert pictures.channels_above(look_of([2]), 1) == [0]
    with pytest.raises(ConfigError, match=r"above 6, the largest is 5.5 \(channel 3\)"):
        pictures.channels_above(seen, 6)


@pytest.mark.parametrize("channels", [1, 3, 100])
def test_any_number_of_channels_makes_a_sheet(tmp_path: Path, channels: int) -> None:
    seen = look_of([float(k) for k in range(channels)])
    pictures.draw_channels(
        tmp_path / "f.png",
        seen,
        np.zeros((4, 4), bool),
        channels=range(channels),
        title="channels",
    )
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_the_slice_of_cells_goes_through_the_object() -> None:
    mask = np.zeros((8, 8, 8), bool)
    assert pictures.slice_of_cells(mask, PLACE) in (1, 2)
    mask[6:8, 1, 1] = True
    assert pictures.slice_of_cells(mask, PLACE) == 3
