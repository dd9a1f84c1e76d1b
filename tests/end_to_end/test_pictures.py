"""A radiograph as a PNG through a served model: the map lies where the evidence is."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

from vcam_client import Client, place, read_volume

if TYPE_CHECKING:
    from golden import Golden
    from served.server import ServerUnderTest

ROWS, COLUMNS = 300, 200
BRIGHT = 3800
BLOB_PIXELS = 16
"""Standard deviation; a cell of the map is 25 by 20 pixels."""


def radiograph(row: float, column: float) -> np.ndarray:
    """Dark, with one bright blob; 12 bits in uint16."""
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    distance = (rows - row) ** 2 + (columns - column) ** 2
    return np.rint(BRIGHT * np.exp(-distance / (2 * BLOB_PIXELS**2))).astype(np.uint16)


def test_a_png_gives_a_png_whose_maximum_is_the_strongest_cell(
    server: "ServerUnderTest", golden: "dict[str, Golden]", tmp_path: Path
) -> None:
    path = tmp_path / "xray.png"
    path.write_bytes(imagecodecs.png_encode(radiograph(90, 140)))
    with Client(server.address) as client:
        explained = [
            client.predict(path, model="radiograph", target=label)
            for label in golden["radiograph"].spec.labels
        ]
    prediction = max(explained, key=lambda p: p.evidence.raw_maximum)
    assert prediction.evidence.found
    files = prediction.write(tmp_path)
    assert files.heatmap == tmp_path / "xray_heatmap.png"
    heatmap = imagecodecs.png_decode(files.heatmap.read_bytes())
    assert heatmap.dtype == np.uint8
    assert heatmap.shape == (ROWS, COLUMNS)
    assert heatmap.max() >= 250
    # the brightest pixels surround the centre of the strongest cell, worked out by hand
    layer = golden["radiograph"].spec.default_layer
    grid = golden["radiograph"].spec.grid
    cell = np.unravel_index(int(np.argmax(prediction.cam[0])), layer.cells)
    pixels = np.array([ROWS, COLUMNS]) / np.array(grid.shape)
    centre = (np.array(layer.offset) + np.array(layer.stride) * cell + 0.5) * pixels - 0.5
    peak = np.argwhere(heatmap == heatmap.max()).mean(axis=0)
    assert (np.abs(peak - np.clip(centre, 0, [ROWS - 1, COLUMNS - 1])) <= pixels).all()
    result = json.loads(files.result.read_text())["explanations"][0]["evidence"]
    assert result["volume_mm3"] is None
    assert result["strongest_cell_world_ras_mm"] is None
    assert 0 < result["share"] < 1


def test_a_blob_moves_the_map_with_it(
    server: "ServerUnderTest", golden: "dict[str, Golden]", tmp_path: Path
) -> None:
    labels = golden["radiograph"].spec.labels
    peaks = []
    with Client(server.address) as client:
        for n, (row, column) in enumerate([(80, 60), (200, 60), (80, 150)]):
            path = tmp_path / f"{n}.png"
            path.write_bytes(imagecodecs.png_encode(radiograph(row, column)))
            cams = [client.predict(path, model="radiograph", target=label) for label in labels]
            heat = max(cams, key=lambda p: p.evidence.raw_maximum).heatmap()[:, :, 0].T
            at = np.indices(heat.shape).reshape(2, -1)
            peaks.append(np.average(at, axis=1, weights=heat.ravel() ** 4))
    down, right = peaks[1] - peaks[0], peaks[2] - peaks[0]
    assert down[0] > abs(down[1])
    assert right[1] > abs(right[0])


def test_the_tensor_is_that_of_the_same_picture_as_a_volume(
    golden: "dict[str, Golden]", tmp_path: Path
) -> None:
    spec = golden["radiograph"].spec
    values = radiograph(90, 140)
    (tmp_path / "x.png").write_bytes(imagecodecs.png_encode(values))
    picture = read_volume(tmp_path / "x.png")
    known = dataclasses.replace(picture, spacing_known=True, is_picture=False)
    tensors = [
        place(volume, spec.grid, spec.slice_aggregation).to_model(volume.data)
        for volume in (picture, known)
    ]
    np.testing.assert_array_equal(tensors[0], tensors[1])
    # rows run down to I and columns to L, as the model's axes (A, I, L) have them
    row, column = np.unravel_index(int(np.argmax(tensors[0][0])), spec.grid.shape)
    assert abs((row + 0.5) * ROWS / spec.grid.shape[0] - 90) <= ROWS / spec.grid.shape[0]
    assert abs((column + 0.5) * COLUMNS / spec.grid.shape[1] - 140) <= COLUMNS / spec.grid.shape[1]
