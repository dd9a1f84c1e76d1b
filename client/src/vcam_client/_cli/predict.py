"""`vcam-client predict`."""

from pathlib import Path
from typing import Any

import click

from vcam_client._cli.connecting import connection_options, model_options, open_client, which_model
from vcam_client._cli.reading import reading_options, take_reading


@click.command()
@click.argument("scan", type=click.Path(path_type=Path))
@model_options
@reading_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="the current folder",
    metavar="FOLDER",
    help="Where the result files go.",
)
@connection_options
def predict(scan: Path, out: Path, **options: Any) -> None:
    """Score SCAN and show where the evidence lies.

    SCAN is a NIfTI file, DICOM (a file, folder, zip or DICOMDIR), a TIFF stack or a folder of
    slices, an array (.npy), or a picture for a 2-D model.
    Prints each class with its percentage and writes NAME_heatmap.nii.gz (the scan's shape and
    place; a picture's heatmap is a PNG), NAME_overlay.png and NAME_result.json.
    """
    from vcam_client._text import describe_prediction

    model, reading = which_model(options), take_reading(options)
    with open_client(options) as client:
        prediction = client.predict(scan, **model, **reading)
    files = prediction.write(out)
    click.echo(describe_prediction(prediction))
    click.echo("\nWrote")
    click.echo(f"  {files.overlay}  look at this first")
    click.echo(f"  {files.heatmap}  heatmap on the scan's own grid")
    click.echo(f"  {files.result}")
