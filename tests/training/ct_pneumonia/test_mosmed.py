"""Folders of scans for each class: downloaded, unpacked, listed, and read onto the grid."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from vcam_client.errors import ConfigError
from vcam_client.grid import to_model_grid
from vcam_client.reading import read_volume
from vcam_client.spec import Fit
from vcam_training.data import download
from vcam_training.data.scans import mosmed
from vcam_training.data.scans.ct_pneumonia_source import CtPneumoniaSource
from vcam_training.data.scans.mosmed import ARCHIVES, CLASSES, fetch, list_scans, write_phantoms

SHAPE = (4, 6, 6)


def quiet(line: str) -> None:
    pass


def scan(seed: int) -> bytes:
    data = np.random.default_rng(seed).integers(-1000, 400, (8, 8, 5), np.int16)
    return nib.Nifti1Image(data, np.diag([-2.0, -2.0, 8.0, 1.0])).to_bytes()


def write_scans(folder: Path, counts: Mapping[str, int]) -> None:
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for at in range(count):
            (folder / name / f"study_{at:04d}.nii").write_bytes(scan(100 * number + at))


def archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for number, name in enumerate(names):
            made.writestr(name, scan(number))
    return stream.getvalue()


class Answer(io.BytesIO):
    """What the server sends."""

    status = 200

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.headers: dict[str, str] = {}


class Web:
    """Stands in for the network: an answer for each address, and what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []

    def urlopen(self, request: Request, timeout: float) -> Answer:
        self.asked.append(request.full_url)
        if request.full_url not in self.answers:
            raise URLError("no network")
        return Answer(self.answers[request.full_url])


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Web:
    made = Web()
    monkeypatch.setattr(download.urllib.request, "urlopen", made.urlopen)
    return made


def remote(web: Web, **content: bytes) -> dict:
    """Archives of those classes with their own sizes."""
    named = {name.replace("_", "-"): data for name, data in content.items()}
    web.answers = {ARCHIVES[name].url: data for name, data in named.items()}
    return {name: replace(ARCHIVES[name], size=len(data)) for name, data in named.items()}


def test_archives_are_downloaded_and_unpacked_once(web: Web, tmp_path: Path) -> None:
    archives = remote(
        web,
        CT_0=archive("CT-0/study_0002.nii.gz", "CT-0/study_0001.nii.gz", "CT-0/readme.txt"),
        CT_23=archive("study_0938.nii.gz", "__MACOSX/._study_0938.nii.gz", "../../x.nii.gz"),
    )
    told: list[str] = []
    fetch(tmp_path / "mosmed", CLASSES, told.append, archives)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.nii.gz")) == [
        "mosmed/CT-0/study_0001.nii.gz",
        "mosmed/CT-0/study_0002.nii.gz",
        "mosmed/CT-23/study_0938.nii.gz",
        "mosmed/CT-23/x.nii.gz",  # inside, whatever the archive says
    ]
    assert any("SHA-256" in line for line in told)
    fetch(tmp_path / "mosmed", CLASSES, quiet, archives)
    assert web.asked == [ARCHIVES["CT-0"].url, ARCHIVES["CT-23"].url]


def test_unpacking_that_broke_off_is_begun_again(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = remote(web, CT_0=archive("a.nii.gz", "b.nii.gz"))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mosmed.shutil, "copyfileobj", stop)
        with pytest.raises(KeyboardInterrupt):
            fetch(tmp_path, ["CT-0"], quiet, archives)
    assert not (tmp_path / "CT-0").exists()
    fetch(tmp_path, ["CT-0"], quiet, archives)
    assert len(list((tmp_path / "CT-0").iterdir())) == 2
    assert len(web.asked) == 1


