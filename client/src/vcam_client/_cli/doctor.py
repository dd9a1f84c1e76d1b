"""`vcam-client doctor`."""

import sys
from typing import Any

import click

from vcam_client._cli.connecting import (
    connection_options,
    model_options,
    open_client,
    options_given,
    which_model,
)


@click.command()
@model_options
@connection_options
@click.pass_context
def doctor(context: click.Context, /, **options: Any) -> None:
    """Check the way to the server and the model, step by step, with advice.

    Settings, address, encryption, health, versions, contract, and a round trip with a made-up
    volume. Exits with 1 where a step fails.
    """
    from vcam_client._cli.settings import about_settings
    from vcam_client.doctor import examine

    source = context.get_parameter_source("server")
    words = {"COMMANDLINE": "--server", "ENVIRONMENT": "$VCAM_SERVER", "DEFAULT_MAP": "settings"}
    came_from = words.get(source.name, "default") if source else "default"
    click.echo(f"settings    {about_settings()}")
    click.echo(f"server      {options['server']} (from {came_from})")
    repeated = options_given(context)
    model = which_model(options)
    failed = False
    with open_client(options) as client:
        for check in examine(client, **model):
            mark = {True: "ok", False: "FAILED", None: "–"}[check.passed]
            click.echo(f"{check.name:<11} {mark:<7} {check.finding}")
            failed |= check.passed is False
    if failed:
        sys.exit(1)
    click.echo(f"\nAll is well: {' '.join(['vcam-client predict SCAN', *repeated])}")
