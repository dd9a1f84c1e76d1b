"""docs/networks.md: each network has a row, and the light ones' figures are those built."""

import re
from pathlib import Path

import pytest
from tiny_networks import hu

from vcam_training.cams.receptive_field import cam_layer
from vcam_training.models import NETWORKS

DOCUMENT = Path(__file__).parents[3] / "docs" / "networks.md"
ROWS = re.findall(
    r"^\| `(\w+)`[^|]*\| ([\d×]+) \| ([\d,]+) \| `(\w+)` \| ([\d×]+) of (\d+) \|",
    DOCUMENT.read_text(encoding="utf-8"),
    re.M,
)
LIGHT = 2_000_000
"""Parameters up to which a network is built here; tests of their own count the others'."""


def numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("×")))


def test_each_network_has_a_row() -> None:
    assert {row[0] for row in ROWS} == set(NETWORKS)
    dimensions = {(row[0], len(numbers(row[1]))) for row in ROWS}
    assert len(dimensions) == len(ROWS) == 2 * len(NETWORKS) - 1  # applications: images only


@pytest.mark.parametrize("row", [r for r in ROWS if int(r[2].replace(",", "")) < LIGHT])
def test_figures(row: tuple[str, ...]) -> None:
    name, grid, parameters, layer, cells, width = row
    network = NETWORKS[name]()
    model = network.build(numbers(grid), hu(), 2)
    place = cam_layer(model, network.target_layer)
    assert f"{model.count_params():,}" == parameters
    assert (place.name, place.cells) == (layer, numbers(cells))
    assert set(place.stride) == {int(width)}
