"""Chest radiographs as a data set: images, masks, folds and patients, whatever files hold them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vcam_client.errors import ConfigError
from vcam_client.spec import SliceAggregation
from vcam_training.data.dataset import DataSet
from vcam_training.data.radiographs.chest_xray_stand_in import StandIn, write_stand_in
from vcam_training.data.radiographs.chest_xray_table import FINDINGS
from vcam_training.data.sources import ChestXraySource
from vcam_training.task import Task

SIZE = 32
PNEUMOTHORAX = FINDINGS.index("Pneumothorax")
TINY = ChestXraySource(size=SIZE, made_size=64, train=24, validation=8, test=8)


def quiet(line: str) -> None:
    """Says nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a stand-in in it."""
    place = tmp_path_factory.mktemp("data")
    write_stand_in(place, TINY.stand_in, quiet)
    return place


@pytest.fixture(scope="module")
def data(folder: Path) -> DataSet:
    return TINY.load(folder, quiet)


def own_files(folder: Path, rows: dict[str, str], images: dict[str, np.ndarray]) -> ChestXraySource:
    """A table with folds by name, and images, uint8 or uint16."""
    (folder / "files").mkdir(parents=True)
    zeros = ",".join("01"[name == "Pneumothorax"] for name in FINDINGS)
    lines = [f"{name},{n},{fold},{zeros}" for n, (name, fold) in enumerate(rows.items())]
    head = f"Image Index,Patient ID,fold,{','.join(FINDINGS)}"
    (folder / "labels.csv").write_text("\n".join([head, *lines]) + "\n")
    for name, pixels in images.items():
        Image.fromarray(pixels).save(folder / "files" / name)
    return ChestXraySource(table="labels.csv", images="files", size=8)


FOLDS = {"a.png": "train", "b.png": "val", "c.png": "test"}


def grey(value: int, shape: tuple[int, int] = (16, 16), dtype: str = "uint8") -> np.ndarray:
    return np.full(shape, value, dtype)


def test_the_stand_in_is_a_data_set(data: DataSet) -> None:
    assert data.contract.task is Task.FINDINGS
    assert data.labels == FINDINGS
    assert data.contract.slice_aggregation is SliceAggregation.NONE
    assert [len(split) for split in data.splits.values()] == [24, 8, 8]
    assert data.train.volumes.dtype == np.uint8
    assert data.train.volumes.shape == (24, SIZE, SIZE)
    assert data.train.labels.dtype == bool
    assert data.train.labels.any(axis=0).all()
    assert data.train.name(0) == "00000001_000.png"


def test_patients_are_groups_and_in_one_split_only(data: DataSet) -> None:
    groups = [set(split.groups) for split in data.splits.values()]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    counts = np.unique(data.train.groups, return_counts=True)[1]
    assert counts.max() <= 3
    assert len(counts) < len(data.train)


def test_masks_are_there_where_labels_are(data: DataSet) -> None:
    for split in data.splits.values():
        for k in range(len(FINDINGS)):
            there = [split.mask(n, k).any() for n in range(len(split))]
            np.testing.assert_array_equal(there, split.labels[:, k])
    masks = data.train.finding_masks[PNEUMOTHORAX]
    assert masks.shape == data.train.volumes.shape
    whole = np.asarray(masks)
    assert whole.dtype == bool
    rows = np.flatnonzero(data.train.labels[:, PNEUMOTHORAX])
    np.testing.assert_array_equal(masks[rows], whole[rows])
    np.testing.assert_array_equal(masks[int(rows[0]), 3:, ::2], whole[rows[0], 3:, ::2])
    np.testing.assert_array_equal(masks[-5:, 4], whole[-5:, 4])


def test_masks_can_be_left_to_some_findings(folder: Path, data: DataSet) -> None:
    few = replace(TINY, marked=("Pneumothorax",)).load(folder, quiet)
    assert set(few.test.finding_masks) == {PNEUMOTHORAX}
    assert set(data.test.finding_masks) == set(range(len(FINDINGS)))
    np.testing.assert_array_equal(
        few.train.finding_masks[PNEUMOTHORAX], data.train.finding_masks[PNEUMOTHORAX]
    )


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    what = StandIn(size=48, train=3, validation=1, test=1)
    made = [write_stand_in(tmp_path / name, what, quiet) for name in ("one", "two")]
    other = write_stand_in(tmp_path, replace(what, seed=1), quiet)
    files = [
        {str(p.relative_to(m)): p.read_bytes() for p in m.rglob("*.*") if p.is_file()}
        for m in (*made, other)
    ]
    assert len(files[0]) == 7
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_more_test_images_leave_the_others_as_they_are(tmp_path: Path) -> None:
    what = StandIn(size=48, train=3, validation=2, test=1)
    few = write_stand_in(tmp_path, what, quiet)
    many = write_stand_in(tmp_path, replace(what, test=4), quiet)
    for path in (few / "images").iterdir():
        assert (many / "images" / path.name).read_bytes() == path.read_bytes()
    assert len(list((many / "images").iterdir())) == 9


def test_an_interrupted_stand_in_is_written_anew(tmp_path: Path) -> None:
    what = StandIn(size=48, train=2, validation=1, test=1)
    place = write_stand_in(tmp_path, what, quiet)
    whole = (place / "masks.csv").read_bytes()
    (place / "labels.csv").unlink()
    (place / "masks.csv").write_text("half")
    write_stand_in(tmp_path, what, quiet)
    assert (place / "masks.csv").read_bytes() == whole


def test_a_second_time_nothing_is_read(
    folder: Path, data: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(
        "vcam_training.data.scans.grid_cache.read_volume", lambda path, **_: read.append(path)
    )
    again = TINY.load(folder, quiet)
    assert read == []
    assert again.sha256 == data.sha256
    np.testing.assert_array_equal(again.test.volumes, data.test.volumes)


def test_the_hash_follows_labels_and_masks(folder: Path, tmp_path: Path, data: DataSet) -> None:
    place = folder / TINY.stand_in.folder_name
    hashes = {data.sha256}
    for number, (name, old, new) in enumerate(
        [("labels.csv", ",0\n", ",1\n"), ("masks.csv", ",Mass,", ",Nodule,")]
    ):
        changed = tmp_path / str(number)
        changed.mkdir()
        for file in ("labels.csv", "masks.csv"):
            text = (place / file).read_text()
            (changed / file).write_text(text.replace(old, new, 1) if file == name else text)
        source = replace(
            TINY,
            table=str(changed / "labels.csv"),
            masks=str(changed / "masks.csv"),
            images=str(place / "images"),
        )
        hashes.add(source.load(folder, quiet).sha256)
    assert len(hashes) == 3


def test_unknown_findings_stay_with_their_images(tmp_path: Path) -> None:
    source = own_files(tmp_path, FOLDS, {name: grey(40) for name in FOLDS})
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    at = lines[0].split(",").index("Mass")
    hashes = set()
    for number in (1, 2, 3):  # an image of each fold
        changed = list(lines)
        cells = lines[number].split(",")
        cells[at] = "-1"
        changed[number] = ",".join(cells)
        (tmp_path / "labels.csv").write_text("\n".join(changed))
        for uncertain in ("ignore", "negative"):
            data = replace(source, uncertain=uncertain).load(tmp_path, quiet)
            hashes.add(data.sha256)
            for n, split in enumerate(data.splits.values(), start=1):
                wanted = np.ones((1, len(FINDINGS)), bool)
                wanted[0, FINDINGS.index("Mass")] = (n, uncertain) != (number, "ignore")
                np.testing.assert_array_equal(split.is_known, wanted)
    assert len(hashes) == 4  # three of unknown labels, one of negative ones


def test_filters_choose_images_of_each_fold(folder: Path, tmp_path: Path) -> None:
    source = replace(TINY, finding="Effusion")
    place = folder / TINY.stand_in.folder_name
    real = replace(source, table=str(place / "labels.csv"), images=str(place / "images"))
    data = real.load(folder, quiet)
    assert all(split.labels[:, FINDINGS.index("Effusion")].all() for split in data.splits.values())
    assert len(replace(real, finding="", sample=5).load(folder, quiet).train) == 5
    names = [split.name(n) for split in TINY.load(folder, quiet).splits.values() for n in (0, 1)]
    (tmp_path / "starter.txt").write_text("\n".join(names))
    few = replace(real, finding="", starter=str(tmp_path / "starter.txt")).load(folder, quiet)
    assert [split.names for split in few.splits.values()] == [
        tuple(names[:2]),
        tuple(names[2:4]),
        tuple(names[4:]),
    ]


def test_images_may_lie_in_folders_of_folders(tmp_path: Path) -> None:
    source = own_files(tmp_path, FOLDS, {name: grey(40) for name in FOLDS})
    (tmp_path / "files/images_001/images").mkdir(parents=True)
    (tmp_path / "files/a.png").rename(tmp_path / "files/images_001/images/a.png")
    data = source.load(tmp_path, quiet)
    assert (data.train.volumes == 40).all()
    Image.fromarray(grey(1)).save(tmp_path / "files/a.png")
    with pytest.raises(ConfigError, match=r"one image 'a\.png'"):
        source.load(tmp_path, quiet)


def test_missing_and_unreadable_images_are_named(tmp_path: Path) -> None:
    source = own_files(tmp_path, FOLDS, {name: grey(40) for name in FOLDS})
    (tmp_path / "files/b.png").write_bytes(b"junk")
    with pytest.raises(ConfigError, match=r"b\.png"):
        source.load(tmp_path, quiet)
    (tmp_path / "files/b.png").unlink()
    with pytest.raises(ConfigError, match=r"1 are missing, such as b\.png"):
        source.load(tmp_path, quiet)


def test_a_fold_without_images_is_refused(tmp_path: Path) -> None:
    source = own_files(tmp_path, {"a.png": "train", "b.png": "val"}, {"a.png": grey(1)})
    with pytest.raises(ConfigError, match="Expected images for test"):
        source.load(tmp_path, quiet)


def test_values_beyond_the_window_are_refused(tmp_path: Path) -> None:
    deep = {name: grey(3000, dtype="uint16") for name in FOLDS}
    source = own_files(tmp_path, FOLDS, deep)
    with pytest.raises(ConfigError, match=r"from 0 to 255, received 3000 to 3000.*data\.window"):
        source.load(tmp_path, quiet)
    data = replace(source, window=(0.0, 4095.0)).load(tmp_path, quiet)
    assert (data.train.volumes == 3000).all()
    assert data.contract.intensity.window == (0.0, 4095.0)


def test_masks_of_a_challenge_mark_pneumothoraces(tmp_path: Path) -> None:
    """Drawn on 16 × 16 pixels; images and grid have 8: a mask covers a quarter of each axis."""
    source = own_files(tmp_path, FOLDS, {name: grey(9, (8, 8)) for name in FOLDS})
    # columns 4 to 7 and rows 8 to 11 of 16
    runs = " ".join(["72 4", "12 4", "12 4", "12 4"])
    (tmp_path / "rle.csv").write_text(f"ImageId, EncodedPixels\na, {runs}\nb, -1\n")
    data = replace(source, masks="rle.csv", mask_size=16).load(tmp_path, quiet)
    assert set(data.train.finding_masks) == {PNEUMOTHORAX}
    wanted = np.zeros((8, 8), bool)
    wanted[4:6, 2:4] = True
    np.testing.assert_array_equal(data.train.mask(0, PNEUMOTHORAX), wanted)
    assert not data.validation.mask(0, PNEUMOTHORAX).any()
    assert not data.train.mask(0, 0).any()


def test_a_mask_too_small_for_the_grid_marks_one_pixel(tmp_path: Path) -> None:
    source = own_files(tmp_path, FOLDS, {name: grey(9, (64, 64)) for name in FOLDS})
    (tmp_path / "rle.csv").write_text("ImageId,EncodedPixels\na,0 1\n")
    mask = replace(source, masks="rle.csv").load(tmp_path, quiet).train.mask(0, PNEUMOTHORAX)
    assert mask.sum() == 1
    assert mask[0, 0]


def test_masks_larger_than_their_images_say_which_setting(tmp_path: Path) -> None:
    source = own_files(tmp_path, FOLDS, {name: grey(9, (8, 8)) for name in FOLDS})
    (tmp_path / "rle.csv").write_text("ImageId,EncodedPixels\na,72 4\n")
    data = replace(source, masks="rle.csv").load(tmp_path, quiet)
    with pytest.raises(ConfigError, match=r"a\.png.*8×8 pixels.*data\.mask_size"):
        data.train.mask(0, PNEUMOTHORAX)


def test_masks_turn_with_images_that_are_stored_upside_down(tmp_path: Path) -> None:
    """A DICOM radiograph whose rows run to the head is shown turned; so is its mask."""
    pydicom = pytest.importorskip("pydicom")
    source = own_files(tmp_path, FOLDS, {name: grey(9, (8, 8)) for name in FOLDS})
    stored = np.zeros((8, 8), np.uint8)
    stored[1, 2] = 200
    write_radiograph(pydicom, tmp_path / "files/a.dcm", stored, ["L", "H"])
    table = (tmp_path / "labels.csv").read_text()
    (tmp_path / "labels.csv").write_text(table.replace("a.png", "a.dcm"))
    (tmp_path / "rle.csv").write_text(f"ImageId,EncodedPixels\na,{2 * 8 + 1} 1\n")
    data = replace(source, masks="rle.csv").load(tmp_path, quiet)
    shown = data.train.volumes[0] > 100
    assert shown[6, 2]
    np.testing.assert_array_equal(data.train.mask(0, PNEUMOTHORAX), shown)


def write_radiograph(pydicom: object, path: Path, stored: np.ndarray, lies: list[str]) -> None:
    """A minimal digital radiograph."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["radiograph"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    one.SOPClassUID = meta.MediaStorageSOPClassUID
    one.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    one.SeriesInstanceUID = generate_uid(entropy_srcs=["series"])
    one.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    one.Modality, one.PatientOrientation = "DX", lies
    one.Rows, one.Columns = stored.shape
    one.BitsAllocated, one.BitsStored, one.HighBit = 8, 8, 7
    one.SamplesPerPixel, one.PixelRepresentation = 1, 0
    one.PhotometricInterpretation = "MONOCHROME2"
    one.PixelData = stored.tobytes()
    one.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize(
    "values",
    [
        {"size": 0},
        {"marked": ("Flu",)},
        {"sample": -1},
        {"window": (5.0, 5.0)},
        {"train": 0},
        {"made_size": 8},
    ],
)
def test_impossible_settings_are_refused(values: dict) -> None:
    with pytest.raises(ConfigError, match=r"data\."):
        ChestXraySource(**values)
