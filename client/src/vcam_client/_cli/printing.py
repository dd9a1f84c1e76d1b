"""JSON on standard output."""

import json
import sys
from typing import Any

import click


def print_json(content: Any) -> None:
    """Prints JSON, indented: as UTF-8, or in ASCII where standard output is something else.

    File names that are not text are escaped: "\\udcff" stands for the byte ff.
    """
    from vcam_client._streams import takes_utf8

    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode("utf-8" if takes_utf8(sys.stdout) else "ascii")
    except UnicodeEncodeError:
        text = json.dumps(content, indent=2, allow_nan=False)
    click.echo(text)
