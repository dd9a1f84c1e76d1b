"""Scans on a grid: as the client lays them, read once, interrupted and repaired."""

import errno
import fcntl
import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from vcam_client.errors import ConfigError, OutputError
from vcam_client.grid import to_model_grid
from vcam_client.reading import read_volume
from vcam_client.spec import Fit, Grid, Resampling
from vcam_training.data.row_file import RowFile
from vcam_training.data.scans import grid_cache
from vcam_training.data.scans.grid_cache import ScanFile, read_grids

GRID = Grid(
    shape=(6, 7, 8),
    fit=Fit.SPACING,
    spacing_mm=(2.0, 2.0, 2.0),
    resampling=Resampling.AREA,
    padding_value=-1000.0,
)
COUNT = 5


def quiet(line: str) -> None:
    pass


def save(path: Path, data: np.ndarray, spacing: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.diag([-spacing, -spacing, spacing, 1.0])), path)
    return path


def make_scans(folder: Path, count: int = COUNT) -> list[ScanFile]:
    """Scans of slightly different shapes; the odd ones have a mask."""
    rng = np.random.default_rng(0)
    scans = []
    for number in range(count):
        shape = (16 + number, 14, 12)
        path = save(folder / f"{number}.nii.gz", rng.integers(-1000, 400, shape, np.int16))
        mask = None
        if number % 2:
            marked = np.zeros(shape, np.uint8)
            marked[4:10, 4:10, 3:9] = 1
            mask = save(folder / f"{number}_mask.nii.gz", marked)
        scans.append(ScanFile(path=path, mask=mask))
    return scans


