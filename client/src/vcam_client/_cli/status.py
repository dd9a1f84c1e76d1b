"""`vcam-client status`."""

import sys
from typing import Any

import click

from vcam_client._cli.connecting import connection_options, model_options, open_client, which_model


@click.command()
@model_options
@connection_options
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def status(as_json: bool, **options: Any) -> None:
    """Show which versions of a model the server has, newest first.

    Exits with 1 where none of them answers calls.
    """
    from vcam_client._cli.printing import print_json

    model = which_model(options)
    with open_client(options) as client:
        found = client.status(**model)
        server = client.server
    if as_json:
        print_json([vars(version) for version in found])
    else:
        click.echo(f"{model['model']} on {server}")
        for version in found:
            reason = f"  {version.error}" if version.error else ""
            click.echo(f"  version {version.version}  {version.state}{reason}")
    if not any(version.available for version in found):
        sys.exit(1)
