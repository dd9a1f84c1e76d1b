"""Slices side by side: which ones, in which place, and a picture of them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from vcam_training.data.scans.montage import draw_montage, montage, slices_shown


def test_slices_lie_line_by_line() -> None:
    volume = np.arange(6, dtype=np.int16)[:, None, None] * np.ones((6, 2, 3), np.int16)
    sheet = montage(volume, rows=2, columns=3)
    assert sheet.dtype == np.int16
    assert_array_equal(sheet[::2, ::3], [[0, 1, 2], [3, 4, 5]])
    assert sheet.shape == (4, 9)


def test_a_slice_is_shown_as_it_is() -> None:
    volume = np.random.default_rng(0).random((8, 4, 5))
    sheet = montage(volume, rows=2, columns=4)
    assert_array_equal(sheet[4:8, 10:15], volume[6])


@pytest.mark.parametrize(
    ("depth", "places", "first", "last", "count"),
    [(64, 40, 0, 63, 40), (40, 40, 0, 39, 40), (7, 40, 0, 6, 7), (400, 40, 0, 399, 40)],
)
def test_slices_are_spread_from_the_first_to_the_last(
    depth: int, places: int, first: int, last: int, count: int
) -> None:
    shown = slices_shown(depth, places)
    assert (shown[0], shown[-1], len(set(shown))) == (first, last, count)
    steps = np.diff(shown)
    assert steps.max() - steps.min() <= 1


def test_places_without_a_slice_are_black() -> None:
    sheet = montage(np.full((3, 2, 2), 5) + np.arange(3)[:, None, None], rows=2, columns=2)
    assert (sheet[2:, 2:] == 5).all()


def test_the_picture_shows_four_lines_of_ten(tmp_path: Path) -> None:
    volume = np.zeros((40, 8, 8), np.float32)
    volume[13] = 1  # second line, fourth place
    draw_montage(tmp_path / "m.png", volume, (0.0, 1.0), "scan")
    with Image.open(tmp_path / "m.png") as opened:
        picture = np.asarray(opened.convert("RGB"), float)
    bright = np.argwhere(picture[40:].mean(axis=2) > 200)  # below the title
    height, width = picture.shape[0] - 40, picture.shape[1]
    rows, columns = bright.mean(axis=0) / (height, width)
    assert rows == pytest.approx(1.5 / 4, abs=0.03)
    assert columns == pytest.approx(3.5 / 10, abs=0.01)
    assert len(bright) == pytest.approx(height / 4 * width / 10, rel=0.1)


def test_a_mask_is_outlined(tmp_path: Path) -> None:
    mask = np.zeros((40, 8, 8), bool)
    mask[5, 2:6, 2:6] = True
    for name, shown in (("with", mask), ("without", None), ("empty", np.zeros_like(mask))):
        path = tmp_path / f"{name}.png"
        draw_montage(path, np.zeros((40, 8, 8)), (0.0, 1.0), "scan", mask=shown)
    coloured = {
        name: np.ptp(np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")), axis=2).max()
        for name in ("with", "without", "empty")
    }
    assert coloured["with"] > 100
    assert coloured["without"] == coloured["empty"] == 0
