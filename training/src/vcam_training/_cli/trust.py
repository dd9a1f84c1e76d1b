"""`vcam-train trust`."""

import sys
from pathlib import Path

import click

from vcam_training._cli.quietly import quietly
from vcam_training._cli.run import INTERRUPTED


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data", type=click.Path(path_type=Path), help="Folder of the data sets [build/data]."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the report [build/trust/NAME/VERSION].",
)
@click.option(
    "--samples",
    type=click.IntRange(min=2),
    help="Scans at most for what takes many passes through the model [32].",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), help="How often the weights are randomised [5]."
)
@click.option("--no-publish", is_flag=True, help="Only measure; publish no new version.")
def trust(
    model: Path,
    data: Path | None,
    out: Path | None,
    samples: int | None,
    seeds: int | None,
    no_publish: bool,
) -> None:
    """Measure how far the maps of MODEL can be trusted.

    MODEL is the folder of an exported model's versions, of which the newest is taken, or
    of one version. The report goes to a folder of its own, and the figures travel with
    the next version, which is published; the one that was measured stays as it is.
    """
    quietly()
    from vcam_training import train
    from vcam_training import trust as of_maps
    from vcam_training.trust.measuring import SAMPLES, SEEDS
    from vcam_training.trust.run import PAGE_FILE

    try:
        done = of_maps.trust(
            model,
            data_folder=data or train.DATA_FOLDER,
            out=out,
            samples=samples or SAMPLES,
            seeds=seeds or SEEDS,
            publish=not no_publish,
            report=lambda line: click.echo(line, err=True),
        )
    except KeyboardInterrupt:
        click.echo("\nInterrupted; nothing was published.", err=True)
        sys.exit(INTERRUPTED)
    click.echo(done.report.summary)
    click.echo(f"Report: {done.folder / PAGE_FILE}")
    if done.version is not None:
        click.echo(f"Published with these figures: {done.version}")
