"""`vcam-train export`."""

from collections.abc import Sequence
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
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="LAYER[,LAYER…]",
    help="Layers to read maps on, the default first: a name, an index, last, or A+B for a fused "
    "map; repeatable [the config's].",
)
@click.option("--method", help="CAM method by default; all are exported [the run's].")
def export(run_folder: Path, base: Path | None, layers: Sequence[str], method: str | None) -> None:
    """Export a finished RUN, verified, as the next version of a model.

    Exported is the network of its best epoch.
    """
    quietly()
    from vcam_training.exporting.export_run import export_run
    from vcam_training.run_folder import read_config

    base = base or Path("build/models") / read_config(run_folder).name
    named = [name.strip() for value in layers for name in value.split(",") if name.strip()]
    version = export_run(run_folder, base, layers=named, method=method, report=click.echo)
    click.echo(f"Exported and verified: {version}")
    click.echo(f"Next: vcam-serve {base.parent}")
