"""`vcam-train run`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from vcam_training._cli.configs_listed import ListsConfigs
from vcam_training._cli.quietly import quietly

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells use it."""
TINY = "Seconds instead of minutes; learns nothing. The default folder's name ends in -tiny."
"""What --tiny does."""


@click.command(cls=ListsConfigs)
@click.argument("config")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder [build/runs/CONFIG].")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder of the data sets, or a file that holds one [build/data].",
)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one value; repeatable."
)
@click.option(
    "--fold",
    metavar="N/K",
    help="Train fold N of K: training and validation pooled and divided again; test untouched.",
)
@click.option(
    "--strategy",
    type=click.Choice(["default", "mirrored"]),
    default="default",
    help="mirrored: train on all GPUs at once [default].",
)
@click.option(
    "--mlflow",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Also write to an MLflow store in FOLDER; needs the package mlflow.",
)
@click.option("--tiny", is_flag=True, help=TINY)
def run(
    config: str,
    out: Path | None,
    data: Path | None,
    settings: Sequence[str],
    fold: str | None,
    strategy: str,
    mlflow: Path | None,
    tiny: bool,
) -> None:
    """Train CONFIG, or go on where it was interrupted.

    CONFIG is one that comes with vcam, such as solids or ct_pneumonia, or a Python file. An
    interrupted run resumes; a finished one is left as it is.
    """
    quietly()
    from vcam_training import train
    from vcam_training.config import load, override

    chosen = override(load(config, tiny=tiny), [*settings, *([f"fold={fold}"] if fold else [])])
    part = "-fold-" + chosen.fold.replace("/", "-of-") if chosen.fold else ""
    folder = out or Path("build/runs") / (chosen.name + ("-tiny" if tiny else "") + part)
    try:
        train.run(
            chosen,
            folder,
            data_folder=data or train.DATA_FOLDER,
            strategy=strategy,
            mlflow=mlflow,
            report=click.echo,
        )
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted. The same command resumes the run in {folder}.", err=True)
        sys.exit(INTERRUPTED)
    click.echo(f"Next: vcam-train export {folder}")
