"""Options that say what to explain and what to write."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vcam_client._cli.paths import GivenPath

if TYPE_CHECKING:
    from vcam_client.results import Choices

    _ParamType = click.ParamType[float | str]
else:
    _ParamType = click.ParamType  # takes no parameter before click 8.4


class _Threshold(_ParamType):
    """A share of the strongest, or "model"."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        if value == "model":
            return "model"
        return float(click.FloatRange(0, 1, min_open=True).convert(value, param, ctx))


_CLASS = click.option(
    "--class",
    "label",
    metavar="NAME",
    help="The class to explain; by default what the model's spec says.",
)
_METHOD = click.option("--method", metavar="NAME", help="CAM method; by default the model's own.")
_LAYER = click.option(
    "--layer", metavar="NAME", help="Target layer of the map; by default the model's."
)


def explanation_options(command: Callable[..., None]) -> Callable[..., None]:
    """--class (as `label`), --method, --layer: which one explanation."""
    return _CLASS(_METHOD(_LAYER(command)))


def choice_options(command: Callable[..., None]) -> Callable[..., None]:
    """--class, --all-classes, --method, --layer, --signed, --threshold, --truth, --no-heatmap."""
    for option in reversed(
        (
            _CLASS,
            click.option("--all-classes", is_flag=True, help="Explain every class."),
            _METHOD,
            _LAYER,
            click.option(
                "--signed/--unsigned",
                default=None,
                help="Show what speaks against the class, too; regressions do so by default.",
            ),
            click.option(
                "--threshold",
                type=_Threshold(),
                metavar="SHARE",
                help="Write a mask of voxels from this share of the strongest, and list boxes; "
                '"model" for the share that the model\'s validation data gave.',
            ),
            click.option(
                "--truth",
                type=GivenPath(path_type=Path),
                metavar="MASK",
                help="Compare the map with a mask: Dice, IoU, pointing, energy inside.",
            ),
            click.option("--no-heatmap", is_flag=True, help="Write neither heatmap nor picture."),
        )
    ):
        command = option(command)
    return command


def results_folder(
    _context: click.Context, _option: click.Parameter, value: Path | None
) -> Path | None:
    """Where results go, as it was given.

    Raises:
        click.BadParameter: a file is there.
    """
    if value is not None and os.path.exists(value) and not os.path.isdir(value):
        raise click.BadParameter(
            f"expected a folder for the results, received the file {str(value)!r}. Name a folder; "
            "the files in it are named after the scan"
        )
    return value


def take_choices(options: dict[str, Any]) -> "Choices":
    """The values of `choice_options`, taken out of `options`.

    Raises:
        InputError: values that don't go together.
    """
    from vcam_client.results import Choices

    names = ("label", "all_classes", "method", "layer", "signed", "threshold", "truth")
    chosen = {name: options.pop(name) for name in names}
    return Choices(**chosen, heatmap=not options.pop("no_heatmap"))
