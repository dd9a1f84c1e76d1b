"""`vcam-train page`."""

from collections.abc import Sequence
from pathlib import Path

import click

from vcam_training._cli.quietly import quietly


@click.command()
@click.argument("runs", metavar="RUN…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("experiments.md"),
    help="Markdown file; its pictures go into a folder beside it [experiments.md].",
)
def page(runs: Sequence[Path], out: Path) -> None:
    """Write a page with a row for each finished RUN.

    A row has the command, time, result and a picture.
    """
    quietly()
    from vcam_training.experiments_page import write_page

    write_page(runs, out)
    click.echo(f"Written: {out}")
