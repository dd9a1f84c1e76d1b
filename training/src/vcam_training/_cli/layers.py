"""`vcam-train layers`."""

from collections.abc import Sequence
from pathlib import Path

import click

from vcam_training._cli.quietly import quietly


@click.command()
@click.argument("place", metavar="RUN_OR_MODEL", type=click.Path(path_type=Path))
@click.option(
    "--radius",
    "radii",
    multiple=True,
    type=click.FloatRange(min=0, min_open=True),
    metavar="R",
    help="Radius of the objects of interest, in mm where the grid has a spacing, else in voxels; "
    "repeatable [1/32, 1/16 and 1/8 of the grid's shortest side].",
)
@click.option("--all", "bypassed", is_flag=True, help="List layers that scores can bypass, too.")
def layers(place: Path, radii: Sequence[float], bypassed: bool) -> None:
    """List the layers that a map can be read on.

    RUN_OR_MODEL is a run, an exported model or one version of it, or a .keras file. Beside each
    layer stands which objects it could show: the columns r=… hold the lowest Dice that a perfect
    map on the layer's cells reaches for a ball of that radius, wherever between the cells it lies.
    """
    quietly()
    from vcam_training.inspecting._layer_text import layers_text
    from vcam_training.inspecting.layer_table import Radii, default_radii, layer_table
    from vcam_training.network import read_network

    network = read_network(place)
    chosen = (
        Radii(values=tuple(sorted(set(radii))), spacing_mm=network.spacing_mm)
        if radii
        else default_radii(network.grid, network.spacing_mm)
    )
    rows = layer_table(network, chosen, bypassed=bypassed)
    click.echo(layers_text(network, rows, chosen))
