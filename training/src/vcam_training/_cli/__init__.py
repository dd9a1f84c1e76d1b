"""`vcam-train`: a module for each command; heavy imports are inside the commands."""

import sys

import click

from vcam_client._streams import standard_streams
from vcam_client.errors import VcamError
from vcam_serving.home import writable_home
from vcam_training._cli.ascent import ascent
from vcam_training._cli.evaluate import evaluate
from vcam_training._cli.export import export
from vcam_training._cli.images import images
from vcam_training._cli.inspect import inspect
from vcam_training._cli.layers import layers
from vcam_training._cli.page import page
from vcam_training._cli.phases import phases
from vcam_training._cli.resize import resize
from vcam_training._cli.run import run
from vcam_training._cli.sweep import sweep
from vcam_training._cli.trust import trust


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Trains vcam models and exports them as SavedModels that serve their own maps."""


for command in (
    run,
    sweep,
    evaluate,
    export,
    layers,
    inspect,
    ascent,
    trust,
    page,
    phases,
    resize,
    images,
):
    cli.add_command(command)


def main() -> None:
    """Runs the command line; an error of vcam becomes one message and exit code 1."""
    with standard_streams("vcam-train"), writable_home():
        try:
            cli()
        except VcamError as error:
            click.echo(f"vcam-train: {error}", err=True)
            sys.exit(1)
