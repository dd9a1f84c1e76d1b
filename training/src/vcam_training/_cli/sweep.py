"""`vcam-train sweep`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from vcam_training._cli.configs_listed import ListsConfigs
from vcam_training._cli.quietly import quietly
from vcam_training._cli.run import INTERRUPTED, TINY


@click.command(cls=ListsConfigs)
@click.argument("config")
@click.option(
    "--over",
    "axes",
    multiple=True,
    metavar="KEY=VALUE,VALUE…",
    help="A setting and the values it takes; repeatable, for every combination. Of a setting that "
    "is a list itself, give one value at a time: --over model.filters=8,16 "
    "--over model.filters=16,32.",
)
@click.option("--seeds", default="0", metavar="0-4", help="Of runs and data, as 0-4 or 0,3 [0].")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one value in all runs."
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Held-out figure to print and draw, such as accuracy; repeatable [the task's first].",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the runs [build/sweeps/CONFIG]."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder of the data sets, or a file that holds one [build/data].",
)
@click.option("--tiny", is_flag=True, help=TINY)
def sweep(
    config: str,
    axes: Sequence[str],
    seeds: str,
    settings: Sequence[str],
    metrics: Sequence[str],
    out: Path | None,
    data: Path | None,
    tiny: bool,
) -> None:
    """Train CONFIG with several values and seeds, and compare.

    Every combination is a run of its own below the folder; finished ones are kept, so that the
    same command goes on where it was interrupted. Writes sweep.csv, sweep.json and sweep.png.
    """
    quietly()
    from vcam_training import train
    from vcam_training.config import load, override
    from vcam_training.sweep import Done, axes_of, seeds_of
    from vcam_training.sweep import sweep as run_all
    from vcam_training.sweep_report import chosen_metrics, draw_sweep, table, write_figures

    chosen = override(load(config, tiny=tiny), settings)
    folder = out or Path("build/sweeps") / (chosen.name + ("-tiny" if tiny else ""))

    def done(finished: Sequence[Done]) -> None:
        write_figures(folder, finished)
        chosen_metrics(finished, metrics)

    try:
        runs = run_all(
            chosen,
            axes_of(chosen, axes),
            seeds_of(seeds),
            folder,
            data_folder=data or train.DATA_FOLDER,
            done=done,
            report=lambda line: click.echo(line, err=True),
        )
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted. The same command goes on in {folder}.", err=True)
        sys.exit(INTERRUPTED)
    names = chosen_metrics(runs, metrics)
    draw_sweep(folder / "sweep.png", runs, names)
    click.echo(table(runs, names))
    click.echo(f"Written: {folder / 'sweep.csv'}, sweep.json, sweep.png")
