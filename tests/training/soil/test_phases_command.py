"""`vcam-train phases`: its table, its files, its mistakes."""

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result
from matplotlib.image import imread
from PIL import Image

from vcam_client.errors import ConfigError
from vcam_training._cli import cli
from vcam_training.phases import report
from vcam_training.phases.histogram_picture import bin_edges
from vcam_training.phases.partition import partition


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cube(tmp_path: Path) -> np.ndarray:
    """int16 [slices, rows, columns], a ramp along the slices with a bright corner."""
    values = np.broadcast_to(100 * np.arange(12)[:, None, None], (12, 10, 9)).astype(np.int16)
    values = values.copy()
    values[:, :2, :2] = 1200
    tifffile.imwrite(tmp_path / "ramp.tif", values, photometric="minisblack")
    return values


def phases(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["phases", *map(str, arguments)])


def test_the_table_adds_up(cube: np.ndarray) -> None:
    done = phases("ramp.tif", "--spacing", 0.5, "--frames", 0)
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.output.splitlines()[2:9]]
    counts = [int(row[-1].replace(",", "")) for row in rows]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5", "6", "all"]
    assert [float(row[1]) for row in rows[:6]] == [0, 200, 400, 600, 800, 1000]
    plain = 10 * 9 - 4
    assert counts == [2 * plain] * 5 + [2 * plain + 12 * 4, cube.size]
    shares = [float(row[-2].rstrip("%")) for row in rows]
    assert sum(shares[:6]) == pytest.approx(100, abs=0.003)


def test_what_is_written(cube: np.ndarray) -> None:
    done = phases("ramp.tif", "--spacing", 0.5, "--phases", "1,6", "--frames", 3, "--out", "here")
    assert done.exit_code == 0, done.output
    names = {path.name for path in Path("here").iterdir()}
    assert names == {"histogram.png", "fractions.csv", "phases-1-6.png", "phases-1-6.gif"}
    assert all(str(Path("here") / name) in done.output for name in names)
    assert imread("here/histogram.png").std() > 0.1
    with Image.open("here/phases-1-6.gif") as gif:
        frames = []
        for at in range(gif.n_frames):
            gif.seek(at)
            frames.append(np.asarray(gif.convert("RGB")).tobytes())
    assert len(set(frames)) == 3
    with Path("here/fractions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    found = np.array([[float(row[f"phase {n}"]) for n in range(1, 7)] for row in rows])
    np.testing.assert_array_equal(found, partition(cube).fractions(cube))


def test_parts_of_a_volume_have_phases_of_their_own(cube: np.ndarray) -> None:
    part = cube[2:8, 3:10, 1:9]
    done = phases(
        "ramp.tif", "--spacing", 1, "--slices", "2:8", "--crop", "3:10,1:9", "--frames", 0
    )
    assert done.exit_code == 0, done.output
    assert done.output.startswith("ramp: 6 slices of 7×8 voxels, 200 to 700")
    assert f"{part.size:,}" in done.output


@pytest.mark.usefixtures("cube")
def test_a_spacing_for_each_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def draw(path: Path, scene: report.Scene) -> None:
        drawn.append(scene.spacing)
        path.touch()

    monkeypatch.setattr(report, "draw_surfaces", draw)
    done = phases("ramp.tif", "--spacing", "1,2,4", "--frames", 0)
    assert done.exit_code == 0, done.output
    assert drawn == [(1, 2, 4)]


def test_together_is_one_surface(cube: np.ndarray) -> None:
    done = phases("ramp.tif", "--spacing", 1, "--phases", "6,5", "--together", "--frames", 0)
    assert done.exit_code == 0, done.output
    assert Path("build/phases/ramp/phases-5+6.png").exists()


def test_without_a_scan_a_made_up_medium_is_taken() -> None:
    done = phases("--slices", "0:12", "--crop", "0:16,0:16", "--frames", 0)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("porous medium: 12 slices of 16×16 voxels, ")
    assert Path("build/phases/porous-medium/phases-1.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--phases", "a"], "Expected numbers such as 1,2"),
        (["--slices", "1-4"], "Expected a:b in whole numbers"),
        (["--crop", "1:4"], "Expected a:b,c:d in whole numbers"),
        (["--spacing", "1,2"], "one number or three separated by commas"),
        (["--spacing", "0"], "Expected millimetres above 0"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: list[str], message: str) -> None:
    done = phases(*arguments)
    assert done.exit_code == 2
    assert message in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--phases", "1,7"], "phases from 1 to 6, received 1, 7"),
        (["--slices", "5:99"], "part of the 12 slices"),
        (["--slices", "3:4", "--crop", "4:9,4:9"], "ascending edges"),
    ],
)
@pytest.mark.usefixtures("cube")
def test_what_is_not_there_is_refused(arguments: list[str], message: str) -> None:
    done = phases("ramp.tif", "--spacing", 1, *arguments)
    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception)
    assert not done.output
    assert not Path("build").exists()


def test_bars_hold_as_many_whole_numbers_each() -> None:
    for high in (5, 255, 300, 4000):
        values = np.arange(high + 1, dtype=np.float32)
        edges = bin_edges(values, 300)
        counts, _ = np.histogram(values, edges)
        assert len(counts) <= 300
        assert counts.sum() == len(values)
        assert len(set(counts[:-1])) == 1
    fractions = np.random.default_rng(0).random(50).astype(np.float32)
    counts, _ = np.histogram(fractions, bin_edges(fractions, 30))
    assert (len(counts), counts.sum()) == (30, 50)
