"""Options that say how a scan is to be read, where the file alone can't."""

from collections.abc import Callable
from typing import Any

import click

_STRICT = "Refuse what could only be read by resampling or assuming something"


def reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """--series, --volume-index, --spacing, --nan, --strict; values as `read_volume` takes them."""
    return _options(command, f"{_STRICT}, and values that can't be the model's Hounsfield units.")


def reading_options_without_model(command: Callable[..., None]) -> Callable[..., None]:
    """As `reading_options`, for a command that knows no model and so no units to expect."""
    return _options(command, f"{_STRICT}.")


def _options(command: Callable[..., None], strict: str) -> Callable[..., None]:
    for option in reversed(
        (
            click.option(
                "--series",
                metavar="NUMBER",
                help="Which DICOM series: its row in `inspect`, or its UID.",
            ),
            click.option(
                "--volume-index",
                type=click.IntRange(min=0),
                metavar="N",
                help="Which volume of a 4-D file, from 0.",
            ),
            click.option(
                "--spacing",
                callback=_spacing,
                metavar="MM[,MM,MM]",
                help="Distance of voxels, for files that state none: columns, rows, slices.",
            ),
            click.option(
                "--nan",
                callback=_nan,
                metavar="VALUE|padding",
                help="Value for voxels that are NaN or infinite: a number in the scan's units, or "
                "padding, which no model sees. Such scans are refused without it.",
            ),
            click.option("--strict", is_flag=True, help=strict),
        )
    ):
        command = option(command)
    return command


def take_reading(options: dict[str, Any]) -> dict[str, Any]:
    """The values of `reading_options`, taken out of `options`."""
    names = ("series", "volume_index", "spacing", "nan", "strict")
    return {name: options.pop(name) for name in names}


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


def _nan(_context: click.Context, _option: click.Parameter, value: str | None) -> Any:
    if value is None or value == "padding":
        return value
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):  # NaN neither
        raise click.BadParameter("expected a finite number, such as -1024, or padding")
    return number
