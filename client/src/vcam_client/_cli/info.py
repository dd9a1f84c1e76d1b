"""`vcam-client info`."""

from typing import Any

import click

from vcam_client._cli.connecting import connection_options, model_options, open_client, which_model


@click.command()
@model_options
@connection_options
@click.option("--json", "as_json", is_flag=True, help="Print the whole model spec as JSON.")
def info(as_json: bool, **options: Any) -> None:
    """Show the model spec that the server serves: labels, grid, units, CAM geometry."""
    import json

    from vcam_client._cli.printing import print_json
    from vcam_client._text import describe_spec

    model = which_model(options)
    with open_client(options) as client:
        served = client.spec(**model)
    if as_json:
        print_json(json.loads(served.json))
    else:
        click.echo(describe_spec(model["model"], served))
