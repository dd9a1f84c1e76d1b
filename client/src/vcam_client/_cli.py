"""`vcam-client`: parses, calls the SDK, prints."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


class _Commands(click.Group):
    """The one place that turns a VcamError into a message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        from vcam_client.errors import VcamError

        try:
            return super().invoke(ctx)
        except VcamError as error:
            click.echo(f"vcam-client: {error}", err=True)
            sys.exit(1)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="vcam-client", prog_name="vcam-client")
def main() -> None:
    """Ask a vcam model server about a scan: scores, and the evidence for them.

    \b
    Start:  vcam-client predict scan.nii.gz
    Server: vcam-serve MODELS, on 127.0.0.1:8500 unless --server or $VCAM_SERVER says otherwise
    """


def _server_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--timeout",
            default=120.0,
            show_default=True,
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="Time that one call to the server may take.",
        ),
        click.option(
            "--model",
            default="default",
            show_default=True,
            metavar="NAME",
            help="Which of the server's models answers.",
        ),
        click.option(
            "--server",
            envvar="VCAM_SERVER",
            default="127.0.0.1:8500",
            show_default=True,
            metavar="HOST:PORT",
            help="Address of the model server (gRPC).",
        ),
    ):
        command = option(command)
    return command


def _spacing(_context: click.Context, _option: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    try:
        numbers = [float(part) for part in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3) or not all(0 < n < float("inf") for n in numbers):
        raise click.BadParameter(
            "expected millimetres above 0: one number, or three separated by commas, such as "
            "0.02 or 0.02,0.02,0.05"
        )
    return numbers


def _png(_context: click.Context, _option: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and value.suffix.lower() != ".png":
        raise click.BadParameter(f"expected a file named *.png, received {value.name!r}")
    if value is not None and not value.parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(value.parent)!r}")
    return value


def _reading_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--strict",
            is_flag=True,
            help="Refuse what could only be read by resampling or assuming something.",
        ),
        click.option(
            "--spacing",
            callback=_spacing,
            metavar="MM[,MM,MM]",
            help="Distance of voxels, for files that state none: columns, rows, slices.",
        ),
        click.option(
            "--volume-index",
            type=click.IntRange(min=0),
            metavar="N",
            help="Which volume of a 4-D file, from 0.",
        ),
        click.option(
            "--series",
            metavar="NUMBER",
            help="Which DICOM series: its row in `inspect`, or its UID.",
        ),
    ):
        command = option(command)
    return command


@main.command()
@click.argument("scan", type=click.Path(path_type=Path))
@_reading_options
@_server_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="the current folder",
    metavar="FOLDER",
    help="Where the result files go.",
)
def predict(scan: Path, server: str, model: str, timeout: float, out: Path, **reading: Any) -> None:
    """Score SCAN and show where the evidence lies.

    SCAN is a NIfTI file, DICOM (a file, folder, zip or DICOMDIR), a TIFF stack or a folder of
    slices, an array (.npy), or a picture for a 2-D model.
    Prints each class with its percentage and writes NAME_heatmap.nii.gz (the scan's shape and
    place; a picture's heatmap is a PNG), NAME_overlay.png and NAME_result.json.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from vcam_client._text import describe_prediction
    from vcam_client.client import Client

    with Client(server, timeout=timeout) as client:
        prediction = client.predict(scan, model=model, **reading)
    files = prediction.write(out)
    click.echo(describe_prediction(prediction))
    click.echo("\nWrote")
    click.echo(f"  {files.overlay}  look at this first")
    click.echo(f"  {files.heatmap}  heatmap on the scan's own grid")
    click.echo(f"  {files.result}")


@main.command()
@_server_options
@click.option("--json", "as_json", is_flag=True, help="Print the whole model spec as JSON.")
def info(server: str, model: str, timeout: float, as_json: bool) -> None:
    """Show the model spec that the server serves: labels, grid, units, CAM geometry."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from vcam_client._text import describe_spec
    from vcam_client.client import Client

    with Client(server, timeout=timeout) as client:
        served = client.spec(model)
    click.echo(served.json if as_json else describe_spec(model, served))


@main.command()
@click.argument("scan", type=click.Path(path_type=Path))
@_reading_options
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option(
    "--picture",
    callback=_png,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a PNG of the three planes through the middle.",
)
@click.option(
    "--identifiers",
    is_flag=True,
    help="Show series descriptions and UIDs, too; they may identify a patient.",
)
def inspect(
    scan: Path, as_json: bool, picture: Path | None, identifiers: bool, **reading: Any
) -> None:
    """Show what SCAN holds: series, geometry, units, storage, quirks.

    Needs no server. Says which series is read and why others are not.
    """
    import json

    from vcam_client._inspect_text import describe_inspection
    from vcam_client.inspection import inspect_scan

    found = inspect_scan(scan, **reading)
    if as_json:
        content = found.to_dict(identifiers=identifiers)
        click.echo(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        click.echo(describe_inspection(found, identifiers=identifiers))
    if found.ambiguous and picture is None:
        return
    volume = found.require_volume()
    if picture is not None:
        from vcam_client._files import write_atomically
        from vcam_client._planes import planes_png

        write_atomically(picture, planes_png(volume))
        click.echo(f"\nWrote {picture}", err=as_json)
