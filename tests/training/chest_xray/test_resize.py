"""The batch resize: names, what is skipped, what fails, and that it changes no training."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vcam_client.errors import ConfigError
from vcam_client.reading import read_volume
from vcam_training._cli import cli
from vcam_training.data.laying import lay
from vcam_training.data.radiographs.radiograph_resize import Resized, resize_folder
from vcam_training.data.sources import ChestXraySource

SIZE = 24


def quiet(line: str) -> None:
    """Says nothing."""


def picture(path: Path, seed: int, dtype: str = "uint8", shape: tuple[int, int] = (60, 84)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    high = np.iinfo(dtype).max
    values = np.random.default_rng(seed).integers(0, high, shape, dtype)
    Image.fromarray(values).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "large/00000001_000.png", 1)
    picture(tmp_path / "large/more/00000002_000.png", 2)
    picture(tmp_path / "large/deep.png", 3, "uint16")
    picture(tmp_path / "large/four.JPG", 4)
    (tmp_path / "large/notes.txt").write_text("no picture")
    return tmp_path / "large"


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_names_and_folders_are_kept(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    assert resize_folder(folder, out, SIZE, quiet) == Resized(done=4, skipped=0, failed=())
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found == {"00000001_000.png", "more/00000002_000.png", "deep.png", "four.JPG"}
    assert {pixels(out / name).shape for name in found} == {(SIZE, SIZE)}
    assert pixels(out / "deep.png").dtype == np.uint16


def test_pixels_are_means_of_the_area_they_cover(tmp_path: Path) -> None:
    """48 × 72 onto 24²: each pixel is the mean of two rows and three columns."""
    picture(tmp_path / "large/a.png", 5, shape=(48, 72))
    resize_folder(tmp_path / "large", tmp_path / "small", SIZE, quiet)
    means = pixels(tmp_path / "large/a.png").reshape(24, 2, 24, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(pixels(tmp_path / "small/a.png"), means, atol=0.5 + 1e-3)


def test_a_resized_picture_is_read_as_the_large_one_is(folder: Path, tmp_path: Path) -> None:
    resize_folder(folder, tmp_path / "small", SIZE, quiet)
    grid = ChestXraySource(size=SIZE).grid
    for name in ("00000001_000.png", "more/00000002_000.png"):
        large = lay(read_volume(folder / name), grid, "uint8")
        small = lay(read_volume(tmp_path / "small" / name), grid, "uint8")
        np.testing.assert_array_equal(small, large)


def test_what_is_done_is_skipped(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    resize_folder(folder, out, SIZE, quiet)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert resize_folder(folder, out, SIZE, quiet) == Resized(done=0, skipped=4, failed=())
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == before
    (out / "deep.png").unlink()
    (out / "00000001_000.png").write_bytes(b"")  # as of a run that was killed
    assert resize_folder(folder, out, SIZE, quiet) == Resized(done=2, skipped=2, failed=())
    assert resize_folder(folder, out, SIZE + 1, quiet).done == 4


def test_a_newer_original_is_resized_again(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    resize_folder(folder, out, SIZE, quiet)
    before = pixels(out / "00000001_000.png")
    picture(folder / "00000001_000.png", 9)
    assert resize_folder(folder, out, SIZE, quiet).done == 1
    assert (pixels(out / "00000001_000.png") != before).any()


def test_small_ones_may_lie_among_the_large(folder: Path) -> None:
    resize_folder(folder, folder / "small", SIZE, quiet)
    assert resize_folder(folder, folder / "small", SIZE, quiet).skipped == 4
    assert not (folder / "small/small").exists()


def test_unreadable_pictures_are_named_and_the_others_done(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "00000001_000.png").read_bytes()
    (folder / "broken.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 9, 3), "uint8")).save(
        folder / "colour.png"
    )
    told: list[str] = []
    result = resize_folder(folder, tmp_path / "small", SIZE, told.append)
    assert result.done == 4
    assert [name for name, _ in result.failed] == ["broken.png", "colour.png"]
    assert any(line.startswith("broken.png: ") for line in told)
    assert not (tmp_path / "small/broken.png").exists()


def test_the_command_exits_with_1_where_a_picture_failed(folder: Path, tmp_path: Path) -> None:
    arguments = ["resize", str(folder), "--size", str(SIZE), "--out", str(tmp_path / "small")]
    (folder / "broken.png").write_bytes(b"junk")
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 1
    assert "4 resized, 0 were there, 1 failed" in result.output
    assert "broken.png" in result.output
    (folder / "broken.png").unlink()
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0
    assert "0 resized, 4 were there, 0 failed" in result.output


def test_impossible_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for given, out, says in (
        (folder, folder, "Expected another folder for the small pictures"),
        (tmp_path / "none", tmp_path / "small", "found none at .*none'. Give the folder"),
        (tmp_path / "empty", tmp_path / "small", "found none"),
    ):
        with pytest.raises(ConfigError, match=says):
            resize_folder(given, out, SIZE, quiet)
