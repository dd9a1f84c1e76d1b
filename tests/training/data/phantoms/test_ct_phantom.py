"""Chest phantoms: what is in the files agrees with what the index says about them."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from vcam_client import read_volume
from vcam_client.errors import ConfigError, OutputError
from vcam_client.grid import to_model_grid
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.config import Config, load
from vcam_training.data.phantoms import ct_phantom
from vcam_training.data.phantoms.ct_phantom import Counts, Entry, read_index, write
from vcam_training.data.sources import CtPhantomSource
from vcam_training.intensity import intensity_layer

COUNTS = Counts(train=10, validation=2, test=4)
SMALL = Counts(train=2, validation=1, test=1)
LUNG_HU = (-950.0, -700.0)
AIR_HU = -1000.0
_UNIT = 4 / 3 * np.pi


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("phantoms"), COUNTS, seed=7)


@pytest.fixture(scope="module")
def entries(index: Path) -> list[Entry]:
    return read_index(index)


@pytest.fixture(scope="module")
def positives(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.label == 1]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def world_positions(affine: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """[n, 3]: RAS+ mm of voxel indices."""
    return voxels @ affine[:3, :3].T + affine[:3, 3]


def test_the_index_names_every_file_and_its_hash(index: Path, entries: list[Entry]) -> None:
    named = {entry.path for entry in entries} | {e.mask for e in entries if e.mask}
    assert {path.name for path in index.parent.glob("*.nii.gz")} == named
    for entry in entries:
        data = (index.parent / entry.path).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry.sha256


def test_splits_have_the_wanted_sizes_and_half_of_each_a_lesion(entries: list[Entry]) -> None:
    for split in ct_phantom.SPLITS:
        labels = [entry.label for entry in entries if entry.split == split]
        assert len(labels) == getattr(COUNTS, split)
        assert sum(labels) == len(labels) // 2


def test_positives_have_a_mask_and_negatives_none(entries: list[Entry]) -> None:
    for entry in entries:
        known = [entry.mask, entry.centre_mm, entry.radius_mm]
        if entry.label == 1:
            assert None not in known
        else:
            assert known == [None, None, None]


def test_volumes_are_read_as_they_were_stored(index: Path, entries: list[Entry]) -> None:
    for entry in entries:
        volume = read_volume(index.parent / entry.path)
        assert volume.data.dtype == np.int16
        assert "".join(volume.orientation) == entry.orientation
        low, mid, high = sorted(volume.spacing)
        assert 2.4 <= low <= high <= 5.1
        assert mid == pytest.approx(low, abs=1e-3) or mid == pytest.approx(high, abs=1e-3)


def test_orientations_spacings_and_places_vary(index: Path, entries: list[Entry]) -> None:
    volumes = [read_volume(index.parent / entry.path) for entry in entries]
    assert len({entry.orientation for entry in entries}) >= 4
    assert len({volume.spacing for volume in volumes}) == len(entries)
    assert len({volume.shape for volume in volumes}) >= len(entries) // 2
    assert len({tuple(volume.affine[:3, 3]) for volume in volumes}) == len(entries)
    head_to_feet = {max(map(entry.orientation.find, "SI")) for entry in entries}
    assert len(head_to_feet) >= 2


def test_the_mask_has_the_stated_radius_and_centre(index: Path, positives: list[Entry]) -> None:
    ratios = []
    for entry in positives:
        mask = read_volume(index.parent / entry.mask)
        volume = read_volume(index.parent / entry.path)
        np.testing.assert_array_equal(mask.affine, volume.affine)
        assert mask.shape == volume.shape
        assert set(np.unique(mask.data)) == {0, 1}

        low, high = ct_phantom.LESION_RADIUS_MM
        assert low <= entry.radius_mm <= high
        size_mm3 = mask.data.sum() * mask.voxel_mm3
        ratios.append(size_mm3 / (_UNIT * entry.radius_mm**3))

        places = world_positions(mask.affine, np.argwhere(mask.data))
        np.testing.assert_allclose(places.mean(axis=0), entry.centre_mm, atol=0.05)
        reach = np.linalg.norm(places - entry.centre_mm, axis=1).max()
        assert reach == pytest.approx(entry.radius_mm, abs=max(mask.spacing))
        assert reach <= entry.radius_mm + 1e-3
    np.testing.assert_allclose(ratios, 1, atol=0.08)
    assert np.mean(ratios) == pytest.approx(1, abs=0.03)


def test_outside_the_body_is_air(index: Path, entries: list[Entry]) -> None:
    for entry in entries:
        volume = read_volume(index.parent / entry.path)
        corners = volume.data[np.ix_(*[(0, 1, 2, -3, -2, -1)] * 3)]
        assert abs(np.median(corners) - AIR_HU) < 25
        assert volume.data.min() >= -1024
        assert volume.data.max() < 1500


def test_lesions_are_denser_than_the_lung_that_they_replace() -> None:
    """The same draw with and without a lesion: one chest, other noise."""
    lungs, lesions = [], []
    for seed in range(8):
        with_it, affine, mask, lesion = ct_phantom.phantom(
            np.random.default_rng(seed), with_lesion=True
        )
        without, same_affine, empty, none = ct_phantom.phantom(
            np.random.default_rng(seed), with_lesion=False
        )
        assert lesion is not None
        assert none is None
        assert not empty.any()
        np.testing.assert_array_equal(np.diag(affine), np.diag(same_affine))
        places = world_positions(affine, np.argwhere(mask))
        core = np.linalg.norm(places - lesion.centre, axis=1) < 0.7 * lesion.radius
        lungs.append(np.median(without[mask]))
        lesions.append(np.median(with_it[mask][core]))
        assert lesions[-1] > lungs[-1] + 100
        far = ~_grown(mask, 3)
        assert abs(with_it[far].astype(float) - without[far]).mean() < 50  # noise alone
    assert LUNG_HU[0] < np.median(lungs) < LUNG_HU[1]
    low, high = ct_phantom.LESION_DENSITY_HU
    assert low - 40 < min(lesions)
    assert max(lesions) < high + 40


def test_a_threshold_finds_no_lesion(index: Path, entries: list[Entry]) -> None:
    """Both classes hold about as much tissue of a lesion's density."""
    low, high = ct_phantom.LESION_DENSITY_HU

    def litres(label: int) -> list[float]:
        volumes = [read_volume(index.parent / e.path) for e in entries if e.label == label]
        return [((v.data > low) & (v.data < high)).sum() * v.voxel_mm3 / 1e6 for v in volumes]

    without, with_it = litres(0), litres(1)
    assert min(with_it) < max(without)
    assert abs(np.mean(with_it) - np.mean(without)) < np.std(without + with_it)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        write(tmp_path / name, SMALL, seed=seed)
    one, again, other = (files_of(tmp_path / name) for name in ("one", "again", "other"))
    assert one == again
    assert one["train_0000.nii.gz"] != other["train_0000.nii.gz"]


