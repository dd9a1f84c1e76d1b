"""Cells that a spreadsheet would run, or that Markdown would take apart."""

import csv
import io
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client.stand_in import stand_in
from client.test_batch_run import rows, write_scans
from hypothesis import given
from hypothesis import strategies as st

from vcam_client import Client
from vcam_client.batch import _table, find_scans, run_batch
from vcam_client.table_cells import CsvWriter, csv_cell, csv_text, markdown_cell, markdown_code

ROOT = Path(__file__).resolve().parents[2]
RUN_BY_SPREADSHEETS = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
FORMULAS = [
    '=HYPERLINK("http://a.example","x")',
    "=1+1",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "-scan",
    "@SUM(1,2)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1+1",
    "＝1+1",
    "＋1-",
    "－1-",
    "＠x",
    "-",
    "--1",
    "+",
]
HARMLESS = ["scan", "a=b", "1-2", "", "'quoted'", "'", "O'Neill", "#1", "Übelkeit", "a\tb"]
NUMBERS = ["0", "-0.5", "+3", "1e-05", "-1.2E+10", ".5", "-7.", "-inf", "inf", "nan"]


def written(*values: Any) -> list[str]:
    """Cells of one line, as any reader of CSV gets them."""
    stream = io.StringIO()
    CsvWriter(stream).writerow(values)
    (cells,) = csv.reader(io.StringIO(stream.getvalue(), newline=""))
    return cells


@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_run_is_text(text: str) -> None:
    (cell,) = written(text)
    assert cell == "'" + text
    assert csv_text(cell) == text


@pytest.mark.parametrize("text", HARMLESS + NUMBERS)
def test_other_text_and_numbers_stay(text: str) -> None:
    assert written(text) == [text]
    assert csv_text(text) == text


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("text", ["a\rb", "a\r", "a\nb", "a\r\nb", "\r", "a,b", 'a"b', ""])
def test_a_row_stays_one_row(text: str, end: str) -> None:
    stream = io.StringIO(newline="")
    CsvWriter(stream, end=end).writerows([["x", text, 1], [text, "y", 2]])
    assert stream.getvalue().endswith("2" + end)
    first, second = csv.reader(io.StringIO(stream.getvalue(), newline=""))
    assert (first[0], csv_text(first[1]), first[2]) == ("x", text, "1")
    assert (csv_text(second[0]), second[1], second[2]) == (text, "y", "2")


def test_values_that_are_numbers_stay_numbers() -> None:
    values = [-1, -0.25, 3, np.float32(-0.1), np.int64(-7), True, None, float("-inf")]
    assert written(*values) == ["-1", "-0.25", "3", "-0.1", "-7", "True", "", "-inf"]
    assert [float(cell) for cell in written(*values)[:5]] == pytest.approx([-1, -0.25, 3, -0.1, -7])


def test_paths_are_text() -> None:
    assert written(Path("=a/b.nii")) == ["'=a/b.nii"]


@given(st.text(alphabet="'=+-@ \t\n1aＡ＝.", max_size=8))
def test_every_text_comes_back_and_none_is_run(text: str) -> None:
    cell = csv_cell(text)
    assert csv_text(cell) == text
    number = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", text)
    assert number or not RUN_BY_SPREADSHEETS.match(cell)


def test_every_csv_file_of_vcam_is_written_that_way() -> None:
    sources = [*ROOT.glob("client/src/**/*.py"), *ROOT.glob("serving/src/**/*.py")]
    sources += ROOT.glob("training/src/**/*.py")
    direct = {
        path.name
        for path in sources
        if re.search(r"csv\.(?:writer|DictWriter)\(|\.to_csv\(", path.read_text(encoding="utf-8"))
    }
    assert len(sources) > 200
    assert direct == {"table_cells.py"}


