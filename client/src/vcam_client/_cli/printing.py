"""JSON on standard output."""

import json
import sys
from typing import Any

import click


def print_json(content: Any) -> None:
    """Prints JSON, indented: as it is written to files, or in ASCII where standard output is
    not UTF-8."""
    from vcam_client._streams import takes_utf8
    from vcam_client.results import json_bytes

    text = json_bytes(content).decode()
    if not takes_utf8(sys.stdout):
        text = json.dumps(json.loads(text), indent=2, allow_nan=False) + "\n"
    click.echo(text, nl=False)