def test_more_volumes_keep_the_first_ones(index: Path, tmp_path: Path) -> None:
    write(tmp_path, SMALL, seed=7)
    small, large = files_of(tmp_path), files_of(index.parent)
    shared = [name for name in small if name.endswith(".nii.gz")]
    assert shared
    assert all(small[name] == large[name] for name in shared)


def test_a_complete_data_set_is_left_alone(index: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in index.parent.iterdir()}
    assert write(index.parent, COUNTS, seed=7) == index
    assert {path: path.stat().st_mtime_ns for path in index.parent.iterdir()} == before


@pytest.mark.parametrize("settings", [(COUNTS, 8), (SMALL, 7)])
def test_a_folder_of_other_settings_is_refused(index: Path, settings: tuple[Counts, int]) -> None:
    counts, seed = settings
    before = files_of(index.parent)
    with pytest.raises(ConfigError, match=r"other settings.*Name another folder"):
        write(index.parent, counts, seed=seed)
    assert files_of(index.parent) == before


def test_interrupted_writing_is_taken_up(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "stopped", SMALL, seed=1, progress=stop)
    assert not (tmp_path / "stopped" / ct_phantom.INDEX).exists()
    broken = tmp_path / "stopped" / "train_0000.nii.gz"
    broken.write_bytes(broken.read_bytes()[:1000])  # as when power fails

    steps: list[tuple[int, int]] = []
    write(tmp_path / "stopped", SMALL, seed=1, progress=lambda *step: steps.append(step))
    write(tmp_path / "whole", SMALL, seed=1)
    assert files_of(tmp_path / "stopped") == files_of(tmp_path / "whole")
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_file_in_the_way_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file' is a file, not a folder.* with --data"):
        write(tmp_path / "file" / "phantoms", SMALL)


@pytest.mark.parametrize("content", ["{", '{"path": "x"}\n', json.dumps({"more": 1})])
def test_a_damaged_index_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "index.jsonl").write_text(content)
    with pytest.raises(ConfigError, match="Move the folder away"):
        read_index(tmp_path / "index.jsonl")


def test_the_source_brings_volumes_and_masks_onto_the_grid(tmp_path: Path) -> None:
    source = CtPhantomSource(
        shape=(24, 32, 32), spacing_mm=10.0, train=4, validation=2, test=2, seed=3
    )
    data = source.load(tmp_path, lambda line: None)
    entries = read_index(tmp_path / source.folder_name() / ct_phantom.INDEX)
    assert data.train.volumes.shape == (4, 24, 32, 32)
    assert data.train.volumes.dtype == np.int16
    for split in ct_phantom.SPLITS:
        part = getattr(data, split)
        stored = [entry for entry in entries if entry.split == split]
        assert part.labels.tolist() == [entry.label for entry in stored]
        for entry, volume, mask in zip(stored, part.volumes, part.masks, strict=True):
            assert mask.any() == (entry.label == 1)
            if entry.radius_mm is not None:
                size_mm3 = mask.sum() * source.spacing_mm**3
                assert size_mm3 == pytest.approx(_UNIT * entry.radius_mm**3, rel=0.5)
                assert volume[mask].mean() > volume[_grown(mask, 2) & ~mask].mean()


