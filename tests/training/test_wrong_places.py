"""What commands say about files and folders that are no run or model."""

import ast
import sys
from pathlib import Path

import keras
import pytest

from vcam_training._cli import main

PACKAGES = Path(__file__).parents[2]
SOURCES = ("client/src", "serving/src", "training/src")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that Keras wrote, in a folder that is no run."""
    place = tmp_path_factory.mktemp("mine") / "my.keras"
    keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()]).save(place)
    return place


def say(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["vcam-train", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("command", ["export", "evaluate", "trust", "page", "inspect"])
def test_a_bare_network_is_named_as_what_it_is(
    command: str, network: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = network.read_bytes()
    more = [] if command == "export" else ["--out", tmp_path / "out"]
    said = say(capsys, command, network, *more)
    assert list(tmp_path.iterdir()) == []
    assert f"'{network}'" in said
    assert "file" in said.partition(str(network))[0]
    assert "folder" in said
    assert "elete" not in said
    assert "Errno" not in said
    assert network.read_bytes() == before


def test_export_says_what_a_bare_network_lacks_and_is_good_for(
    network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = say(capsys, "export", network)
    assert f"received the Keras file '{network}'" in said
    assert "`vcam-train layers` shows it" in said


def test_the_network_of_a_run_leads_to_its_run(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("best.keras", "checkpoints/epoch-0001.keras"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(network.read_bytes())
    (tmp_path / "config.json").write_text("{}")
    for name in ("best.keras", "checkpoints/epoch-0001.keras"):
        said = say(capsys, "export", tmp_path / name)
        assert f"Give the folder of its run, '{tmp_path}'." in said


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("nothing", "which is not there"),
        ("folder", "without config.json"),
        ("text", "received the file"),
    ],
)
def test_other_places_are_named(
    kind: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "place"
    if kind == "folder":
        place.mkdir()
    elif kind == "text":
        place.write_text("mine")
    said = say(capsys, "export", place)
    assert expected in said
    assert "elete" not in said


def test_a_damaged_config_is_no_reason_to_delete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text("{")
    said = say(capsys, "export", tmp_path)
    assert "received a damaged one" in said
    assert "into another folder with --out" in said
    assert "elete" not in said


def test_no_message_advises_to_delete() -> None:
    """Docstrings may; messages, options and advice may not."""
    found, seen = [], 0
    for source in SOURCES:
        for path in sorted((PACKAGES / source).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            docs = {
                id(node.body[0].value)
                for node in ast.walk(tree)
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
                and node.body
                and isinstance(node.body[0], ast.Expr)
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    seen += 1
                    words = node.value.lower()
                    if id(node) not in docs and ("delete " in words or "erase " in words):
                        found.append(f"{path.name}:{node.lineno}: {node.value}")
    assert seen > 1000
    assert found == []


def test_a_name_that_is_too_long_is_blamed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = tmp_path / ("n" * 300)
    said = say(capsys, "run", "solids", "--tiny", "--out", long, "--data", tmp_path)
    assert "The name is too long, 300 bytes of at most 255. Choose a shorter one." in said
    assert "which is not there" in say(capsys, "export", long)
    for command in ("layers", "inspect", "evaluate", "trust"):
        assert f"'{long}'" in say(capsys, command, long)
    assert list(tmp_path.iterdir()) == []
