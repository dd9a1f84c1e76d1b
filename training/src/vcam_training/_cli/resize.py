"""`vcam-train resize`."""

import sys
from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of the small pictures.",
)
@click.option(
    "--size",
    type=click.IntRange(min=1),
    default=224,
    metavar="N",
    help="Pixels along both sides [224].",
)
def resize(folder: Path, out: Path, size: int) -> None:
    """Resize all PNG and JPEG pictures of FOLDER, keeping their names.

    They are averaged as training and serving do it. Started again, it does what is missing.
    Pictures that can't be read are named and left out; it then exits with 1.
    """
    from vcam_training.data.radiographs.radiograph_resize import resize_folder

    result = resize_folder(folder, out, size, lambda line: click.echo(line, err=True))
    click.echo(f"{result.done} resized, {result.skipped} were there, {len(result.failed)} failed")
    if result.failed:
        click.echo("\n".join(["Failed:", *(f"  {name}" for name, _ in result.failed)]), err=True)
        sys.exit(1)
