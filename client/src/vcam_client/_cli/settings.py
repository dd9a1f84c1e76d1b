"""The configuration file: what options are where neither flag nor variable says."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vcam_client._cli.connecting import CONNECTION

FILE_VARIABLE = "VCAM_CONFIG"
"""Environment variable with the configuration file's path."""

_KEYS = ("model", *CONNECTION)


def settings_file() -> Path:
    """Where the configuration file is, or would be."""
    given = os.environ.get(FILE_VARIABLE)
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "vcam" / "client.toml"


def default_map(commands: Sequence[str]) -> dict[str, Any]:
    """Defaults of each command's options, from the configuration file.

    Raises:
        InputError: a file that can't be read, or a key that is none.
    """
    path = settings_file()
    if not path.is_file():
        if os.environ.get(FILE_VARIABLE):
            _refuse(f"There is no file {str(path)!r}, which ${FILE_VARIABLE} names.")
        return {}
    import tomllib

    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        _refuse(f"The configuration file {str(path)!r} can't be read: {error}.")
    unknown = sorted(set(found) - set(_KEYS))
    if unknown:
        _refuse(
            f"Expected settings among {', '.join(_KEYS)} in {str(path)!r}, received "
            f"{', '.join(unknown)}."
        )
    values = {name: value for name, value in found.items() if name != "metadata"}
    if "metadata" in found:
        pairs = found["metadata"]
        if not isinstance(pairs, dict):
            _refuse(f"Expected a table [metadata] of names and values in {str(path)!r}.")
        values["metadata"] = [f"{name}={value}" for name, value in pairs.items()]
    # paths are meant from the file's own folder
    for name in ("ca", "cert", "key", "token_file"):
        if name in values:
            values[name] = str(path.parent / Path(str(values[name])).expanduser())
    return dict.fromkeys(commands, values)


def _refuse(message: str) -> Any:
    import click

    click.echo(f"vcam-client: {message}", err=True)
    sys.exit(1)
