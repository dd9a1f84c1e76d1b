"""Options that say which server and which model, and the client they make."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from vcam_client._cli.paths import GivenPath

if TYPE_CHECKING:
    from vcam_client.client import Client

_FILE = GivenPath(path_type=Path, dir_okay=False)

CONNECTION = (
    "server",
    "timeout",
    "retries",
    "tls",
    "ca",
    "cert",
    "key",
    "token_file",
    "metadata",
)
"""Names of the values of `connection_options`; the settings file knows them, too."""


def connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Which server, and how it is reached."""
    for option in reversed(
        (
            click.option(
                "--server",
                envvar="VCAM_SERVER",
                show_envvar=True,
                default="127.0.0.1:8500",
                show_default=True,
                metavar="ADDRESS",
                help="HOST:PORT or unix:PATH of gRPC, or http://HOST:PORT of REST; replicas with "
                "commas.",
            ),
            click.option(
                "--timeout",
                envvar="VCAM_TIMEOUT",
                show_envvar=True,
                default=120.0,
                show_default=True,
                type=click.FloatRange(min=0, min_open=True),
                metavar="SECONDS",
                help="Time that one call may take, repetitions included.",
            ),
            click.option(
                "--retries",
                envvar="VCAM_RETRIES",
                show_envvar=True,
                type=click.IntRange(min=1),
                metavar="N",
                help="Attempts in all at a call that finds no server, or a busy one.",
            ),
            click.option(
                "--tls",
                envvar="VCAM_TLS",
                show_envvar=True,
                is_flag=True,
                help="Encrypt the connection.",
            ),
            click.option(
                "--ca",
                envvar="VCAM_CA",
                show_envvar=True,
                type=_FILE,
                metavar="FILE",
                help="Authority of the server's certificate (PEM); the system's by default.",
            ),
            click.option(
                "--cert",
                envvar="VCAM_CERT",
                show_envvar=True,
                type=_FILE,
                metavar="FILE",
                help="Certificate that shows who you are (PEM); with --key.",
            ),
            click.option(
                "--key",
                envvar="VCAM_KEY",
                show_envvar=True,
                type=_FILE,
                metavar="FILE",
                help="Its private key.",
            ),
            click.option(
                "--token-file",
                envvar="VCAM_TOKEN_FILE",
                show_envvar=True,
                type=_FILE,
                metavar="FILE",
                help="File with a bearer token; $VCAM_TOKEN holds the token itself.",
            ),
            click.option(
                "--metadata",
                multiple=True,
                metavar="NAME=VALUE",
                help="Sent with every call; may be given several times.",
            ),
        )
    ):
        command = option(command)
    return command


def model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Which model answers."""
    for option in reversed(
        (
            click.option(
                "--model",
                envvar="VCAM_MODEL",
                show_envvar=True,
                default="default",
                show_default=True,
                metavar="NAME",
                help="Which of the server's models answers.",
            ),
            click.option(
                "--model-version",
                type=click.IntRange(min=0),
                metavar="N",
                help="This version of it; the newest by default.",
            ),
            click.option(
                "--version-label", metavar="LABEL", help="The version that has this label."
            ),
        )
    ):
        command = option(command)
    return command


def open_client(options: dict[str, Any]) -> "Client":
    """A client from the values of `connection_options`, which are taken out of `options`.

    Raises:
        InputError: values that don't go together.
    """
    import os

    from vcam_client._connection import Tls
    from vcam_client.client import Client
    from vcam_client.errors import InputError

    taken = {name: options.pop(name) for name in CONNECTION}
    files = {"ca": taken["ca"], "certificate": taken["cert"], "key": taken["key"]}
    tls: Tls | bool = Tls(**files) if any(files.values()) else bool(taken["tls"])
    token = os.environ.get("VCAM_TOKEN") or None
    if taken["token_file"] is not None:
        try:
            token = taken["token_file"].read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"The token file {str(taken['token_file'])!r} can't be read: {error}."
            ) from error
    pairs = [text.partition("=") for text in taken["metadata"]]
    if any(not separator or not name for name, separator, _ in pairs):
        raise InputError("Expected --metadata NAME=VALUE.")
    return Client(
        taken["server"],
        timeout=taken["timeout"],
        retries=taken["retries"],
        tls=tls,
        token=token,
        metadata=[(name, value) for name, _, value in pairs],
    )


def options_given(context: click.Context) -> list[str]:
    """The options of a command line, for the shell, to be repeated with another command.

    Those that come from variables or the settings file hold there as well, and are left out;
    so are values that are the default. Of --metadata the value is not repeated: it may be secret.
    """
    words: list[str] = []
    for option in context.command.params:
        given = context.params.get(str(option.name))
        if context.get_parameter_source(str(option.name)) is not ParameterSource.COMMANDLINE:
            continue
        if given == option.get_default(context) and not option.resolve_envvar_value(context):
            continue
        name = option.opts[-1]
        if given is True:
            words.append(name)
        elif option.multiple:
            words += [f"{name} {shlex.quote(text.partition('=')[0])}=…" for text in given or ()]
        else:
            words.append(f"{name} {shlex.quote(str(given))}")
    return words


def which_model(options: dict[str, Any]) -> dict[str, Any]:
    """The values of `model_options` as arguments of the SDK, taken out of `options`.

    Raises:
        InputError: a version and a label.
    """
    from vcam_client.errors import InputError

    found = {
        "model": options.pop("model"),
        "version": options.pop("model_version"),
        "label": options.pop("version_label"),
    }
    if found["version"] is not None and found["label"] is not None:
        raise InputError("Expected --model-version or --version-label, received both.")
    return found
