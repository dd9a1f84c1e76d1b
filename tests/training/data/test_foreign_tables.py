"""Tables from Excel, from Windows and from CheXpert give the labels that are in them."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from vcam_client.errors import ConfigError
from vcam_training import train
from vcam_training.config import Config, load
from vcam_training.data.csv_table import place_of, read_csv
from vcam_training.data.finding_labels import IGNORED, FindingLabels
from vcam_training.data.radiographs.chest_xray_table import FINDINGS, read_table
from vcam_training.data.scans.grid_cache import ScanFile
from vcam_training.data.scans.scan_table_source import ScanTableSource
from vcam_training.evaluation.calibration import fit
from vcam_training.evaluation.epoch_figures import mean_auc
from vcam_training.learning.history import best, read_history
from vcam_training.learning.losses import Loss
from vcam_training.running.epochs import Epochs
from vcam_training.task import UNKNOWN

COUNT = 24
SOURCE = ScanTableSource(
    shape=(16, 16),
    axes=(),
    window=(0.0, 255.0),
    units="",
    dtype="float32",
    validation=0.25,
    test=0.25,
    file_spacing_mm=(1.0,),
)


def quiet(line: str) -> None:
    pass


def make_pictures(folder: Path, count: int = COUNT) -> list[str]:
    from PIL import Image

    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    names = [f"images/{number}.png" for number in range(count)]
    for name in names:
        Image.fromarray(rng.integers(0, 255, (16, 16), np.uint8)).save(folder / name)
    return names


def ages(source: ScanTableSource, folder: Path) -> dict[str, float]:
    data = source.load(folder / "data", quiet)
    return {
        name: float(label[0])
        for split in data.splits.values()
        for name, label in zip(split.names, split.labels, strict=True)
    }


@pytest.mark.parametrize(
    ("encoding", "separator", "comma", "hint"),
    [
        ("utf-8", ",", False, False),
        ("utf-8-sig", ",", False, False),
        ("utf-8-sig", ";", True, False),
        ("utf-8", ";", True, True),
        ("utf-16", "\t", True, False),
        ("utf-16-le", ";", True, False),
        ("utf-16-be", ";", False, False),
        ("utf-32", ",", False, False),
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_tables_of_excel_have_the_numbers_that_were_typed(
    tmp_path: Path, encoding: str, separator: str, comma: bool, hint: bool, ends: str
) -> None:
    names = make_pictures(tmp_path)
    truth = {name: round(20 + number / 8, 3) for number, name in enumerate(names)}
    lines = [separator.join(["Path", "Größe", "Age"])]
    for name, age in truth.items():
        text = str(age).replace(".", ",") if comma else str(age)
        lines.append(separator.join([name, "ä", text]))
    lines += [separator * 2, ""]  # empty lines at the end, as Excel leaves them
    if hint:
        lines.insert(0, f"sep={separator}")
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    (tmp_path / "scans.csv").write_bytes(mark + ends.join(lines).encode(encoding))
    source = replace(SOURCE, table=str(tmp_path / "scans.csv"), targets=("age",))
    assert ages(source, tmp_path) == truth


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["images/0.png,1,5", "images/1.png,2"], "more fields than columns in line 2"),
        (["images/0.png,1.234,5", "images/1.png,2"], "more fields than columns in line 2"),
        (['images/0.png,"1,5"', "images/1.png,2"], "'1,5', not a number, in line 2"),
        (["images/0.png,1", "images/1.png,1_5"], "'1_5', not a number, in line 3"),
        (["images/0.png,1", "images/1.png,inf"], "'inf', not a number, in line 3"),
    ],
)
def test_decimal_commas_among_commas_are_not_half_a_number(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    make_pictures(tmp_path, 2)
    (tmp_path / "scans.csv").write_text("\n".join(["path,age", *lines]))
    source = replace(SOURCE, table=str(tmp_path / "scans.csv"), targets=("age",))
    with pytest.raises(ConfigError, match=message):
        source.load(tmp_path / "data", quiet)


def test_points_and_commas_in_one_column_are_ambiguous(tmp_path: Path) -> None:
    make_pictures(tmp_path, 3)
    lines = ["path;age", "images/0.png;1.5", "images/1.png;1,234", "images/2.png;2"]
    (tmp_path / "scans.csv").write_text("\n".join(lines))
    source = replace(SOURCE, table=str(tmp_path / "scans.csv"), targets=("age",))
    with pytest.raises(ConfigError, match="'1,234', not a number, in line 3"):
        source.load(tmp_path / "data", quiet)


@pytest.mark.parametrize(
    ("separator", "ages_written", "lines"),
    [
        ("\t", ["1,234", "567", "2,345"], "lines 2, 4"),
        (";", ["1,234", "567", "2,345"], "lines 2, 4"),
        (";", ["1.234", "567", "2.345"], "lines 2, 4"),
        ("\t", ["-1,000", "5", "6"], "line 2"),
        ("\t", ["\N{MINUS SIGN}12,000", "+123,456", "1234"], "lines 2, 3"),
    ],
)
def test_thousands_are_not_read_as_decimals(
    tmp_path: Path, separator: str, ages_written: list[str], lines: str
) -> None:
    names = make_pictures(tmp_path, 3)
    rows = [f"{name}{separator}{age}" for name, age in zip(names, ages_written, strict=True)]
    (tmp_path / "scans.csv").write_text("\n".join([f"path{separator}age", *rows]))
    source = replace(SOURCE, table=str(tmp_path / "scans.csv"), targets=("age",))
    with pytest.raises(ConfigError) as caught:
        source.load(tmp_path / "data", quiet)
    first = ages_written[0]
    whole = first.replace(",", "").replace(".", "")
    assert f"{first!r} is {whole} or {first.replace(',', '.')} (write" in str(caught.value)
    assert f"or {first}0 for the other), in {lines}." in str(caught.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("separator", ["\t", ";", ","])
@pytest.mark.parametrize("other", ["1,5", "0,125", "1234,567", "-0,500", "1,2345", "1,0e3"])
def test_one_certain_decimal_settles_its_column(tmp_path: Path, separator: str, other: str) -> None:
    written = ["1,234", "2,345", *[other] * (COUNT - 2)]
    if separator == ",":
        written = [text.replace(",", ".") for text in written]
    names = make_pictures(tmp_path)
    rows = [f"{name}{separator}{age}" for name, age in zip(names, written, strict=True)]
    (tmp_path / "scans.csv").write_text("\n".join([f"path{separator}age", *rows]))
    source = replace(SOURCE, table=str(tmp_path / "scans.csv"), targets=("age",))
    truth = [float(text.replace(",", ".")) for text in written]
    assert ages(source, tmp_path) == pytest.approx(dict(zip(names, truth, strict=True)))


@pytest.mark.parametrize("separator", ["\t", ","])
def test_three_decimals_behind_points_are_decimals(tmp_path: Path, separator: str) -> None:
    """As programs write them, whatever the country."""
    names = make_pictures(tmp_path)
    truth = {name: 20.125 + number / 1000 for number, name in enumerate(names)}
    rows = [f"{name}{separator}{age:.3f}" for name, age in truth.items()]
    (tmp_path / "scans.csv").write_text("\n".join([f"path{separator}age", *rows]))
    source = replace(SOURCE, table=str(tmp_path / "scans.csv"), targets=("age",))
    assert ages(source, tmp_path) == pytest.approx(truth)


@pytest.mark.parametrize("targets", [("a", "b"), ("b", "a")])
def test_commas_of_one_column_allow_none_in_another(
    tmp_path: Path, targets: tuple[str, str]
) -> None:
    make_pictures(tmp_path, 3)
    lines = ["path;a;b", "images/0.png;1,5;1,5", "images/1.png;2.5;2", "images/2.png;3;3"]
    (tmp_path / "scans.csv").write_text("\n".join(lines))
    source = replace(SOURCE, table=str(tmp_path / "scans.csv"), targets=targets)
    with pytest.raises(ConfigError, match="'1,5', not a number, in line 2"):
        source.load(tmp_path / "data", quiet)


def test_lines_are_numbered_as_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a,b\n\n"x\ny",1\n,\nz,2\n')
    table = read_csv(tmp_path / "t.csv", "Expected a table", "Look.")
    assert table.rows == (("x\ny", "1"), ("z", "2"))
    assert table.lines == (4, 6)
    (tmp_path / "t.csv").write_text("sep=;\na;b\n\nz;2\n")
    table = read_csv(tmp_path / "t.csv", "Expected a table", "Look.")
    assert (table.columns, table.rows, table.lines) == (("a", "b"), (("z", "2"),), (4,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path;label\nä;x".encode("cp1252"), r"no UTF-8 text.*'CSV UTF-8'"),
        ("path;label".encode("utf-16-le"), r"are no text.*'CSV UTF-8'"),
        (b'path,label\n"a,b', "received a damaged one"),
        (b"path,Label,label ,PATH\n", "no line but the first"),
        (b"path,label,label\na,b,c\n", "Expected one column 'label', found 2"),
        (b"Path,PATH,label\na,b,c\n", "Expected one column 'path', found 2: 'Path', 'PATH'"),
    ],
)
def test_what_can_not_be_read_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "scans.csv").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        replace(SOURCE, table=str(tmp_path / "scans.csv")).load(tmp_path / "data", quiet)
    assert "codec" not in str(caught.value)


def test_backslashes_of_windows_separate_folders(tmp_path: Path) -> None:
    names = make_pictures(tmp_path)
    lines = [f"{name.replace('/', chr(92))},{'ab'[n % 2]}" for n, name in enumerate(names)]
    (tmp_path / "scans.csv").write_text("\r\n".join(["Path,Label", *lines]))
    data = replace(SOURCE, table=str(tmp_path / "scans.csv")).load(tmp_path / "data", quiet)
    assert sum(len(split) for split in data.splits.values()) == COUNT
    (tmp_path / "a\\b.png").touch()  # a name like any other here
    assert place_of(tmp_path, "a\\b.png") == tmp_path / "a\\b.png"
    lines[1] = lines[0].replace("\\", "/")
    (tmp_path / "scans.csv").write_text("\n".join(["Path,Label", *lines]))
    with pytest.raises(ConfigError, match="2 times"):
        replace(SOURCE, table=str(tmp_path / "scans.csv")).load(tmp_path / "data", quiet)


@pytest.mark.parametrize(
    "other",
    [
        "./images/0.png",
        "images/../images/0.png",
        ".\\images\\0.png",
        "{folder}/images/0.png",
        "{name}/images/0.png",
        "images/link.png",
        "linked/0.png",
        "hard.png",
    ],
)
def test_one_scan_in_two_spellings_is_refused(tmp_path: Path, other: str) -> None:
    names = make_pictures(tmp_path)
    (tmp_path / "images/link.png").symlink_to("0.png")
    (tmp_path / "linked").symlink_to("images")
    (tmp_path / "hard.png").hardlink_to(tmp_path / names[0])
    other = other.format(folder=tmp_path, name=tmp_path.name)
    lines = [f"{name},{n}" for n, name in enumerate([*names, other])]
    (tmp_path / "scans.csv").write_text("\n".join(["path,age", *lines]))
    source = replace(SOURCE, table=str(tmp_path / "scans.csv"), targets=("age",))
    with pytest.raises(ConfigError) as caught:
        source.load(tmp_path / "data", quiet)
    assert f"found 'images/0.png' 2 times, also as {other!r}." in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_either_file_of_a_pair_stands_for_the_scan(tmp_path: Path) -> None:
    for name in ("a.hdr", "a.img", "b.img"):
        (tmp_path / name).touch()
    one, other, alone = (ScanFile(path=tmp_path / name) for name in ("a.hdr", "a.img", "b.img"))
    assert one.identity == other.identity
    assert alone.identity not in (one.identity, ScanFile(path=tmp_path / "b.hdr").identity)


@pytest.mark.parametrize("suffix", [".png", ".hdr", ".mhd"])
def test_a_path_that_is_too_long_is_not_there(tmp_path: Path, suffix: str) -> None:
    long = "n" * 300 + suffix
    (tmp_path / "t.csv").write_text(f"path,age\n{long},1\n")
    with pytest.raises(ConfigError, match=f"nothing at '.*{long}'"):
        replace(SOURCE, table=str(tmp_path / "t.csv"), targets=("age",)).load(tmp_path, quiet)


def test_a_path_of_another_computer_is_named_as_such(tmp_path: Path) -> None:
    make_pictures(tmp_path, 2)
    (tmp_path / "scans.csv").write_text("path,label\nC:\\scans\\0.png,a\nimages/1.png,b\n")
    with pytest.raises(ConfigError, match="a path of a Windows computer in line 2"):
        replace(SOURCE, table=str(tmp_path / "scans.csv")).load(tmp_path / "data", quiet)


# findings


@pytest.mark.parametrize(
    ("text", "ignore", "positive", "negative", "refused"),
    [
        ("1", 1, 1, 1, 1),
        ("1.0", 1, 1, 1, 1),
        ("1,0", 1, 1, 1, 1),
        ("True", 1, 1, 1, 1),
        ("0.0", 0, 0, 0, 0),
        ("false", 0, 0, 0, 0),
        ("-1.0", IGNORED, 1, 0, None),
        ("-1", IGNORED, 1, 0, None),
        ("\N{MINUS SIGN}1", IGNORED, 1, 0, None),
        ("", IGNORED, 0, 0, None),
        ("nan", IGNORED, 0, 0, None),
        ("2", None, None, None, None),
        ("0.5", None, None, None, None),
        ("maybe", None, None, None, None),
    ],
)
def test_labels_of_findings(
    text: str, ignore: int, positive: int, negative: int, refused: int
) -> None:
    for uncertain, wanted in (
        ("ignore", ignore),
        ("positive", positive),
        ("negative", negative),
        ("", refused),
    ):
        assert FindingLabels(uncertain=uncertain).read(text) == wanted


def test_what_a_report_does_not_mention_has_a_setting() -> None:
    assert FindingLabels(uncertain="ignore", unmentioned="negative").read("") == 0
    assert FindingLabels(uncertain="positive", unmentioned="ignore").read("") == IGNORED
    assert FindingLabels(unmentioned="negative").read("-1") is None
    with pytest.raises(ConfigError, match=r"Expected data\.unmentioned to be one of ignore, neg"):
        FindingLabels(unmentioned="positive")
    with pytest.raises(ConfigError, match=r"Expected data\.uncertain .* received 'maybe'"):
        FindingLabels(uncertain="maybe")
    with pytest.raises(ConfigError, match=r"Expected data\.findings beside data\.uncertain"):
        replace(SOURCE, uncertain="ignore")


def chexpert(folder: Path) -> tuple[ScanTableSource, dict[str, list[str]]]:
    """A table as CheXpert has it, whose paths begin with the folder that it is in."""
    place = folder / "CheXpert-small"
    names = make_pictures(place)
    values = ["1.0", "0.0", "-1.0", ""]
    labels = {
        name: [values[n % 4], values[(n // 4) % 4], values[n % 2], "" if n % 3 else "1.0"]
        for n, name in enumerate(names)
    }
    lines = [
        f"CheXpert-small/{name},Male,58,Frontal,AP,{','.join(texts)}"
        for name, texts in labels.items()
    ]
    head = "Path,Sex,Age,Frontal/Lateral,AP/PA,Cardiomegaly,Pleural Effusion,No Finding,Fracture"
    (place / "train.csv").write_text("\n".join([head, *lines]) + "\n")
    source = replace(
        SOURCE,
        table=str(place / "train.csv"),
        findings=("Cardiomegaly", "Pleural Effusion", "No Finding", "Fracture"),
    )
    return source, {f"CheXpert-small/{name}": texts for name, texts in labels.items()}


@pytest.mark.parametrize("uncertain", ["ignore", "positive", "negative"])
def test_chexpert_is_read_as_it_is(tmp_path: Path, uncertain: str) -> None:
    source, truth = chexpert(tmp_path)
    data = replace(source, uncertain=uncertain).load(tmp_path / "data", quiet)
    read = FindingLabels(uncertain=uncertain).read
    seen = 0
    for split in data.splits.values():
        for name, label, known in zip(split.names, split.labels, split.is_known, strict=True):
            codes = np.array([read(text) for text in truth[name]])
            assert_array_equal(label, codes == 1)
            assert_array_equal(known, codes != IGNORED)
            seen += 1
    assert seen == COUNT
    assert (data.train.known is None) == (uncertain != "ignore")


def test_uncertain_labels_are_refused_until_somebody_says_what_they_mean(tmp_path: Path) -> None:
    source, _ = chexpert(tmp_path)
    with pytest.raises(ConfigError) as caught:
        source.load(tmp_path / "data", quiet)
    for part in (
        "'-1.0', not 0 or 1, in lines 4, 8, 10",
        "Set data.uncertain=ignore, positive or negative for labels of -1.",
        "Set data.unmentioned=ignore or negative for empty labels.",
    ):
        assert part in str(caught.value)


def test_the_hash_of_data_tells_unknown_from_absent(tmp_path: Path) -> None:
    source, _ = chexpert(tmp_path)
    hashes = {
        replace(source, uncertain=kind).load(tmp_path / "data", quiet).sha256
        for kind in ("ignore", "positive", "negative")
    }
    assert len(hashes) == 3


def test_tables_of_chest_x_ray_may_be_uncertain_too(tmp_path: Path) -> None:
    rows = [["1.0", "-1.0", ""] + ["0"] * 11, ["0"] * 14]
    lines = [f"images\\{n}.png;{n};train;{';'.join(texts)}" for n, texts in enumerate(rows)]
    head = f"Image Index;Patient ID;fold;{';'.join(FINDINGS)}"
    (tmp_path / "t.csv").write_text("\n".join([head, *lines]), encoding="utf-16")
    table = read_table(tmp_path / "t.csv", labels=FindingLabels(uncertain="ignore"))
    assert table.names == ("0.png", "1.png")
    assert table.findings[0].tolist() == [True] + [False] * 13
    assert table.known is not None
    assert table.known[0].tolist() == [True, False, False] + [True] * 11
    assert table.rows(np.array([1])).known.all()
    with pytest.raises(ConfigError, match=r"received '-1\.0', ''\. Set data\.uncertain"):
        read_table(tmp_path / "t.csv")


def test_what_a_network_is_trained_on_says_what_is_unknown(tmp_path: Path) -> None:
    source, _ = chexpert(tmp_path)
    config: Config = replace(
        load("chest_xray", tiny=True), data=replace(source, uncertain="ignore")
    )
    data = config.data.load(tmp_path / "data", quiet)
    epochs = Epochs.of(config, data)
    for split, targets in ((data.train, epochs.targets), (data.validation, epochs.val_targets)):
        assert not split.is_known.all()
        assert_array_equal(targets, np.where(split.is_known, split.labels, UNKNOWN))


def test_a_run_leaves_unknown_labels_out_of_everything(tmp_path: Path) -> None:
    """From the table to predictions.csv; the served model is as any other."""
    source, truth = chexpert(tmp_path)
    base = load("chest_xray", tiny=True)
    config: Config = replace(
        base,
        name="chexpert",
        scaling="window",
        data=replace(source, uncertain="ignore"),
        model=replace(base.model, blocks=(1,)),
        loss=Loss(),
    )
    out = train.run(config, tmp_path / "run", data_folder=tmp_path / "data")
    metrics = json.loads((out / "metrics.json").read_text())
    with (out / "predictions.csv").open(newline="") as stream:
        written = list(csv.DictReader(stream))
    rows = [row for row in written if row["split"] == "test"]
    checked = [row for row in written if row["split"] == "validation"]
    codes = np.array(
        [[{"1.0": 1, "0.0": 0}.get(t, IGNORED) for t in truth[row["name"]]] for row in checked]
    )
    logits = np.array([[float(row[f"logit_{n}"]) for n in source.findings] for row in checked])
    fitted = fit(logits, codes == 1, codes != IGNORED)
    assert metrics["calibration"]["temperature"] == pytest.approx(fitted.temperature, rel=1e-3)
    for found, wanted in zip(
        metrics["calibration"]["finding_thresholds"], fitted.finding_thresholds, strict=True
    ):
        assert found == (None if wanted is None else pytest.approx(wanted, rel=1e-3))
    epoch = best(read_history(out / "history.csv"), config.monitor)
    entropy = np.logaddexp(0, np.where(codes == 1, -logits, logits))[codes != IGNORED].mean()
    assert epoch.values["val_loss"] == pytest.approx(entropy, rel=1e-3)
    area = mean_auc(logits, codes == 1, codes != IGNORED)
    assert epoch.values["val_auc"] == pytest.approx(area, abs=1e-6)
    known = 0
    for row in rows:
        for name, text in zip(source.findings, truth[row["name"]], strict=True):
            assert row[f"truth_{name}"] == {"1.0": "1", "0.0": "0"}.get(text, "")
            known += text in ("1.0", "0.0")
    assert 0 < known < 4 * len(rows)
    assert metrics["calibration"]["after"]["count"] == known
    for at, name in enumerate(source.findings):
        texts = [truth[row["name"]][at] for row in rows]
        areas = [m for m in metrics["metrics"] if m["name"] == f"AUC, {name}"]
        if {"1.0", "0.0"} <= set(texts):
            assert areas[0]["count"] == sum(text in ("1.0", "0.0") for text in texts)
        else:
            assert areas == []
    assert "No AUC of the finding Fracture: it is always there." in metrics["notes"]
    assert len(metrics["confusions"]) <= len(source.findings)
    for table in metrics["confusions"]:
        name = table["title"].split(",")[0]
        texts = [truth[row["name"]][source.findings.index(name)] for row in rows]
        assert np.array(table["counts"]).sum() == sum(text in ("1.0", "0.0") for text in texts)
