"""The page of experiments says what the runs' folders hold, and how to repeat them."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from vcam_client.errors import ConfigError
from vcam_training import train
from vcam_training.config import Config, load, override
from vcam_training.experiments_page import command, page_text, read_experiment, write_page
from vcam_training.learning.augmentation import Augmentation
from vcam_training.learning.history import read_history

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    return train.run(load("solids", tiny=True), folder / "solids", data_folder=folder)


def of_command(text: str) -> Config:
    """The config that a command trains."""
    name, *settings = text.removeprefix("vcam-train run ").split(" --set ")
    tiny = name.endswith(" --tiny")
    return override(load(name.removesuffix(" --tiny"), tiny=tiny), settings)


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["seed=3", "data.seed=3", "data.volume_matched=true"],
        ["loss.weights=balanced", "augmentation.angles=5,10.5", "augmentation.mirror=0,2"],
        ["model=residual", "model.filters=4,8", "explain_default=POSITIVE_CLASS"],
        ["data=discs", "model=residual", "learning_rate=0.0001"],
    ],
)
def test_the_command_trains_the_same_config(settings: list[str]) -> None:
    config = override(load("solids"), settings)
    assert of_command(command(config)) == config


def test_a_tiny_config_is_named_as_such() -> None:
    tiny = load("solids", tiny=True)
    assert command(tiny) == "vcam-train run solids --tiny"
    changed = replace(tiny, seed=1)
    assert command(changed) == "vcam-train run solids --tiny --set seed=1"
    assert of_command(command(changed)) == changed


def test_a_config_that_comes_without_a_name_is_named_as_a_file() -> None:
    config = replace(load("solids"), name="mine", augmentation=Augmentation(shift=1))
    assert command(config) == "vcam-train run mine.py"


def test_a_row_says_what_the_run_measured(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "page.md"
    write_page([run], page)
    (row,) = [line for line in page.read_text().splitlines() if line.startswith("| **")]
    metrics = {m["name"]: m for m in json.loads((run / "metrics.json").read_text())["metrics"]}
    accuracy = metrics["accuracy"]
    assert f"accuracy {accuracy['value']:.4f} ({accuracy['lower']:.4f} to" in row
    assert "test n = 8" in row
    given = f" --data {run.parent.name}"
    assert f"`{command(load('solids', tiny=True))}{given}`" in row
    seconds = round(sum(one.seconds for one in read_history(run / "history.csv")))
    assert f"{seconds // 60} min {seconds % 60} s, 2 epochs |" in row
    picture = re.search(r'<img src="([^"]+)"', row)
    assert (page.parent / picture[1]).read_bytes().startswith(PNG)


def test_the_machine_is_named(run: Path) -> None:
    assert re.fullmatch(r"\d+ cores \(\w+\), .+", read_experiment(run).machine)


def test_text_of_a_run_is_no_markup(run: Path) -> None:
    """Names of configs, figures and machines come from files of others."""
    markdown = pytest.importorskip("markdown_it")
    found = read_experiment(run)
    text = "a|b `c`\n\n<img src=x onerror=alert(1)> *d*"
    figure = replace(found.figures[0], name=text, split=text)
    odd = replace(found, name=text, description=text, command=text, machine=text, figures=(figure,))
    page = page_text([found, odd], [None, Path("pages|`/1-a.png")])
    html = markdown.MarkdownIt("commonmark", {"html": True}).enable("table").render(page)
    head, *rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    assert len(rows) == 2
    cells = re.findall(r"<td>(.*?)</td>", rows[1], re.DOTALL)
    assert len(cells) == head.count("<th>") == 5
    line = " ".join(text.split())
    assert unescape(re.sub(r"</?strong>", "", cells[0])) == f"{line}: {line}"
    assert unescape(cells[1]) == f"<code>{line}</code>"
    assert unescape(cells[3]).startswith(f"{line} {figure.value:.4f}")
    assert unescape(cells[3]).endswith(f", {line} n = {figure.count}")
    assert html.count("<img ") == 1
    assert 'src="pages%7C%60/1-a.png"' in cells[4]
    assert line in unescape(html.split("<table>")[0])


def test_the_same_experiment_twice_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Name each experiment once"):
        write_page([run, run], tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json"):
        write_page([tmp_path], tmp_path / "page.md")
