"""`vcam-train`: trains experiments and exports them."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from vcam_client.errors import VcamError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells use it."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Trains vcam models and exports them as SavedModels that serve their own maps."""


@cli.command()
@click.argument("config")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder [build/runs/CONFIG].")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Folder of the data sets [build/data]."
)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one value; repeatable."
)
@click.option("--tiny", is_flag=True, help="Seconds instead of minutes; learns nothing.")
def run(
    config: str, out: Path | None, data: Path | None, settings: Sequence[str], tiny: bool
) -> None:
    """Train CONFIG: solids, ct_phantom, or a Python file.

    An interrupted run resumes; a finished one is left as it is.
    """
    _quietly()
    from vcam_training import train
    from vcam_training.config import load, override

    chosen = override(load(config, tiny=tiny), settings)
    folder = out or Path("build/runs") / (chosen.name + ("-tiny" if tiny else ""))
    try:
        train.run(chosen, folder, data_folder=data or train.DATA_FOLDER, report=click.echo)
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted. The same command resumes the run in {folder}.", err=True)
        sys.exit(INTERRUPTED)
    click.echo(f"Next: vcam-train export {folder}")


@cli.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "base",
    type=click.Path(path_type=Path),
    metavar="MODELS_DIR/NAME",
    help="Folder of the model's versions [build/models/CONFIG'S NAME].",
)
@click.option("--layer", help="Target layer of the map [the config's].")
def export(run_folder: Path, base: Path | None, layer: str | None) -> None:
    """Export the best network of a finished RUN, verified, as the next version."""
    _quietly()
    from vcam_training.export_run import export_run
    from vcam_training.run_folder import read_config

    base = base or Path("build/models") / read_config(run_folder).name
    version = export_run(run_folder, base, layer=layer)
    click.echo(f"Exported and verified: {version}")
    click.echo(f"Next: vcam-serve {base.parent}")


def _quietly() -> None:
    from vcam_serving.quiet import import_tensorflow

    import_tensorflow()


def main() -> None:
    """Runs the command line; an error of vcam becomes one message and exit code 1."""
    try:
        cli()
    except VcamError as error:
        click.echo(f"vcam-train: {error}", err=True)
        sys.exit(1)
