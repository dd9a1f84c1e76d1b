"""What the documents claim exists: commands, options, make targets, links, Python names."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (".", "docs", "docs/experiments", "protos", "examples/*")
DOCUMENTS = sorted(document for folder in FOLDERS for document in ROOT.glob(f"{folder}/*.md"))


def code_blocks(document: Path, *languages: str) -> list[str]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", document.read_text(), re.M | re.S)
    return [text for language, text in blocks if language in languages]


def commands(name: str) -> list[tuple[Path, list[str]]]:
    """Every call of a command in the documents' shell blocks: (document, arguments)."""
    found = []
    for document in DOCUMENTS:
        for block in code_blocks(document, "sh", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                words = line.split("#")[0].removeprefix("$ ").split()
                if words and Path(words[0]).name == name:
                    found.append((document, words[1:]))
    return found


def cli(name: str) -> click.Command:
    from vcam_client._cli import main as client
    from vcam_serving._cli import main as serve
    from vcam_training._cli import cli as train

    return {"vcam-client": client, "vcam-serve": serve, "vcam-train": train}[name]


def commands_of(group: click.Group) -> dict[str, click.Command]:
    """A group's commands, those included that are imported when they are used."""
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
        if not re.match(r"https?:|mailto:", target):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("name", ["vcam-client", "vcam-serve", "vcam-train"])
def test_documented_commands_and_options_exist(name: str) -> None:
    calls = commands(name)
    assert calls
    for document, arguments in calls:
        command = cli(name)
        if isinstance(command, click.Group):
            inner = commands_of(command)
            assert arguments[0] in inner, f"{document.name}: {name} {arguments[0]}"
            command = inner[arguments[0]]
        known = {text for option in command.params for text in option.opts + option.secondary_opts}
        for word in arguments:
            if word.startswith("--"):
                assert word.split("=")[0] in known, f"{document.name}: {name} {word}"


def test_documented_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    calls = commands("make")
    assert {"demo", "test"} <= {word for _, words in calls for word in words}
    for document, words in calls:
        for word in words:
            if "=" not in word:
                assert re.search(rf"^{word}:", makefile, re.M), f"{document.name}: make {word}"


def test_both_commands_are_on_the_first_screen_of_the_readme() -> None:
    first_screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:20])
    assert "make demo" in first_screen
    assert "make test" in first_screen


@pytest.mark.parametrize("name", ["vcam-client", "vcam-serve", "vcam-train"])
def test_every_command_has_help(name: str) -> None:
    executable = Path(sys.executable).with_name(name)
    done = subprocess.run([executable, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Usage: {name}")
    command = cli(name)
    if isinstance(command, click.Group):
        for sub, inner in commands_of(command).items():
            assert inner.help, f"{name} {sub}"
            assert all(p.help for p in inner.params if isinstance(p, click.Option)), sub


def test_python_in_the_readme_uses_what_exists() -> None:
    import vcam_client
    from vcam_client.prediction import Evidence, Prediction

    text = "\n".join(code_blocks(ROOT / "README.md", "python"))
    for name in re.findall(r"from vcam_client import (\w+)", text):
        assert name in vcam_client.__all__
    for name in re.findall(r"prediction\.evidence\.(\w+)", text):
        assert name in Evidence.__dataclass_fields__
    for name in re.findall(r"prediction\.(\w+)", text):
        assert hasattr(Prediction, name) or name in Prediction.__dataclass_fields__
