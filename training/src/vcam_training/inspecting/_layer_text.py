"""The table of layers as text."""

from collections.abc import Sequence

from vcam_training.inspecting.layer_table import LayerRow, Radii
from vcam_training.network import Network

_HEADS = ("#", "layer", "cells", "stride", "offset", "field", "channels", "covers")
_GAP = "  "


_HOW_TO_CHOOSE = """\
stride, offset and field (receptive field) in voxels: cell c lies at offset + stride · c.
covers: share of the grid where the map can show something.
r=…: lowest Dice, there, of a perfect map of a ball, its radius in {unit}; others: --radius.
As a rule, take the last layer that covers your objects and has a Dice of 0.7 or more for the
smallest: later layers are nearer to the decision, finer ones show smaller objects. Then:
vcam-train export RUN --layer NAME"""


def layers_text(network: Network, rows: Sequence[LayerRow], radii: Radii) -> str:
    """What the rows are of, the table, and how to choose."""
    size = "×".join(map(str, network.grid))
    spacing = f" of {_each(network.spacing_mm, '×')} mm" if network.spacing_mm else ""
    head = f"{network.path}: a grid of {size} voxels{spacing}"
    return "\n\n".join([head, table_text(rows, radii), _HOW_TO_CHOOSE.format(unit=radii.unit)])


def table_text(rows: Sequence[LayerRow], radii: Radii) -> str:
    """Aligned lines: a row for each layer, a column for the Dice at each radius."""
    heads = [*_HEADS, *(f"r={radius:g}" for radius in radii.values), ""]
    body = [_cells(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *body, strict=True)]
    lines = [heads, *body]
    return "\n".join(_line(line, widths) for line in lines)


def _cells(row: LayerRow) -> list[str]:
    layer = row.layer
    notes = [
        note
        for note, holds in (
            ("last", row.last),
            ("explained", row.explained),
            ("bypassed", row.bypassed),
        )
        if holds
    ]
    return [
        "" if row.index is None else str(row.index),
        layer.name,
        "×".join(map(str, layer.cells)),
        _each(layer.stride, "×"),
        _each(layer.offset, ", "),
        _each(layer.receptive_field, "×"),
        "" if row.channels is None else str(row.channels),
        f"{row.covers:.0%}",
        *(f"{dice:.2f}" for dice in row.dice),
        ", ".join(notes),
    ]


def _each(values: Sequence[float], separator: str) -> str:
    """One number where all axes have the same."""
    texts = [f"{value:.4g}" for value in values]
    return texts[0] if len(set(texts)) == 1 else separator.join(texts)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = (1, len(cells) - 1)  # the name and the notes
    aligned = [
        text.ljust(width) if column in left else text.rjust(width)
        for column, (text, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return _GAP.join(aligned).rstrip()
