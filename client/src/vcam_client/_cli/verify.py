"""`vcam-client verify`."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from vcam_client._cli.choosing import explanation_options, results_folder
from vcam_client._cli.connecting import connection_options, model_options, open_client, which_model
from vcam_client._cli.paths import GivenPath
from vcam_client._cli.reading import reading_options, take_reading

if TYPE_CHECKING:
    from vcam_client.verification import Verification

_UPDATE_EVERY_S = 0.2


@click.command(
    epilog="""\b
Examples:
  vcam-client verify scan.nii.gz
  vcam-client verify scan.nii.gz --class lesion --blocks 500 --out results/
"""
)
@click.argument("scan", type=GivenPath(path_type=Path))
@click.option(
    "--out",
    type=GivenPath(path_type=Path),
    callback=results_folder,
    default=Path(),
    show_default="the current folder",
    metavar="FOLDER",
    help="Where the result files go.",
)
@model_options
@explanation_options
@click.option(
    "--blocks",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    metavar="N",
    help="Hide at most so many blocks, one after the other; more see finer and take longer.",
)
@click.option(
    "--fill",
    type=click.Choice(["surroundings", "median", "padding"]),
    default="surroundings",
    show_default=True,
    help="What is put in place: what goes on from around, the scan's median, or the model's "
    "padding value.",
)
@reading_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Say how long it took and what was sent.")
@connection_options
def verify(
    scan: Path,
    out: Path,
    blocks: int,
    fill: str,
    as_json: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Check an explanation: does the score depend on what the map marks?

    Scores SCAN again with what the map marks hidden, with the rest hidden, with the same shape
    hidden elsewhere, and block by block. Prints what became of the score and writes
    NAME_verify.json, NAME_verify.png and NAME_occlusion.nii.gz.

    Exits with 0 whatever the verdict is.
    """
    from vcam_client._cli.printing import print_json
    from vcam_client._verify_text import describe_verification

    model, reading = which_model(options), take_reading(options)
    explanation = {name: options.pop(name) for name in ("method", "layer")}
    target = options.pop("label")
    progress = _ProgressLine(sys.stderr)
    with open_client(options) as client:
        try:
            found = client.verify(
                scan,
                **model,
                **reading,
                **explanation,
                target=target,
                blocks=blocks,
                fill=fill,
                progress=progress,
            )
        finally:
            progress.end()
    files = found.write(out)
    if as_json:
        print_json(found.to_dict())
    else:
        click.echo(describe_verification(found))
        notes = ("look at this first", "drop of the score, block by block, on the scan's own grid")
        width = max(len(str(path)) for path in files.paths)
        click.echo("\nWrote")
        for path, note in zip(files.paths, (*notes, ""), strict=True):
            click.echo(f"  {path!s:<{width}}  {note}".rstrip())
    if verbose:
        _show_work(client.server, found)


class _ProgressLine:
    """One line on a terminal that is written over and over; nothing elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = stream.isatty()
        self._start = self._updated = time.monotonic()
        self._width = 0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done == 0:
            self._start = now
        if not self._shown or (done and done < total and now - self._updated < _UPDATE_EVERY_S):
            return
        from vcam_client.batch._progress import duration

        left = (now - self._start) / done * (total - done) if done else None
        text = f"{done}/{total} scored" + (f", {duration(left)} left" if left else "")
        self._stream.write(f"\r{text:<{self._width}}")
        self._stream.flush()
        self._updated, self._width = now, len(text)

    def end(self) -> None:
        """Clears the line."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()


def _show_work(server: str, found: "Verification") -> None:
    """Seconds, calls and bytes, on standard error."""
    seconds = ", ".join(f"{name} {value:.2f} s" for name, value in found.prediction.timings.items())
    click.echo(
        f"\n{server}: {seconds}, verify {found.seconds:.2f} s\n"
        f"{found.inputs} inputs of the model in {found.calls} calls, "
        f"{found.traffic.sent / 1e6:.1f} MB up, {found.traffic.received / 1e3:.1f} kB down",
        err=True,
    )
