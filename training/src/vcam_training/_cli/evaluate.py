"""`vcam-train evaluate`."""

from collections.abc import Sequence
from pathlib import Path

import click

from vcam_training._cli.quietly import quietly


@click.command()
@click.argument("place", metavar="RUN_OR_MODEL", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE_OR_FOLDER",
    help="Folder of the data sets, or a file that holds one [build/data].",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="data.KEY=VALUE",
    help="Change the data set that the model was trained on; repeatable.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    help="Which volumes [test].",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the results [build/evaluation/NAME-SPLIT, then the data and settings given].",
)
def evaluate(
    place: Path, data: Path | None, settings: Sequence[str], split: str, out: Path | None
) -> None:
    """Score a finished run or an exported model on other data.

    RUN_OR_MODEL is a run, an exported model or one version of it; the data may be another split,
    other settings of its data set, or a test file kept aside. Temperature and thresholds
    are those that training fixed; nothing is fitted. Writes metrics.json, predictions.csv and
    report.html.
    """
    quietly()
    from vcam_training.evaluate_run import evaluate_run
    from vcam_training.evaluation.metric_text import in_words
    from vcam_training.results.run_report import REPORT

    scored = evaluate_run(
        place,
        data,
        settings=settings,
        split=split,
        out=out,
        report=lambda line: click.echo(line, err=True),
    )
    for metric in scored.metrics:
        click.echo(in_words(metric))
    for note in scored.notes:
        click.echo(note)
    click.echo(f"Report: {scored.folder / REPORT}")