class Reads:
    """Counts files that are read, and may stop."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.names: list[str] = []
        self.stop_at = stop_at

    def __call__(self, path: Path, **options: object) -> object:
        if self.stop_at is not None and len(self.names) >= self.stop_at:
            raise KeyboardInterrupt
        self.names.append(path.name)
        return read_volume(path, **options)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    counter = Reads()
    monkeypatch.setattr(grid_cache, "read_volume", counter)
    monkeypatch.setattr(grid_cache, "_READERS", 1)
    return counter


def test_scans_lie_on_the_grid_as_the_client_lays_them(tmp_path: Path) -> None:
    scans = make_scans(tmp_path)
    grids = read_grids(scans, GRID, "int16", tmp_path / "grids", quiet)
    assert grids.volumes.shape == (COUNT, *GRID.shape)
    assert grids.masks is not None
    for scan, volume, mask in zip(scans, grids.volumes, grids.masks, strict=True):
        assert_array_equal(volume, to_model_grid(read_volume(scan.path), GRID, np.int16))
        assert mask.any() == (scan.mask is not None)
    # 6³ voxels of 1 mm are 27 of 2 mm, wherever the scan's middle lies.
    assert 18 <= grids.masks[1].sum() <= 36
    assert len(set(grids.sha256)) == COUNT


def test_the_second_time_they_are_there_and_can_not_be_changed(
    tmp_path: Path, reads: Reads
) -> None:
    scans = make_scans(tmp_path)
    first = read_grids(scans, GRID, "int16", tmp_path / "grids", quiet)
    reads.names.clear()
    again = read_grids(scans, GRID, "int16", tmp_path / "grids", quiet)
    assert reads.names == []
    assert isinstance(again.volumes, np.memmap)
    assert not again.volumes.flags.writeable
    assert again.masks is not None
    assert not again.masks.flags.writeable
    assert_array_equal(again.volumes, first.volumes)
    assert again.sha256 == first.sha256
    (own,) = (tmp_path / "grids").iterdir()
    assert {p.name for p in own.iterdir()} == {"volumes.npy", "masks.npy", "grids.json"}


def test_scans_without_masks_have_no_file_of_them(tmp_path: Path) -> None:
    scans = [ScanFile(path=scan.path) for scan in make_scans(tmp_path, 2)]
    grids = read_grids(scans, GRID, "float32", tmp_path / "grids", quiet)
    assert grids.masks is None
    assert grids.volumes.dtype == np.float32
    assert not list((tmp_path / "grids").rglob("masks*"))


@pytest.mark.parametrize("change", ["content", "grid", "dtype", "order", "mask"])
def test_what_decides_the_content_decides_the_file(
    tmp_path: Path, reads: Reads, change: str
) -> None:
    scans, grid, dtype = make_scans(tmp_path), GRID, "int16"
    read_grids(scans, grid, dtype, tmp_path / "grids", quiet)
    reads.names.clear()
    if change == "content":
        save(scans[0].path, np.full((16, 14, 12), 7, np.int16))
    elif change == "mask":
        assert scans[1].mask is not None
        save(scans[1].mask, np.ones((17, 14, 12), np.uint8))
    grid = Grid(shape=(6, 7, 9)) if change == "grid" else grid
    dtype = "float32" if change == "dtype" else dtype
    scans = scans[::-1] if change == "order" else scans
    read_grids(scans, grid, dtype, tmp_path / "grids", quiet)
    assert len(reads.names) == COUNT + 2


def test_a_slice_that_changes_in_a_folder_is_seen(tmp_path: Path, reads: Reads) -> None:
    from PIL import Image

    for number in range(3):
        picture = Image.fromarray(np.full((8, 8), 10 * number, np.uint8))
        (tmp_path / "scan").mkdir(exist_ok=True)
        picture.save(tmp_path / "scan" / f"{number}.png")
    scans = [ScanFile(path=tmp_path / "scan", spacing=(1.0, 1.0, 2.0))]
    grid = Grid(shape=(3, 8, 8), axes=())
    before = read_grids(scans, grid, "float32", tmp_path / "grids", quiet)
    Image.fromarray(np.full((8, 8), 99, np.uint8)).save(tmp_path / "scan" / "1.png")
    after = read_grids(scans, grid, "float32", tmp_path / "grids", quiet)
    assert reads.names == ["scan", "scan"]
    assert (before.volumes[0, 1] == 10).all()
    assert (after.volumes[0, 1] == 99).all()


def test_the_hash_is_that_of_the_content_wherever_it_lies(tmp_path: Path) -> None:
    one = read_grids(make_scans(tmp_path / "one"), GRID, "int16", tmp_path / "grids1", quiet)
    other = read_grids(make_scans(tmp_path / "other"), GRID, "int16", tmp_path / "grids2", quiet)
    assert one.sha256 == other.sha256


def test_folders_that_move_together_are_not_read_again(tmp_path: Path, reads: Reads) -> None:
    scans = make_scans(tmp_path / "here")
    read_grids(scans, GRID, "int16", tmp_path / "here" / "grids", quiet)
    reads.names.clear()
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = [
        ScanFile(
            path=tmp_path / "there" / scan.path.name,
            mask=scan.mask and tmp_path / "there" / scan.mask.name,
        )
        for scan in scans
    ]
    read_grids(moved, GRID, "int16", tmp_path / "there" / "grids", quiet)
    assert reads.names == []


def test_interrupted_reading_goes_on(tmp_path: Path, reads: Reads) -> None:
    scans = make_scans(tmp_path)
    reads.stop_at = 4  # two scans with a mask of one, and half of the third
    with pytest.raises(KeyboardInterrupt):
        read_grids(scans, GRID, "int16", tmp_path / "grids", quiet)
    assert not list((tmp_path / "grids").rglob("volumes.npy"))
    done = reads.names.copy()
    reads.stop_at = None
    told: list[str] = []
    grids = read_grids(scans, GRID, "int16", tmp_path / "grids", told.append)
    assert done == ["0.nii.gz", "1.nii.gz", "1_mask.nii.gz", "2.nii.gz"]
    assert reads.names[4:] == ["3.nii.gz", "3_mask.nii.gz", "4.nii.gz"]
    assert told[-1].endswith("5 of 5")
    whole = read_grids(scans, GRID, "int16", tmp_path / "whole", quiet)
    assert_array_equal(grids.volumes, whole.volumes)
    assert_array_equal(grids.masks, whole.masks)
    assert grids.sha256 == whole.sha256


@pytest.mark.parametrize("damage", ["bytes", "log", "file"])
def test_what_was_damaged_when_it_broke_off_is_read_again(
    tmp_path: Path, reads: Reads, damage: str
) -> None:
    scans = make_scans(tmp_path)
    reads.stop_at = 5
    with pytest.raises(KeyboardInterrupt):
        read_grids(scans, GRID, "int16", tmp_path / "grids", quiet)
    reads.stop_at = None
    (own,) = (tmp_path / "grids").iterdir()
    part = own / "volumes.npy.part"
    if damage == "bytes":  # never reached the disk
        np.load(part, mmap_mode="r+")[0] = 0
        wanted = ["0.nii.gz", "3.nii.gz", "3_mask.nii.gz", "4.nii.gz"]
    elif damage == "log":
        text = (own / "done.jsonl").read_text()
        (own / "done.jsonl").write_text(text[: len(text) - 10])
        wanted = ["2.nii.gz", "3.nii.gz", "3_mask.nii.gz", "4.nii.gz"]
    else:
        part.write_bytes(part.read_bytes()[:500])
        wanted = [p.name for scan in scans for p in (scan.path, scan.mask) if p]
    reads.names.clear()
    grids = read_grids(scans, GRID, "int16", tmp_path / "grids", quiet)
    assert reads.names == wanted
    whole = read_grids(scans, GRID, "int16", tmp_path / "whole", quiet)
    assert_array_equal(grids.volumes, whole.volumes)


def test_missing_files_are_all_named_before_any_is_read(tmp_path: Path, reads: Reads) -> None:
    scans = make_scans(tmp_path)
    scans[2].path.unlink()
    assert scans[3].mask is not None
    scans[3].mask.unlink()
    with pytest.raises(ConfigError) as caught:
        read_grids(scans, GRID, "int16", tmp_path / "grids", quiet)
    assert "2.nii.gz" in str(caught.value)
    assert "3_mask.nii.gz" in str(caught.value)
    assert "2 problems" in str(caught.value)
    assert reads.names == []


def test_unreadable_scans_are_all_named_and_the_others_kept(tmp_path: Path, reads: Reads) -> None:
    scans = make_scans(tmp_path)
    good = {n: scans[n].path.read_bytes() for n in (0, 3)}
    for n, content in good.items():
        scans[n].path.write_bytes(content[:200])
    for _ in range(2):
        with pytest.raises(ConfigError, match="2 problems") as caught:
            read_grids(scans, GRID, "int16", tmp_path / "grids", quiet, advice="Mend them.")
        assert "0.nii.gz" in str(caught.value)
        assert "3.nii.gz" in str(caught.value)
        assert str(caught.value).endswith("Mend them.")
    # those that can be read, once
    assert sorted(reads.names) == sorted(
        ["1.nii.gz", "1_mask.nii.gz", "2.nii.gz", "4.nii.gz", *["0.nii.gz", "3.nii.gz"] * 2]
    )


def test_of_many_problems_the_first_ten_are_named_and_all_counted(tmp_path: Path) -> None:
    scans = [ScanFile(path=tmp_path / f"scan{n:02d}.nii") for n in range(13)]
    with pytest.raises(ConfigError) as caught:
        read_grids(scans, GRID, "int16", tmp_path / "grids", quiet)
    assert "13 problems" in str(caught.value)
    assert "scan09.nii" in str(caught.value)
    assert "scan10.nii" not in str(caught.value)
    assert "and 3 more" in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "spacing", "message"),
    [
        ((17, 14, 11), 1.0, "a mask of 17×14×12 voxels as its scan, received 17×14×11"),
        ((17, 14, 12), 1.1, "corners lie up to 1.6 mm off"),
    ],
)
def test_a_mask_of_another_shape_or_place_is_named(
    tmp_path: Path, shape: tuple[int, ...], spacing: float, message: str
) -> None:
    scans = make_scans(tmp_path, 2)
    assert scans[1].mask is not None
    save(scans[1].mask, np.ones(shape, np.uint8), spacing)
    with pytest.raises(ConfigError, match=message) as caught:
        read_grids(scans, GRID, "int16", tmp_path / "grids", quiet)
    assert "1.nii.gz" in str(caught.value)


def test_a_mask_too_small_for_the_grid_is_noted(tmp_path: Path) -> None:
    scans = make_scans(tmp_path, 4)
    assert scans[3].mask is not None
    dot = np.zeros((19, 14, 12), np.uint8)
    dot[5, 5, 5] = 255
    save(scans[3].mask, dot)
    assert read_grids(scans, GRID, "int16", tmp_path / "grids", quiet).vanished == (3,)


def test_values_that_are_not_finite_are_named(tmp_path: Path) -> None:
    data = np.zeros((8, 8, 8), np.float32)
    data[1, 1, 1] = np.nan
    path = save(tmp_path / "nan.nii.gz", data)
    with pytest.raises(ConfigError, match=r"nan\.nii\.gz.*1 that are NaN"):
        read_grids([ScanFile(path=path)], GRID, "float32", tmp_path / "grids", quiet)


def test_a_disk_without_room_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(ConfigError, match=r"0\.0 GB of room in .* Name another folder with --data"):
        read_grids(make_scans(tmp_path), GRID, "int16", tmp_path / "grids", quiet)


def test_a_disk_that_fills_up_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RowFile, "write", full)
    with pytest.raises(OutputError, match=r"No space left.* with --data"):
        read_grids(make_scans(tmp_path), GRID, "int16", tmp_path / "grids", quiet)


def test_a_damaged_file_of_grids_is_one_clear_error(tmp_path: Path) -> None:
    scans = make_scans(tmp_path)
    read_grids(scans, GRID, "int16", tmp_path / "grids", quiet)
    (volumes,) = (tmp_path / "grids").rglob("volumes.npy")
    volumes.write_bytes(volumes.read_bytes()[:1000])
    with pytest.raises(ConfigError, match="Move that folder away"):
        read_grids(scans, GRID, "int16", tmp_path / "grids", quiet)


def test_scans_are_on_disk_before_their_facts_are(tmp_path: Path, disk_steps: list[str]) -> None:
    read_grids(make_scans(tmp_path), GRID, "int16", tmp_path / "grids", quiet)
    renamed = [step.split()[1:] for step in disk_steps if step.startswith("rename ")]
    assert [new for _, new in renamed] == ["volumes.npy", "masks.npy", "grids.json"]
    for old, new in renamed:
        at = disk_steps.index(f"rename {old} {new}")
        assert f"sync {old}" in disk_steps[:at]


def test_two_runs_do_not_write_at_once(tmp_path: Path, reads: Reads) -> None:
    scans, told = make_scans(tmp_path), threading.Event()
    read_grids(scans, GRID, "int16", tmp_path / "whole", quiet)
    (own,) = (tmp_path / "whole").iterdir()
    place = tmp_path / "grids" / own.name
    place.mkdir(parents=True)
    found: list[grid_cache.Grids] = []
    waiting = threading.Thread(
        target=lambda: found.append(
            read_grids(scans, GRID, "int16", tmp_path / "grids", lambda line: told.set())
        )
    )
    reads.names.clear()
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting.start()
        assert told.wait(20)
        assert reads.names == []
        for file in own.iterdir():  # the other run is done
            if file.name != "lock":
                shutil.copy(file, place)
    waiting.join(20)
    assert len(found) == 1
    assert reads.names == []


def test_an_image_lies_on_a_grid_of_two_axes(tmp_path: Path) -> None:
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    np.save(tmp_path / "image.npy", image)
    grid = Grid(shape=(4, 4), axes=(), resampling=Resampling.AREA)
    scans = [ScanFile(path=tmp_path / "image.npy", spacing=(1.0,))]
    grids = read_grids(scans, grid, "float32", tmp_path / "grids", quiet)
    assert_array_equal(grids.volumes[0], image.reshape(4, 2, 4, 2).mean(axis=(1, 3)))
    np.save(tmp_path / "image.npy", np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(ConfigError, match="Expected a single image"):
        read_grids(scans, grid, "float32", tmp_path / "grids", quiet)
