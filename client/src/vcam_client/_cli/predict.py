"""`vcam-client predict`."""

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vcam_client._cli.choosing import choice_options, results_folder, take_choices
from vcam_client._cli.connecting import connection_options, model_options, open_client, which_model
from vcam_client._cli.paths import GivenPath
from vcam_client._cli.reading import reading_options, take_reading
from vcam_client._one_line import one_line

if TYPE_CHECKING:
    from vcam_client.batch import FoundScans, ScanItem, Shard
    from vcam_client.prediction import Prediction
    from vcam_client.results import Choices, WrittenFiles

_LISTED = 20
_EXAMPLES = """\b
Examples:
  vcam-client predict scan.nii.gz
  vcam-client predict dicom-folder/ --model ct-phantom --class lesion --threshold 0.5
  vcam-client predict scans/ --out results/              # each scan in the folder
  find . -name '*.nii.gz' | vcam-client predict - --out results/
"""


@click.command(epilog=_EXAMPLES)
@click.argument("scans", nargs=-1, required=True, metavar="SCAN...")
@click.option(
    "--out",
    type=GivenPath(path_type=Path),
    callback=results_folder,
    show_default="the current folder, for one scan",
    metavar="FOLDER",
    help="Where the result files go.",
)
@model_options
@choice_options
@reading_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and ask for no scores.")
@click.option("--follow-links", is_flag=True, help="Follow the links in folders, too.")
@click.option("--shard", metavar="N/M", help="Of several scans, take the Nth of M parts.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Scans under way at once.")
@click.option("--again", is_flag=True, help="Also do scans that an earlier run has finished.")
@click.option("-v", "--verbose", is_flag=True, help="Say how long steps took and what was sent.")
@connection_options
def predict(
    scans: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    dry_run: bool,
    follow_links: bool,
    shard: str | None,
    workers: int | None,
    again: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Score scans and show where the evidence lies.

    SCAN is a NIfTI, NRRD, MetaImage or MGH file, DICOM (a file, folder, zip or DICOMDIR), a TIFF
    stack or a folder of slices, an array (.npy), or a picture for a 2-D model.

    For one scan: prints each class with its percentage and writes NAME_heatmap.nii.gz (the scan's
    shape and place; a picture's heatmap is a PNG), NAME_overlay.png and NAME_result.json.

    For several, a folder of scans, a pattern, or - for a list of paths on standard input: writes
    the same for each below FOLDER, and a log that grows, results.jsonl and results.csv. Started
    again, it does what is missing. Exits with 1 where a scan failed.
    """
    model, reading = which_model(options), take_reading(options)
    choices = take_choices(options)
    part = _shard(shard)
    scan, several = _one_or_several(scans, reading, out, follow_links)
    if several is not None and choices.truth is not None:
        raise click.UsageError("--truth compares one scan with its mask; name one scan.")
    with open_client(options) as client:
        if several is None and dry_run:
            _show_preview(client, scan, model, reading)
        elif several is None:
            _one(client, scan, out or Path(), model, choices, reading, as_json, verbose)
        elif dry_run:
            chosen = part.of(several) if part else several
            click.echo("\n".join(one_line(item.key) for item in chosen))
            _left_out(several)
        else:
            assert out is not None
            more = {"shard": part, "workers": workers, "again": again}
            sys.exit(_many(client, several, out, model, choices, reading, more))


def _shard(text: str | None) -> "Shard | None":
    """The part of the scans to take: the one that is named, else that of a Kubernetes job."""
    from vcam_client.batch import Shard

    return Shard.parse(text) if text else Shard.from_environment()


def _one_or_several(
    scans: tuple[str, ...], reading: dict[str, Any], out: Path | None, follow_links: bool
) -> "tuple[Path | ScanItem, FoundScans | None]":
    """The one scan, by its own path where that is enough; else the scans of a run over many."""
    from vcam_client.batch import find_scans
    from vcam_client.batch._finding import NoScansError
    from vcam_client.batch._item import ItemKind
    from vcam_client.errors import InconsistentSeriesError
    from vcam_client.reading import holds_dicom

    given = Path(scans[0])
    one = len(scans) == 1 and os.path.exists(scans[0])
    # a series, or a folder of slices whose spacing is told: one scan
    told = reading["series"] is not None or (reading["spacing"] is not None and out is None)
    if one and (told or os.path.isfile(scans[0])):
        return given, None
    try:
        found = find_scans(scans, follow_links=follow_links)
    except NoScansError as error:
        if one and not error.links:
            return given, None  # the reader says what is wrong with it
        raise
    if one and len(found) < 2:
        if found[0].kind is ItemKind.FILE and holds_dicom(given):
            return found[0].path, None  # the reader would look for DICOM
        return (found[0] if follow_links else given), None  # the reader follows no links
    if out is None:
        names = "\n".join(f"  {one_line(item.key)}" for item in found[:_LISTED])
        more = f"\n  … and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise InconsistentSeriesError(
            f"Expected one scan, found {len(found)}:\n{names}{more}\nGive --out FOLDER to score "
            "them all, or name one; of a folder's DICOM series choose with --series NUMBER "
            "(`vcam-client inspect` lists them)."
        )
    return given, found


def _one(
    client: Any,
    scan: "Path | ScanItem",
    out: Path,
    model: dict[str, Any],
    choices: "Choices",
    reading: dict[str, Any],
    as_json: bool,
    verbose: bool,
) -> None:
    from vcam_client._cli.printing import print_json
    from vcam_client._text import describe_predictions
    from vcam_client.reading import read_options
    from vcam_client.results import explain, results_to_dict, write_results

    options = read_options(**reading)
    predictions = explain(
        client,
        scan if isinstance(scan, Path) else scan.read(options),
        model=model["model"],
        version=model["version"],
        version_label=model["label"],
        choices=choices,
        reading=options,
    )
    files = write_results(predictions, out, choices)
    if as_json:
        print_json(results_to_dict(predictions, choices))
    else:
        click.echo(describe_predictions(predictions, choices))
        _show_files(files, predictions)
    if verbose:
        _show_work(client, predictions)


def _show_files(files: "WrittenFiles", predictions: "list[Prediction]") -> None:
    """Paths, with a note at the picture and the map of the highest score."""
    click.echo("\nWrote")
    highest = max(range(len(predictions)), key=lambda n: predictions[n].scores[n])
    best = highest if len(predictions) > 1 else 0
    notes = {
        **dict.fromkeys(files.overlays[best : best + 1], "look at this first"),
        **dict.fromkeys(files.heatmaps[best : best + 1], "heatmap on the scan's own grid"),
    }
    width = max(len(str(path)) for path in files.paths)
    for path in files.paths:
        click.echo(f"  {path!s:<{width}}  {notes.get(path, '')}".rstrip())


def _show_work(client: Any, predictions: "list[Prediction]") -> None:
    """Seconds and bytes, on standard error; nothing of the scan or the patient."""
    first = predictions[0]
    seconds = ", ".join(f"{name} {value:.2f} s" for name, value in first.timings.items())
    voxels = math.prod(axis.model_size for axis in first.placement.axes)
    plain = 4 * voxels / 1e6  # MB of float32: the volume up, and a heatmap of its size down
    click.echo(
        f"\n{client.server}: {seconds}\n"
        f"{first.traffic.sent / 1e6:.2f} MB up, {first.traffic.received / 1e3:.1f} kB down "
        f"(the plain way, float32 and every output: {plain:.1f} MB each way)",
        err=True,
    )


def _show_preview(
    client: Any, scan: "Path | ScanItem", model: dict[str, Any], reading: dict[str, Any]
) -> None:
    from vcam_client.preview import describe_preview, preview
    from vcam_client.reading import read_options, read_volume

    if isinstance(scan, Path):
        volume = read_volume(scan, **reading)
    else:
        volume = scan.read(read_options(**reading))
    found = preview(volume, client.spec(**model), strict=reading["strict"])
    click.echo(describe_preview(found, model["model"]))


def _many(
    client: Any,
    found: "FoundScans",
    out: Path,
    model: dict[str, Any],
    choices: "Choices",
    reading: dict[str, Any],
    more: dict[str, Any],
) -> int:
    from vcam_client.batch import ProgressPrinter, run_batch
    from vcam_client.reading import read_options

    _left_out(found)
    summary = run_batch(
        client,
        found,
        out,
        model=model["model"],
        version=model["version"],
        version_label=model["label"],
        choices=choices,
        reading=read_options(**reading),
        shard=more["shard"],
        workers=more["workers"],
        again=more["again"],
        on_progress=ProgressPrinter(sys.stderr),
    )
    click.echo(summary.text)
    return summary.exit_code


def _left_out(found: "FoundScans") -> None:
    for reason, count in found.left_out.most_common():
        click.echo(f"Left out: {count} × {reason}", err=True)
