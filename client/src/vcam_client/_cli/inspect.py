"""`vcam-client inspect`."""

import os
from pathlib import Path
from typing import Any

import click

from vcam_client._cli.paths import GivenPath
from vcam_client._cli.reading import reading_options_without_model


def _png(_context: click.Context, _option: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and value.suffix.lower() != ".png":
        raise click.BadParameter(f"expected a file named *.png, received {value.name!r}")
    if value is not None and not os.path.isdir(value.parent):
        raise click.BadParameter(f"there is no folder {str(value.parent)!r}")
    return value


@click.command()
@click.argument("scan", type=GivenPath(path_type=Path))
@reading_options_without_model
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option(
    "--picture",
    callback=_png,
    type=GivenPath(path_type=Path, dir_okay=False),
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

    Needs no server. Says which series is read and why others are not; of a folder of scans,
    names them.
    """
    from vcam_client._cli.printing import print_json
    from vcam_client._inspect_text import describe_inspection
    from vcam_client.inspection import inspect_scan

    found = inspect_scan(scan, **reading)
    if as_json:
        print_json(found.to_dict(identifiers=identifiers))
    else:
        click.echo(describe_inspection(found, identifiers=identifiers))
    if picture is None and (found.ambiguous or (found.scans and not found.series)):
        return
    volume = found.require_volume()
    if picture is not None:
        from vcam_client._planes import planes_png
        from vcam_client.writing import write_atomically

        write_atomically(picture, planes_png(volume))
        click.echo(f"\nWrote {picture}", err=as_json)
