"""docs/commands: a page for each command, made from the command itself.

`VCAM_UPDATE_DOCS=1 pytest tests/test_command_docs.py` writes them.
"""

import os
from pathlib import Path
from typing import Any

import click

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "commands"
WIDTH = 100


def pages() -> dict[str, str]:
    from vcam_client._cli import main as client
    from vcam_serving._cli import main as serve
    from vcam_training._cli import cli as train

    found = {}
    for name, command in (("vcam-client", client), ("vcam-serve", serve), ("vcam-train", train)):
        root = context(command, name)
        found[name] = page(name, command, root)
        if isinstance(command, click.Group):
            for sub in command.list_commands(root):
                inner = command.get_command(root, sub)
                assert inner is not None
                found[f"{name}-{sub}"] = page(f"{name} {sub}", inner, context(inner, sub, root))
    lines = [f"- [{text.splitlines()[0][2:]}]({name}.md)" for name, text in found.items()]
    found["README"] = (
        "# Commands\n\nMade from the commands' own help.\n\n" + "\n".join(lines) + "\n"
    )
    return found


def context(command: click.Command, name: str, parent: click.Context | None = None) -> Any:
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    return click.Context(command, info_name=name, parent=parent, **settings)


def page(title: str, command: click.Command, ctx: click.Context) -> str:
    return f"# {title}\n\n```text\n{command.get_help(ctx).rstrip()}\n```\n"


def test_the_pages_are_the_commands_help() -> None:
    made = pages()
    if os.environ.get("VCAM_UPDATE_DOCS"):
        FOLDER.mkdir(exist_ok=True)
        for name, text in made.items():
            (FOLDER / f"{name}.md").write_text(text, encoding="utf-8")
    written = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    assert written == made, "run with VCAM_UPDATE_DOCS=1"


def test_each_command_is_said_in_one_line() -> None:
    """Of 80 columns; click cuts what is longer."""
    from vcam_client._cli import main as client
    from vcam_training._cli import cli as train

    for name, command in (("vcam-client", client), ("vcam-train", train)):
        text = command.get_help(click.Context(command, info_name=name, terminal_width=80))
        assert "..." not in text.partition("Commands:")[2], name