def test_without_a_network_it_says_which_file_goes_where(web: Web, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        CtPneumoniaSource().load(tmp_path, quiet)
    said = str(caught.value)
    assert "Can't download CT-0.zip" in said
    assert "1,065.5 MB" in said
    assert "release v0.2 of the project hasibzunair/3D-image-classification-tutorial" in said
    assert f"put it at '{tmp_path / 'mosmed' / 'CT-0.zip'}'" in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 and no more", "Expected a zip archive in .*CT-0.zip"),
        (archive("CT-0/readme.txt"), "Expected NIfTI scans in .*CT-0.zip.*found none"),
        (archive("a/1.nii", "b/1.nii"), "different names in .*CT-0.zip.*'1.nii' twice"),
    ],
)
def test_an_archive_that_is_none(web: Web, tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fetch(tmp_path, ["CT-0"], quiet, remote(web, CT_0=content))
    assert not (tmp_path / "CT-0").exists()


def test_other_classes_are_brought_by_hand(web: Web, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'CT-4'.*only CT-0, CT-23 can be downloaded"):
        fetch(tmp_path, ["CT-4"], quiet)
    assert web.asked == []


def test_the_scans_of_each_class_have_its_label(tmp_path: Path) -> None:
    write_scans(tmp_path, {"CT-0": 3, "CT-23": 2})
    (tmp_path / "CT-0" / "notes.txt").write_text("")
    (tmp_path / "CT-0" / ".study_9.nii").write_text("")
    table = list_scans(tmp_path, CLASSES)
    assert table.labels.tolist() == [0, 0, 0, 1, 1]
    assert table.names[0] == "CT-0/study_0000.nii"
    assert table.names[3:] == ("CT-23/study_0000.nii", "CT-23/study_0001.nii")
    assert table.groups is None


def test_classes_without_scans_are_all_named(tmp_path: Path) -> None:
    write_scans(tmp_path, {"CT-0": 0, "CT-1": 2})
    with pytest.raises(ConfigError, match="2 problems") as caught:
        list_scans(tmp_path, ("CT-0", "CT-1", "CT-23"))
    assert "none in" in str(caught.value)
    assert "CT-23" in str(caught.value)


def test_the_examples_division(tmp_path: Path) -> None:
    """70 and 30 of 100, here 14 and 6 of 20 of each class."""
    write_scans(tmp_path / "here", {"CT-0": 20, "CT-23": 20})
    source = CtPneumoniaSource(folder=str(tmp_path / "here"), shape=SHAPE)
    data = source.load(tmp_path / "data", quiet)
    assert np.bincount(data.train.labels).tolist() == [14, 14]
    assert np.bincount(data.validation.labels).tolist() == [6, 6]
    assert data.is_tested_on_validation
    assert data.labels == ("normal", "abnormal")
    assert not list((tmp_path / "here").rglob("grids*"))  # a folder of the user's
    for name, volume in zip(data.train.names, data.train.volumes, strict=True):
        stored = read_volume(tmp_path / "here" / name)
        assert_array_equal(volume, to_model_grid(stored, data.grid, np.int16))


def test_a_test_split_can_be_set_aside(tmp_path: Path) -> None:
    write_scans(tmp_path / "here", {"CT-0": 20, "CT-23": 20})
    source = CtPneumoniaSource(folder=str(tmp_path / "here"), shape=SHAPE, validation=0.2, test=0.2)
    data = source.load(tmp_path / "data", quiet)
    assert not data.is_tested_on_validation
    assert {k: np.bincount(s.labels).tolist() for k, s in data.splits.items()} == {
        "train": [12, 12],
        "validation": [4, 4],
        "test": [4, 4],
    }
    names = [set(split.names) for split in data.splits.values()]
    assert len(set.union(*names)) == sum(map(len, names)) == 40


def test_the_whole_extent_of_a_ct_lies_on_the_grid() -> None:
    contract = CtPneumoniaSource().contract
    assert contract.grid.shape == (64, 128, 128)
    assert contract.grid.axes == ("S", "P", "L")
    assert contract.grid.fit is Fit.STRETCH
    assert contract.grid.padding_value == -1000
    assert contract.intensity.window == (-1000, 400)
    assert (contract.intensity.units, contract.intensity.dtype) == ("HU", "int16")


def test_phantoms_in_the_same_layout_go_the_same_way(tmp_path: Path) -> None:
    source = CtPneumoniaSource(shape=SHAPE, phantoms=3, seed=4)
    data = source.load(tmp_path, quiet)
    place = tmp_path / "mosmed-phantoms-3-seed4"
    files = sorted(p.relative_to(place).as_posix() for p in place.rglob("*.nii.gz"))
    assert files == [f"{name}/study_{n:04d}.nii.gz" for name in CLASSES for n in (1, 2, 3)]
    assert (len(data.train), len(data.validation)) == (4, 2)
    assert replace(source, phantoms=0, folder=str(place)).load(tmp_path, quiet).sha256 == (
        data.sha256
    )
    again = tmp_path / "again"
    write_phantoms(again, 1, 4, quiet)
    for name in CLASSES:
        one, other = (root / name / "study_0001.nii.gz" for root in (place, again))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": ("CT-0", "CT-1", "CT-2")}, "a label for each of the classes"),
        ({"phantoms": 2, "folder": "here"}, r"Set data\.phantoms=0"),
    ],
)
def test_settings_that_make_no_sense(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CtPneumoniaSource(**settings)
