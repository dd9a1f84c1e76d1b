"""`vcam-train images`."""

from pathlib import Path

import click


@click.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "--images",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder with the images, however deep [the table's].",
)
@click.option("--fold", default="", metavar="NAME", help="train, validation or test [all].")
@click.option("--finding", default="", metavar="NAME", help="Only images with it [all].")
@click.option(
    "--starter",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File of names, of which alone are taken.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="So many of them, at random [all].",
)
@click.option("--seed", type=int, default=0, metavar="N", help="Of the sample [0].")
def images(
    table: Path,
    folder: Path | None,
    fold: str,
    finding: str,
    starter: Path | None,
    sample: int,
    seed: int,
) -> None:
    """Print the paths of images of a TABLE, one a line.

    TABLE is a CSV file in the layout of ChestX-ray14.

    For example, to see what a model looks at in ten images with a finding:

    \b
      vcam-train images labels.csv --fold test --finding Mass --sample 10 |
        vcam-client predict - --class Mass --out results/
    """
    from vcam_training.data.finding_labels import FindingLabels
    from vcam_training.data.radiographs.chest_xray_images import find_images
    from vcam_training.data.radiographs.chest_xray_table import read_names, read_table

    chosen = read_table(table, labels=FindingLabels(uncertain="ignore")).filtered(
        fold=fold,
        finding=finding,
        starter=None if starter is None else read_names(starter),
        sample=sample,
        seed=seed,
    )
    place = folder or table.parent
    for path in find_images(place, chosen.names, images="--images", starter="--starter"):
        click.echo(str(path))
