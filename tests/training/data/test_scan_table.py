"""Your own data: a CSV file of scans becomes a data set, or one message of all that is wrong."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import real_scans
from numpy.testing import assert_array_equal

from vcam_client.errors import ConfigError
from vcam_client.grid import to_model_grid
from vcam_client.reading import read_volume
from vcam_client.spec import Fit, Resampling, SliceAggregation
from vcam_training.data.scans.scan_table_source import ScanTableSource
from vcam_training.task import Task

COUNT = 20
SMALL = ScanTableSource(shape=(4, 5, 6), window=(0.0, 100.0), units="", dtype="float32")


def quiet(line: str) -> None:
    pass


def make_scans(folder: Path, count: int = COUNT) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        data = rng.integers(0, 100, (6, 5, 4), np.int16)
        nib.save(nib.Nifti1Image(data, np.diag([-1.0, -1.0, 1.0, 1.0])), folder / f"{number}.nii")
        mask = (data > 50).astype(np.uint8)
        nib.save(nib.Nifti1Image(mask, np.diag([-1.0, -1.0, 1.0, 1.0])), folder / f"m{number}.nii")


def table(folder: Path, columns: str, *lines: str) -> ScanTableSource:
    (folder / "scans.csv").write_text("\n".join([columns, *lines]) + "\n")
    return replace(SMALL, table=str(folder / "scans.csv"))


@pytest.fixture
def classes(tmp_path: Path) -> ScanTableSource:
    make_scans(tmp_path)
    lines = [f"{n}.nii,{'ill' if n % 2 else 'healthy'}" for n in range(COUNT)]
    return table(tmp_path, "path,label", *lines)


def test_classes_are_read_onto_the_grid_and_divided(
    classes: ScanTableSource, tmp_path: Path
) -> None:
    told: list[str] = []
    data = classes.load(tmp_path / "data", told.append)
    assert (data.name, data.labels) == ("scans", ("healthy", "ill"))
    assert {k: np.bincount(s.labels).tolist() for k, s in data.splits.items()} == {
        "train": [7, 7],
        "validation": [2, 1] if np.bincount(data.validation.labels)[0] == 2 else [1, 2],
        "test": [1, 2] if np.bincount(data.validation.labels)[0] == 2 else [2, 1],
    }
    names = [name for split in data.splits.values() for name in split.names]
    assert sorted(names) == sorted(f"{n}.nii" for n in range(COUNT))
    for split in data.splits.values():
        for name, volume, label in zip(split.names, split.volumes, split.labels, strict=True):
            assert label == int(name.removesuffix(".nii")) % 2
            assert_array_equal(volume, to_model_grid(read_volume(tmp_path / name), data.grid))
        assert not split.masks.any()
        assert split.groups is None
    assert f"20 scans in {classes.table}: healthy, ill" in told
    assert "14 train, 3 validation, 3 test scans" in told


def test_another_seed_another_division_of_the_same_file(
    classes: ScanTableSource, tmp_path: Path
) -> None:
    one = classes.load(tmp_path / "data", quiet)
    other = replace(classes, seed=1).load(tmp_path / "data", quiet)
    assert one.train.names != other.train.names
    assert one.sha256 != other.sha256
    assert one.train.volumes.source.filename == other.train.volumes.source.filename
    assert classes.load(tmp_path / "data", quiet).sha256 == one.sha256


def test_the_order_of_classes_can_be_set(classes: ScanTableSource, tmp_path: Path) -> None:
    data = replace(classes, classes=("ill", "healthy")).load(tmp_path / "data", quiet)
    assert data.labels == ("ill", "healthy")
    at = data.train.names.index(next(name for name in data.train.names))
    assert data.train.labels[at] == 1 - int(data.train.names[at].removesuffix(".nii")) % 2


def test_without_test_scans_validation_stands_in(classes: ScanTableSource, tmp_path: Path) -> None:
    data = replace(classes, test=0.0, validation=0.3).load(tmp_path / "data", quiet)
    assert data.is_tested_on_validation
    assert (len(data.train), len(data.test)) == (14, 6)
    assert not classes.load(tmp_path / "data", quiet).is_tested_on_validation


def test_masks_groups_and_splits_of_the_table(tmp_path: Path) -> None:
    make_scans(tmp_path)
    lines = [
        f"{n}.nii;{n % 2};{f'm{n}.nii' if n % 2 else ''};p{n // 4};{'test' if n >= 16 else ''}"
        for n in range(COUNT)
    ]
    source = table(tmp_path, "path;label;mask;group;split", *lines)
    data = source.load(tmp_path / "data", quiet)
    assert sorted(data.test.names) == [f"{n}.nii" for n in range(16, 20)]
    for split in data.splits.values():
        for name, label, mask, group in zip(
            split.names, split.labels, split.masks, split.groups, strict=True
        ):
            assert mask.any() == label
            assert group == f"p{int(name.removesuffix('.nii')) // 4}"
    groups = [set(split.groups) for split in data.splits.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 5
    mask = data.train.masks[int(np.argmax(data.train.labels))]
    volume = data.train.volumes[int(np.argmax(data.train.labels))]
    assert_array_equal(mask, volume > 50)


def test_a_table_that_names_train_and_test_gives_validation_of_train(tmp_path: Path) -> None:
    make_scans(tmp_path)
    lines = [f"{n}.nii,{n % 2},{'test' if n < 4 else 'train'}" for n in range(COUNT)]
    data = table(tmp_path, "path,label,split", *lines).load(tmp_path / "data", quiet)
    assert sorted(data.test.names) == ["0.nii", "1.nii", "2.nii", "3.nii"]
    assert (len(data.train), len(data.validation)) == (14, 2)  # 15 % of 16


def test_a_scan_goes_where_the_table_puts_its_group(tmp_path: Path) -> None:
    make_scans(tmp_path)
    lines = [f"{n}.nii,{n % 2},p{n // 4},{'test' if n == 5 else ''}" for n in range(COUNT)]
    data = table(tmp_path, "path,label,group,split", *lines).load(tmp_path / "data", quiet)
    assert sorted(data.test.names) == ["4.nii", "5.nii", "6.nii", "7.nii"]


def test_findings_and_targets_are_columns(tmp_path: Path) -> None:
    make_scans(tmp_path)
    lines = [f"{n}.nii,{n % 2},{int(n % 5 == 0)},{n / 4}" for n in range(COUNT)]
    source = table(tmp_path, "path,effusion,nodule,age", *lines)
    findings = replace(source, findings=("effusion", "nodule")).load(tmp_path / "data", quiet)
    assert (findings.contract.task, findings.labels) == (Task.FINDINGS, ("effusion", "nodule"))
    assert findings.train.labels.dtype == bool
    number = int(findings.train.names[3].removesuffix(".nii"))
    assert findings.train.labels[3].tolist() == [bool(number % 2), number % 5 == 0]
    ages = replace(source, targets=("age",), unit="years").load(tmp_path / "data", quiet)
    assert (ages.contract.task, ages.contract.unit) == (Task.REGRESSION, "years")
    assert ages.train.labels.dtype == np.float32
    number = int(ages.train.names[3].removesuffix(".nii"))
    assert ages.train.labels[3] == number / 4


def test_pictures_have_two_axes(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(COUNT):
        Image.fromarray(np.full((8, 8), 5 * number, np.uint8)).save(tmp_path / f"{number}.png")
    source = table(
        tmp_path, "path,label", *(f"{n}.png,{'dark' if n < 10 else 'bright'}" for n in range(COUNT))
    )
    data = replace(source, shape=(4, 4), axes=()).load(tmp_path / "data", quiet)
    assert data.train.volumes.shape == (14, 4, 4)
    assert data.contract.slice_aggregation is SliceAggregation.NONE


def test_the_grid_is_set_by_words(tmp_path: Path) -> None:
    source = ScanTableSource(
        shape=(8, 8, 8), fit="spacing", spacing_mm=(2.0, 1.0, 1.0), resampling="linear"
    )
    assert source.grid.fit is Fit.SPACING
    assert source.grid.resampling is Resampling.LINEAR
    assert source.grid.padding_value == -1000
    assert replace(source, padding=0.0).grid.padding_value == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fit": "crop"}, "data.fit to be one of stretch, spacing, received 'crop'"),
        ({"resampling": "cubic"}, "data.resampling to be one of linear, area"),
        ({"fit": "spacing"}, r"3 positive spacings.*Set data\.shape"),
        ({"shape": (4,)}, r"2 or 3 positive sizes.*Set data\.shape"),
        ({"window": (5.0, 5.0)}, r"Set data\.window"),
        ({"dtype": "uint8"}, r"Set data\.window, data\.dtype"),
        ({"findings": ("a",), "targets": ("b",)}, "either data.findings or data.targets"),
        ({"findings": ("a",), "classes": ("x", "y")}, "exclusive classes only"),
    ],
)
def test_settings_that_make_no_sense(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ScanTableSource(**settings)


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Set data\.table=FILE"):
        SMALL.load(tmp_path, quiet)
    with pytest.raises(ConfigError, match=r"Expected a table of scans in .*none\.csv"):
        replace(SMALL, table=str(tmp_path / "none.csv")).load(tmp_path, quiet)


@pytest.mark.parametrize(
    ("columns", "lines", "messages"),
    [
        ("path,class", ["a.nii,x"], ["no column 'label'", "Its columns are: path, class"]),
        ("path,label", [], ["no line but the first"]),
        ("file", ["a.nii"], ["no column 'path', 'label'"]),
        (
            "path,label,split,group",
            [
                "a.nii,ill,train,p1",
                ",healthy,train,",
                "b.nii,,test,p1",
                "a.nii,ill,validate,p2",
                "c.nii,sick,,",
                "d.nii,sick,,",
            ],
            [
                "10 problems",
                "d.nii'",
                "no path in line 3",
                "'a.nii' 2 times",
                "'', not one of healthy, ill, in line 4",
                "'sick', not one of healthy, ill, in lines 6, 7",
                "a split other than train, validation, test in line 5",
                "group 'p1' in the splits test, train",
            ],
        ),
    ],
)
def test_everything_wrong_with_a_table_is_named_at_once(
    tmp_path: Path, columns: str, lines: list[str], messages: list[str]
) -> None:
    source = replace(table(tmp_path, columns, *lines), classes=("healthy", "ill"))
    with pytest.raises(ConfigError) as caught:
        source.load(tmp_path / "data", quiet)
    for message in messages:
        assert message in str(caught.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("settings", "text", "message"),
    [
        ({"findings": ("label",)}, "maybe", "'maybe', not 0 or 1, in line 2"),
        ({"targets": ("label",)}, "old", "'old', not a number, in line 2"),
        ({"targets": ("label",)}, "nan", "'nan', not a number, in line 2"),
    ],
)
def test_values_of_another_kind(tmp_path: Path, settings: dict, text: str, message: str) -> None:
    source = replace(table(tmp_path, "path,label", f"a.nii,{text}"), **settings)
    with pytest.raises(ConfigError, match=message):
        source.load(tmp_path / "data", quiet)


@pytest.mark.parametrize(("validation", "test"), [(0.6, 0.5), (-0.1, 0.3), (0.5, 0.5)])
def test_shares_that_leave_nothing(
    classes: ScanTableSource, tmp_path: Path, validation: float, test: float
) -> None:
    with pytest.raises(ConfigError, match=r"Set data\.validation and data\.test"):
        replace(classes, validation=validation, test=test).load(tmp_path, quiet)


def test_one_class_only_is_named(tmp_path: Path) -> None:
    make_scans(tmp_path)
    source = table(tmp_path, "path,label", *(f"{n}.nii,ill" for n in range(COUNT)))
    with pytest.raises(ConfigError, match="'ill' as the label of all scans"):
        source.load(tmp_path / "data", quiet)
    with pytest.raises(ConfigError, match="found no scan labelled 'healthy'"):
        replace(source, classes=("healthy", "ill")).load(tmp_path / "data", quiet)
    lines = [f"{n}.nii,{'ill' if n else 'healthy'}" for n in range(COUNT)]
    with pytest.raises(ConfigError, match="'healthy' among the 3 of the validation split"):
        table(tmp_path, "path,label", *lines).load(tmp_path / "data", quiet)
    assert not (tmp_path / "data").exists()


def test_missing_files_are_named_with_all_else(tmp_path: Path) -> None:
    make_scans(tmp_path, 2)
    lines = ["0.nii,healthy,m0.nii", "1.nii,sick,m7.nii", "8.nii,ill,m0.nii"]
    source = table(tmp_path, "path,label,mask", *lines)
    with pytest.raises(ConfigError, match="3 problems") as caught:
        replace(source, classes=("healthy", "ill")).load(tmp_path / "data", quiet)
    for message in ("'sick', not one of", "m7.nii'", f"nothing at '{tmp_path / '8.nii'}'"):
        assert message in str(caught.value)


@real_scans.needs_data
def test_real_scans_of_several_kinds_become_a_data_set(tmp_path: Path) -> None:
    """NIfTI and DICOM side by side; absolute paths."""
    found = real_scans.regular_cts()[:6]
    (tmp_path / "real.csv").write_text(
        "path,label\n" + "".join(f"{path},{n % 2}\n" for n, path in enumerate(found))
    )
    source = ScanTableSource(
        table=str(tmp_path / "real.csv"), shape=(8, 12, 12), validation=0.34, test=0.0
    )
    data = source.load(tmp_path / "data", quiet)
    for split in (data.train, data.validation):
        for name, volume in zip(split.names, split.volumes, strict=True):
            assert_array_equal(volume, to_model_grid(read_volume(name), data.grid, np.int16))
