"""Surfaces of phases: closed, of the right size, seen from every side."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vcam_client.errors import ConfigError
from vcam_training.phases.surface import Surface, phase_surface
from vcam_training.phases.surface_picture import Scene, draw_surfaces, draw_turning


def ball(shape: tuple[int, int, int], centre: tuple[float, ...], radius: float) -> np.ndarray:
    grids = np.ogrid[tuple(slice(size) for size in shape)]
    return sum((g - c) ** 2 for g, c in zip(grids, centre, strict=True)) <= radius**2


def triangles(surface: Surface) -> np.ndarray:
    return surface.vertices[
        np.concatenate([surface.faces[:, [0, 1, 2]], surface.faces[:, [0, 2, 3]]])
    ]


def enclosed(surface: Surface) -> float:
    """Volume by the divergence theorem; positive if faces are anticlockwise from outside."""
    a, b, c = triangles(surface).transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)


def area(surface: Surface) -> float:
    a, b, c = triangles(surface).transpose(1, 0, 2)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


@pytest.mark.parametrize(("cells", "accuracy"), [(100, 0.05), (20, 0.1)])
def test_a_balls_surface_has_its_volume_area_and_centre(cells: int, accuracy: float) -> None:
    centre, radius = (17.0, 22.0, 26.0), 13.0  # slice, row, column
    surface = phase_surface(ball((40, 44, 48), centre, radius), cells=cells)
    assert enclosed(surface) == pytest.approx(4 / 3 * np.pi * radius**3, rel=accuracy)
    assert area(surface) == pytest.approx(4 * np.pi * radius**2, rel=0.1)
    np.testing.assert_allclose(surface.vertices.mean(axis=0), centre[::-1], atol=0.3)


def test_every_edge_belongs_to_two_faces_that_run_against_each_other() -> None:
    rng = np.random.default_rng(0)
    surface = phase_surface(rng.random((9, 8, 7)) < 0.3, cells=50)
    ends = np.stack([surface.faces, np.roll(surface.faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    forth, forth_times = np.unique(ends, axis=0, return_counts=True)
    back, back_times = np.unique(ends[:, ::-1], axis=0, return_counts=True)
    np.testing.assert_array_equal(forth, back)
    np.testing.assert_array_equal(forth_times, back_times)


def test_a_full_volume_is_closed_along_its_sides() -> None:
    surface = phase_surface(np.ones((6, 5, 4), bool))
    # naive surface nets round off corners and edges alone
    np.testing.assert_allclose(surface.vertices.min(axis=0), -0.5)
    np.testing.assert_allclose(surface.vertices.max(axis=0), (3.5, 4.5, 5.5))


def test_nothing_has_no_surface() -> None:
    surface = phase_surface(np.zeros((6, 5, 4), bool))
    assert len(surface.faces) == len(surface.vertices) == 0
    with pytest.raises(ConfigError, match="at least one cell"):
        phase_surface(np.zeros((6, 5, 4), bool), cells=0)


def scene(surface: Surface, phases: tuple[int, ...] = (1,)) -> Scene:
    return Scene(shape=(20, 20, 20), surfaces={phases: surface})


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), float)


def coloured(image: np.ndarray) -> np.ndarray:
    """Where something is drawn that is not grey, but for the legend."""
    found = np.ptp(image, axis=-1) > 40
    found[440:, :120] = False
    return found


def test_a_ball_is_a_disc_in_its_place(tmp_path: Path) -> None:
    low = phase_surface(ball((20, 20, 20), (4, 9.5, 9.5), 4))
    high = phase_surface(ball((20, 20, 20), (15, 9.5, 9.5), 4))
    rows = []
    for name, surface in (("low", low), ("high", high)):
        draw_surfaces(tmp_path / f"{name}.png", scene(surface))
        seen = coloured(picture(tmp_path / f"{name}.png"))
        row, column = (at.mean() for at in np.nonzero(seen))
        assert abs(column - 250) < 5  # about the axis of the slices
        height, width = (np.ptp(at) for at in np.nonzero(seen))
        assert height == pytest.approx(width, rel=0.1)
        rows.append(row)
    assert rows[1] < rows[0] - 100  # slices run upwards


def test_the_picture_is_no_mirror_image(tmp_path: Path) -> None:
    """Seen with slices upwards, rows lead away where columns run to the right."""
    near = phase_surface(ball((20, 20, 20), (9.5, 4, 9.5), 3))
    right = phase_surface(ball((20, 20, 20), (9.5, 9.5, 15), 3))
    spots = {}
    for name, surface in (("near", near), ("right", right)):
        draw_surfaces(tmp_path / f"{name}.png", scene(surface))
        spots[name] = [at.mean() for at in np.nonzero(coloured(picture(tmp_path / f"{name}.png")))]
    assert spots["right"][1] > 300
    assert spots["near"][0] > 260  # lower, since it is seen from above


def test_what_lies_in_front_hides_what_lies_behind(tmp_path: Path) -> None:
    front = phase_surface(ball((20, 20, 20), (9.5, 9.5, 9.5), 8))
    behind = phase_surface(ball((20, 20, 20), (9.5, 9.5, 9.5), 3))
    draw_surfaces(tmp_path / "one.png", scene(front))
    both = Scene(shape=(20, 20, 20), surfaces={(1,): front, (5,): behind})
    draw_surfaces(tmp_path / "two.png", both)
    one, two = picture(tmp_path / "one.png"), picture(tmp_path / "two.png")
    assert np.abs(one - two)[60:400].max() < 40  # seams of faces alone
    without = Scene(shape=(20, 20, 20), surfaces={(5,): behind})
    draw_surfaces(tmp_path / "three.png", without)
    assert np.abs(one - picture(tmp_path / "three.png"))[60:400].max() > 100


def test_a_gif_turns_once_around(tmp_path: Path) -> None:
    surface = phase_surface(ball((20, 20, 20), (9.5, 9.5, 15), 4))
    draw_turning(tmp_path / "turn.gif", scene(surface), frames=8)
    with Image.open(tmp_path / "turn.gif") as gif:
        assert gif.n_frames == 8
        assert gif.info["loop"] == 0
        columns = []
        for at in range(8):
            gif.seek(at)
            seen = coloured(np.asarray(gif.convert("RGB"), float))
            columns.append(np.nonzero(seen)[1].mean() - 250)
    assert max(columns) > 50 > -50 > min(columns)
    np.testing.assert_allclose(columns[:4], -np.array(columns[4:]), atol=4)  # half a turn


def test_a_turn_needs_frames(tmp_path: Path) -> None:
    surface = phase_surface(np.ones((4, 4, 4), bool))
    with pytest.raises(ConfigError, match="at least one frame"):
        draw_turning(tmp_path / "turn.gif", scene(surface), frames=0)
