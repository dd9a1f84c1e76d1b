"""The configuration file: what options are where neither flag nor variable says."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from vcam_client._cli.connecting import CONNECTION

FILE_VARIABLE = "VCAM_CONFIG"
"""Environment variable with the configuration file's path."""

_KEYS = ("model", *CONNECTION)


def settings_file() -> Path | None:
    """Where the configuration file is, or would be; None for a user without a home folder."""
    given = os.environ.get(FILE_VARIABLE)
    if given:
        return _expanded(given)
    base = os.path.expanduser(os.environ.get("XDG_CONFIG_HOME", ""))
    if not os.path.isabs(base):
        # in containers users are numbers without a home folder, and "~" stands for nothing
        home = os.path.expanduser("~") if os.environ.get("HOME", "~") else ""
        if not os.path.isabs(home):
            return None
        base = os.path.join(home, ".config")
    return Path(base) / "vcam" / "client.toml"


def about_settings() -> str:
    """Where the configuration file was looked for, and what was found."""
    path = settings_file()
    if path is None:
        return f"none: this user has no home folder; ${FILE_VARIABLE} can name a file"
    try:
        with path.open("rb"):
            return str(path)
    except (FileNotFoundError, NotADirectoryError):
        return f"{path} (not there)"
    except OSError as error:
        return f"{path} (can't be read: {error.strerror})"


def default_map(commands: Sequence[str]) -> dict[str, Any]:
    """Defaults of each command's options, from the configuration file.

    Without a file there are none. One that is not named by $VCAM_CONFIG and that this user
    may not read is passed over, with a note on standard error.

    Exits with 1, and a message, where the file named is not there or holds something else.
    """
    path = settings_file()
    text = None if path is None else _text_of(path)
    if path is None or text is None:
        return {}
    import tomllib

    try:
        found = tomllib.loads(text)
    except ValueError as error:
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
            values[name] = str(path.parent / _expanded(str(values[name])))
    return dict.fromkeys(commands, values)


def _text_of(path: Path) -> str | None:
    """The file's content; None where there is none for this user."""
    named = bool(os.environ.get(FILE_VARIABLE))
    try:
        kind = _kind_of_no_file(path)
        if kind:
            _refuse(f"Expected a configuration file, {str(path)!r} is {kind}. Save it as a file.")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse(f"The configuration file {str(path)!r} can't be read: it is not UTF-8.")
    except (FileNotFoundError, NotADirectoryError):
        if named:
            _refuse(f"There is no file {str(path)!r}, which ${FILE_VARIABLE} names.")
        return None
    except PermissionError as error:
        if named:
            _refuse(f"The configuration file {str(path)!r} can't be read: {error.strerror}.")
        if _is_there(path):
            _say(f"Goes on without {str(path)!r}, which this user may not read.")
        return None
    except OSError as error:
        _refuse(f"The configuration file {str(path)!r} can't be read: {error.strerror or error}.")


def _kind_of_no_file(path: Path) -> str:
    """What is there instead of a file, "" otherwise: a pipe or a device may never end.

    The null device is an empty file: a way to say that there are no settings.
    """
    from vcam_client._paths import kind_of_no_file

    kind = kind_of_no_file(path)
    return "" if kind and os.path.samefile(path, os.devnull) else kind


def _is_there(path: Path) -> bool:
    """Whether a file is known to be there; another user's home folder may not say."""
    try:
        path.lstat()
    except OSError:
        return False
    return True


def _expanded(text: str) -> Path:
    return Path(os.path.expanduser(text))


def _say(message: str) -> None:
    import click

    click.echo(f"vcam-client: {message}", err=True)


def _refuse(message: str) -> NoReturn:
    _say(message)
    sys.exit(1)
