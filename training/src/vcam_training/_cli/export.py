"""`vcam-train export`."""

from pathlib import Path

import click

from vcam_training._cli.quietly import quietly


@click.command()
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
    quietly()
    from vcam_training.export_run import export_run
    from vcam_training.run_folder import read_config

    base = base or Path("build/models") / read_config(run_folder).name
    version = export_run(run_folder, base, layer=layer)
    click.echo(f"Exported and verified: {version}")
    click.echo(f"Next: vcam-serve {base.parent}")