def test_a_damaged_volume_is_one_clear_error(tmp_path: Path) -> None:
    source = CtPhantomSource(shape=(12, 16, 16), spacing_mm=20.0, train=2, validation=2, test=2)
    place = tmp_path / source.folder_name()
    write(place, Counts(train=2, validation=2, test=2))
    damaged = place / "train_0001.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:500])
    with pytest.raises(ConfigError, match=r"the next run writes it again"):
        source.load(tmp_path, lambda line: None)


@pytest.mark.parametrize("tiny", [False, True])
def test_the_fine_experiment_shows_the_demos_phantoms_twice_as_fine(tiny: bool) -> None:
    demo, fine = load("ct_phantom", tiny=tiny), load("ct_phantom_fine", tiny=tiny)
    same = replace(fine.data, shape=demo.data.shape, spacing_mm=demo.data.spacing_mm)
    assert replace(same, test=demo.data.test) == demo.data
    assert fine.data.shape == tuple(2 * n for n in demo.data.shape)
    assert 2 * fine.data.spacing_mm == demo.data.spacing_mm
    layers = [cam_layer(network_of(config)) for config in (demo, fine)]
    assert layers[0].cells == layers[1].cells
    assert [2 * s for s in layers[0].stride] == list(layers[1].stride)


def test_volumes_on_the_grid_are_kept_beside_the_phantoms(tmp_path: Path) -> None:
    source = CtPhantomSource(shape=(12, 16, 16), spacing_mm=20.0, train=2, validation=2, test=2)
    told: list[str] = []
    data = source.load(tmp_path, told.append)
    place = tmp_path / source.folder_name()
    named = {entry.path for entry in read_index(place / ct_phantom.INDEX)}
    assert {p.name for p in place.glob("*[!k].nii.gz")} == named
    assert {p.name for p in place.iterdir() if p.suffix != ".gz"} == {
        "settings.json",
        "index.jsonl",
        "grids",
    }
    assert "Reading scans onto a grid of 12×16×16 voxels: 6 of 6" in told
    told.clear()
    again = source.load(tmp_path, told.append)
    assert told == []
    for one, other in zip(data.splits.values(), again.splits.values(), strict=True):
        np.testing.assert_array_equal(one.volumes, other.volumes)
        np.testing.assert_array_equal(one.masks, other.masks)
        assert one.volumes.source.filename == other.volumes.source.filename
        assert not one.volumes.source.flags.writeable
    assert data.test.names == ("test_0000", "test_0001")


def test_a_split_is_what_the_client_would_send(tmp_path: Path) -> None:
    source = CtPhantomSource(
        shape=(24, 32, 32), spacing_mm=10.0, train=4, validation=2, test=2, seed=3
    )
    data = source.load(tmp_path, lambda line: None)
    place = tmp_path / source.folder_name()
    index = place / ct_phantom.INDEX
    assert data.sha256 == hashlib.sha256(index.read_bytes()).hexdigest()
    for name, split in data.splits.items():
        entries = [entry for entry in read_index(index) if entry.split == name]
        for entry, volume, mask in zip(entries, split.volumes, split.masks, strict=True):
            sent = to_model_grid(read_volume(place / entry.path), data.grid, np.int16)
            np.testing.assert_array_equal(volume, sent)
            if entry.mask is not None:
                marked = read_volume(place / entry.mask)
                share = to_model_grid(marked, replace(data.grid, padding_value=0.0))
                np.testing.assert_array_equal(mask, share >= 0.5)


def test_a_disk_without_room_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = CtPhantomSource(shape=(12, 16, 16), spacing_mm=20.0, train=2, validation=2, test=2)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=12_000))
    with pytest.raises(ConfigError, match=r"0\.0 GB of room in .* Name another folder with --data"):
        source.load(tmp_path, lambda line: None)


def network_of(config: Config) -> keras.Model:
    contract = config.data.contract
    scaling = intensity_layer(config.scaling, contract.intensity, contract.grid)
    return config.model.build(contract.grid.shape, scaling, config.outputs(contract))


def _grown(mask: np.ndarray, reach: int) -> np.ndarray:
    """Bool: voxels of the mask's bounding box, `reach` voxels wider."""
    voxels = np.argwhere(mask)
    low, high = voxels.min(axis=0) - reach, voxels.max(axis=0) + reach + 1
    box = np.zeros_like(mask)
    box[tuple(slice(max(a, 0), b) for a, b in zip(low, high, strict=True))] = True
    return box
