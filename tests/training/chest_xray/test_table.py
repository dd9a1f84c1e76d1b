"""Tables in the layout of ChestX-ray14: both forms, folds, patients, filters."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from vcam_client.errors import ConfigError
from vcam_training._cli import cli
from vcam_training.data.radiographs.chest_xray_table import FINDINGS, FOLDS, read_names, read_table

ORIGINAL = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
)


def wide(path: Path, rows: list[str], header: str = "") -> Path:
    """A table with a column for each finding."""
    head = header or f"Image Index,Patient ID,fold,{','.join(FINDINGS)}"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def row(name: str, patient: int | str, fold: str, *there: str) -> str:
    return f"{name},{patient},{fold}," + ",".join(str(int(f in there)) for f in FINDINGS)


ROWS = [
    row("00000001_000.png", 1, "train", "Mass", "Hernia"),
    row("00000001_001.png", 1, "train"),
    row("00000002_000.png", 2, "val", "Mass"),
    row("00000003_000.png", 3, "test", "Pleural_Thickening"),
    row("00000004_000.png", 4, "test", "Mass"),
]


def original(folder: Path, patients: int, *, held: int) -> Path:
    """The original table: two images of each patient, the last ones in the test list."""
    lines, rest, test = [], [], []
    for patient in range(patients):
        for number in range(2):
            name = f"{patient:08d}_{number:03d}.png"
            labels = "No Finding" if number else FINDINGS[patient % 14] + "|Edema"
            lines.append(f"{name},{labels},0,{patient},58,M,PA,2682,2749,0.143,0.143,")
            (test if patient >= patients - held else rest).append(name)
    (folder / "Data_Entry_2017.csv").write_text(ORIGINAL + "\n".join(lines) + "\n")
    (folder / "test_list.txt").write_text("\n".join(test) + "\n")
    (folder / "train_val_list.txt").write_text("\n".join(rest) + "\n")
    return folder / "Data_Entry_2017.csv"


def test_a_column_for_each_finding(tmp_path: Path) -> None:
    table = read_table(wide(tmp_path / "nih_labels.csv", ROWS))
    assert table.names[3] == "00000003_000.png"
    assert [FINDINGS[k] for k in np.flatnonzero(table.findings[0])] == ["Mass", "Hernia"]
    assert table.findings.sum() == 5
    assert [FOLDS[fold] for fold in table.folds] == ["train", "train", "validation", "test", "test"]
    assert list(table.patients) == ["1", "1", "2", "3", "4"]


def test_columns_may_have_other_orders_and_spellings(tmp_path: Path) -> None:
    names = [name.replace("_", " ").upper() for name in reversed(FINDINGS)]
    head = f"fold,{','.join(names)},Follow-up #,Image Index"
    values = ["1.0" if name == "PLEURAL THICKENING" else "0.0" for name in names]
    table = read_table(wide(tmp_path / "t.csv", [f"test,{','.join(values)},0,a.png"], head))
    assert [FINDINGS[k] for k in np.flatnonzero(table.findings[0])] == ["Pleural_Thickening"]
    assert table.patients is None


def test_patients_follow_from_names_where_the_table_has_none(tmp_path: Path) -> None:
    head = f"Image Index,fold,{','.join(FINDINGS)}"
    zeros = ",".join("0" * 14)
    lines = [f"00000007_00{n}.png,train,{zeros}" for n in range(2)]
    assert list(read_table(wide(tmp_path / "t.csv", lines, head)).patients) == ["00000007"] * 2


def test_the_original_table_and_lists(tmp_path: Path) -> None:
    table = read_table(original(tmp_path, 40, held=8), validation=0.25)
    is_test = table.folds == FOLDS.index("test")
    assert is_test.sum() == 16
    assert set(table.patients[is_test]) == {str(patient) for patient in range(32, 40)}
    assert (table.folds == FOLDS.index("validation")).sum() == 16
    assert not table.findings[1].any()
    assert [FINDINGS[k] for k in np.flatnonzero(table.findings[0])] == ["Atelectasis", "Edema"]
    folds_of = {p: set(table.folds[table.patients == p]) for p in set(table.patients)}
    assert {len(folds) for folds in folds_of.values()} == {1}


def test_patients_for_validation_follow_from_the_seed(tmp_path: Path) -> None:
    path = original(tmp_path, 40, held=8)
    first, again, other = (read_table(path, seed=seed).folds for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_images_in_neither_list_are_left_out(tmp_path: Path) -> None:
    path = original(tmp_path, 20, held=4)
    kept = (tmp_path / "train_val_list.txt").read_text().splitlines()[2:]
    (tmp_path / "train_val_list.txt").write_text("\n".join(kept))
    assert len(read_table(path)) == 38
    (tmp_path / "train_val_list.txt").unlink()
    assert len(read_table(path)) == 40


def test_a_patient_in_two_folds_is_refused(tmp_path: Path) -> None:
    rows = [*ROWS, row("00000001_002.png", 1, "test")]
    with pytest.raises(ConfigError, match=r"1 in more, such as 1 in train and test"):
        read_table(wide(tmp_path / "t.csv", rows))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([*ROWS, ROWS[0]], "00000001_000.png 2 times"),
        ([row("a.png", 1, "holdout")], "'holdout'"),
        ([row("a.png", 1, "train").replace(",0", ",2", 1)], "'2'"),
        (["a.png,1,train,0"], "line 2 has fewer"),
        ([], "0 rows"),
    ],
)
def test_wrong_rows_are_refused(rows: list[str], says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        read_table(wide(tmp_path / "t.csv", rows))


def test_missing_columns_and_unknown_findings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none for Hernia"):
        read_table(
            wide(
                tmp_path / "t.csv",
                ["a,train" + ",0" * 13],
                f"Image Index,fold,{','.join(FINDINGS[:-1])}",
            )
        )
    (tmp_path / "o.csv").write_text(ORIGINAL + "a.png,Mass,0,1,58,M,PA,1,1,1,1,\n")
    with pytest.raises(ConfigError, match=r"test_list\.txt"):
        read_table(tmp_path / "o.csv")
    (tmp_path / "o.csv").write_text(ORIGINAL + "a.png,Mass|Flu,0,1,58,M,PA,1,1,1,1,\n")
    with pytest.raises(ConfigError, match=r"finding of a\.png.*'Flu'"):
        read_table(tmp_path / "o.csv")
    with pytest.raises(ConfigError, match=r"none\.csv"):
        read_table(tmp_path / "none.csv")


def test_filters(tmp_path: Path) -> None:
    table = read_table(wide(tmp_path / "t.csv", ROWS))

    def names(**filters: object) -> list[str]:
        return [name[7:12] for name in table.filtered(**filters).names]

    assert names() == ["1_000", "1_001", "2_000", "3_000", "4_000"]
    assert names(fold="test") == ["3_000", "4_000"]
    assert names(finding="Mass") == ["1_000", "2_000", "4_000"]
    assert names(finding="pleural thickening") == ["3_000"]
    assert names(finding="Mass", fold="test") == ["4_000"]
    assert names(starter=["00000004_000.png", "00000001_001.png"]) == ["1_001", "4_000"]
    assert len(names(sample=2)) == 2
    assert names(sample=9) == names()
    assert names(sample=2, seed=3) == names(sample=2, seed=3)
    assert len({tuple(names(sample=2, seed=seed)) for seed in range(20)}) > 3


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"fold": "holdout"}, "fold out of train, validation, test"),
        ({"finding": "Flu"}, "finding out of Atelectasis"),
        ({"finding": "Fibrosis"}, "finding Fibrosis"),
        ({"starter": ["x.png"]}, r"such as x\.png"),
    ],
)
def test_filters_that_leave_nothing_are_refused(filters: dict, says: str, tmp_path: Path) -> None:
    table = read_table(wide(tmp_path / "t.csv", ROWS))
    with pytest.raises(ConfigError, match=says):
        table.filtered(**filters)


def test_the_command_names_its_own_options(tmp_path: Path) -> None:
    """Of a config these are data.images and data.starter."""
    file = wide(tmp_path / "t.csv", ROWS)
    for folder, says in (("nope", "Set --images."), ("", "set --starter to it")):
        done = CliRunner().invoke(cli, ["images", str(file), "--images", str(tmp_path / folder)])
        assert isinstance(done.exception, ConfigError)
        assert says in str(done.exception)
        assert "data." not in str(done.exception)


def test_starter_lists_are_lines_or_a_table(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a.png\n\n b.png \n")
    (tmp_path / "table.csv").write_text("Patient,Image Index\n1,a.png\n2,b.png\n")
    (tmp_path / "empty.txt").write_text("\n")
    assert read_names(tmp_path / "lines.txt") == ("a.png", "b.png")
    assert read_names(tmp_path / "table.csv") == ("a.png", "b.png")
    with pytest.raises(ConfigError, match="names of images"):
        read_names(tmp_path / "empty.txt")