def test_a_row_of_a_folder_run() -> None:
    record = {
        "key": "-2+3/scan.nii",
        "status": "failed",
        "scores": {"=a": -0.5},
        "remarks": ["=1+1"],
        "error": {"type": "InputError", "message": "@SUM(1)\nmore"},
    }
    columns = _table.columns_for(["=a"])
    (head,) = csv.reader([_table.line(columns)])
    (cells,) = csv.reader([_table.row(record, columns)])
    row = dict(zip(head, cells, strict=True))
    assert row["key"] == "'-2+3/scan.nii"
    assert float(row["score =a"]) == -0.5
    assert row["remarks"] == "'=1+1"
    assert row["error"] == "'@SUM(1) more"
    assert not any(RUN_BY_SPREADSHEETS.match(cell) for cell in head)


def test_a_folder_run_over_such_names_goes_on_where_it_stopped(tmp_path: Path) -> None:
    scans = write_scans(tmp_path / "scans", 3)
    for n, name in enumerate(("=1+1", "@x", "-2")):
        (scans / f"p{n}").rename(scans / name)
    out = tmp_path / "out"
    with stand_in() as server, Client(server.address, retries=1) as client:
        items = find_scans([scans])
        assert run_batch(client, items, out).done == 3
        keys = sorted(row["key"] for row in rows(out))
        assert keys == ["'-2/scan.nii.gz", "'=1+1/scan.nii.gz", "'@x/scan.nii.gz"]
        assert sorted(csv_text(key) for key in keys) == sorted(item.key for item in items)
        again = run_batch(client, items, out)
        assert (again.done, again.skipped) == (0, 3)
        assert sorted(row["key"] for row in rows(out)) == keys


def test_a_carriage_return_in_a_name_tears_no_row_of_a_folder_run(tmp_path: Path) -> None:
    scans = write_scans(tmp_path / "scans", 1)
    (scans / "p0").rename(scans / "a\rb")
    out = tmp_path / "out"
    with stand_in() as server, Client(server.address, retries=1) as client:
        items = find_scans([scans])
        assert run_batch(client, items, out).done == 1
    with (out / "results.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["key"], row["status"]) == (items[0].key, "done")
    assert None not in row


MARKDOWN = [
    "a|b",
    "a\\|b",
    "`code`",
    "``",
    "a`b|c``d",
    "line\nbreak",
    "line\r\n\r\n| --- |",
    "<img src=x onerror=alert(1)>",
    "[link](http://a.example)",
    "**bold** and _so_ on ~~off~~",
    "a_b_c",
    "&lt; & co",
    "\\",
    "trailing\\",
]


def shown(cells: list[str]) -> list[str]:
    """HTML of the cells of a table's only row, as a reader of Markdown shows them."""
    markdown_it = pytest.importorskip("markdown_it")
    heads = " | ".join("h" for _ in cells)
    rule = " | ".join("---" for _ in cells)
    text = f"| {heads} |\n| {rule} |\n| {' | '.join(cells)} |\n"
    html = markdown_it.MarkdownIt("commonmark").enable("table").render(text)
    found = re.findall(r"<td>(.*?)</td>", html, re.DOTALL)
    assert html.count("<tr>") == 2
    return list(map(str, found))


@pytest.mark.parametrize("text", MARKDOWN)
def test_a_cell_shows_text_as_it_is(text: str) -> None:
    line = " ".join(text.split())
    before, cell, after = shown(["x", markdown_cell(text), "y"])
    assert (before, after) == ("x", "y")
    assert "<" not in cell
    assert unescape(cell) == line


@pytest.mark.parametrize("text", MARKDOWN)
def test_code_shows_text_as_it_is(text: str) -> None:
    line = " ".join(text.split())
    before, cell, after = shown(["x", markdown_code(text), "y"])
    assert (before, after) == ("x", "y")
    assert cell.startswith("<code>")
    assert unescape(cell.removeprefix("<code>").removesuffix("</code>")) == line


def test_plain_names_look_as_they_are_in_the_source() -> None:
    assert markdown_cell("ct_phantom_keras: 95 % (a, b)") == "ct_phantom_keras: 95 % (a, b)"
    assert markdown_code("vcam-train run solids") == "`vcam-train run solids`"
    assert markdown_code("") == ""
