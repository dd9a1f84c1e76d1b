"""What `vcam-train layers` lists, against measured fields and the definition of its Dice."""

import keras
import numpy as np
import pytest
from keras import layers
from measured_fields import make_positive, measured_fields
from training_networks import keras_ct, u_net

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer
from vcam_training.cams.perfect_map import perfect_map_dice, worst_ball_dice
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.cams.target_layer import target_layer
from vcam_training.inspecting._layer_text import table_text
from vcam_training.inspecting.layer_table import LayerRow, Radii, default_radii, layer_table
from vcam_training.network import Network

RADII = Radii(values=(2.0, 4.0))


def network_of(model, **known):
    return Network(path="model.keras", model=model, **known)


def residual():
    x = inputs = keras.Input((24, 20, 1))
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="stem")(x)
    y = layers.Conv2D(3, 3, padding="same", activation="relu", name="branch")(x)
    y = layers.Conv2D(3, 3, padding="same", name="inner")(y)
    x = layers.ReLU(name="sum")(layers.Add()([x, y]))
    x = layers.Conv2D(5, 3, strides=2, padding="same", activation="relu", name="end")(x)
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def names(rows):
    return [row.layer.name for row in rows]


def test_rows_are_the_candidates_that_every_score_passes_through():
    rows = layer_table(network_of(residual()), RADII)
    assert [(row.index, row.layer.name, row.channels) for row in rows] == [
        (0, "stem", 3),
        (1, "sum", 3),
        (2, "end", 5),
    ]
    assert [row.last for row in rows] == [False, False, True]
    assert not any(row.explained or row.bypassed for row in rows)


def test_bypassed_layers_are_listed_on_demand_without_an_index():
    rows = layer_table(network_of(residual()), RADII, bypassed=True)
    assert [(row.index, row.layer.name, row.bypassed) for row in rows] == [
        (0, "stem", False),
        (None, "branch", True),
        (1, "sum", False),
        (2, "end", False),
    ]


@pytest.mark.parametrize(
    ("explained", "expected"),
    [
        (("last",), ["stem", "sum", "end*"]),
        (("1", "end"), ["stem", "sum*", "end*"]),
        (("branch",), ["stem", "branch*", "sum", "end"]),
        (("inner",), ["stem", "sum", "end", "inner*"]),
        (("sum+end",), ["stem", "sum", "end", "sum+end*"]),
    ],
)
def test_what_explains_the_network_is_marked_and_always_listed(explained, expected):
    model = residual()
    rows = layer_table(network_of(model, explained=explained), RADII)
    assert [row.layer.name + "*" * row.explained for row in rows] == expected
    for row in rows:
        assert row.layer == target_layer(model, row.layer.name).place
    fused = [row for row in rows if row.index is None]
    assert all(row.channels in (None, 3) for row in fused)


def test_geometry_is_what_gradients_show():
    """A linear encoder: each row's cells, offset, stride and field, measured."""
    model = keras.Sequential([keras.Input((33, 41, 1))])
    for number, (size, strides) in enumerate([(3, 1), (4, 2), (5, 2)]):
        model.add(layers.Conv2D(2, size, strides, padding="same", name=f"conv{number}"))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(2))
    make_positive(model)
    rows = layer_table(network_of(model), RADII)
    assert names(rows) == ["conv0", "conv1", "conv2"]
    for row in rows:
        for axis, fields in enumerate(measured_fields(model, row.layer.name)):
            assert len(fields) == row.layer.cells[axis]
            widest = max(last - first for first, last in fields.values())
            inside = {c: f for c, f in fields.items() if f[1] - f[0] == widest}
            cells = np.array(list(inside))
            centres = np.array([sum(field) / 2 for field in inside.values()])
            stride, offset = np.polyfit(cells, centres, 1)
            assert row.layer.stride[axis] == pytest.approx(stride)
            assert row.layer.offset[axis] == pytest.approx(offset)
            assert row.layer.receptive_field[axis] == widest + 1


def test_dice_is_that_of_the_worst_ball():
    model = keras_ct((32, 48, 48), filters=(1, 1, 1))
    rows = layer_table(network_of(model), RADII)
    assert names(rows) == ["conv1", "conv2", "conv3"]
    for row in rows:
        expected = [worst_ball_dice(r, row.layer, (32, 48, 48)) for r in (2, 4)]
        assert row.dice == pytest.approx(expected)
    assert [row.dice[0] for row in rows] == sorted((row.dice[0] for row in rows), reverse=True)


def test_what_a_layer_covers():
    """Of 64 x 128 x 128 voxels the last cells of Keras' network reach 14.5 ... 46.5 and 110.5."""
    rows = layer_table(network_of(keras_ct((64, 128, 128), filters=(1,) * 4)), Radii(values=(4.0,)))
    assert rows[-1].covers == pytest.approx(32 / 64 * (96 / 128) ** 2)
    assert rows[0].covers == pytest.approx(62 / 64 * (126 / 128) ** 2)
    same = layer_table(network_of(residual()), RADII)
    assert [one.covers for one in same] == [1, 1, 1]


def test_a_radius_in_millimetres_is_divided_by_the_spacing_of_each_axis():
    """4 mm are one slice of 4 mm and four voxels of 1 mm: an ellipsoid on the grid."""
    model = keras.Sequential(
        [
            keras.Input((12, 32, 32, 1)),
            layers.Conv3D(1, 3, strides=(1, 2, 2), padding="same", name="fine"),
            layers.Conv3D(1, 3, strides=2, padding="same", name="coarse"),
            layers.GlobalAveragePooling3D(),
            layers.Dense(2),
        ]
    )
    spacing = (4.0, 1.0, 1.0)
    radii = Radii(values=(4.0, 8.0), spacing_mm=spacing)
    assert radii.unit == "mm"
    assert radii.voxels(3) == ((1, 4, 4), (2, 8, 8))
    rows = layer_table(network_of(model, spacing_mm=spacing), radii)
    for row in rows:
        worst = [worst_ball_dice(axes, row.layer, (12, 32, 32)) for axes in ((1, 4, 4), (2, 8, 8))]
        assert row.dice == pytest.approx(worst)
        # About a cell's centre, one of the placements, it is no lower.
        offset, stride, cells = row.layer.offset, row.layer.stride, row.layer.cells
        centre = [o + s * ((n - 1) // 2) for o, s, n in zip(offset, stride, cells, strict=True)]
        z, y, x = np.ogrid[:12, :32, :32]
        inside = (z - centre[0]) ** 2 + ((y - centre[1]) / 4) ** 2 + ((x - centre[2]) / 4) ** 2 <= 1
        assert row.dice[0] <= perfect_map_dice(inside, row.layer)


def test_the_decoder_of_a_u_net_shows_what_its_bottom_does_not():
    """What goes through the outermost skip bypasses all that lies deeper."""
    network = network_of(u_net(layers.MaxPooling2D))
    rows = layer_table(network, Radii(values=(2.0,)), bypassed=True)
    dice = {row.layer.name: row.dice[0] for row in rows}
    assert dice["target"] == 1 > dice["up2"] > dice["bottom"]
    assert [row.layer.name for row in rows if not row.bypassed] == ["down1", "skip1", "target"]
    assert [row.layer.name for row in rows if row.last] == ["target"]


@pytest.mark.parametrize(
    ("grid", "spacing", "values"),
    [
        ((64, 128, 128), (), (2, 4, 8)),
        ((48, 64, 64), (5.0, 5.0, 5.0), (7.5, 15, 30)),
        ((64, 128, 128), (1.0, 2.0, 2.0), (2, 4, 8)),
        ((15, 15, 15), (), (1, 1.9)),  # less than a voxel is no object
        ((20, 256, 256), (5.0, 1.0, 1.0), (5, 6.2, 12)),
        ((224, 224), (), (7, 14, 28)),
    ],
)
def test_default_radii(grid, spacing, values):
    radii = default_radii(grid, spacing)
    assert (radii.values, radii.spacing_mm) == (values, spacing)


@pytest.mark.parametrize("values", [(), (0.0,), (2.0, -1.0), (float("inf"),), (float("nan"),)])
def test_radii_are_positive(values):
    with pytest.raises(ConfigError, match=r"Expected positive radii, .* Give --radius in voxels"):
        Radii(values=values)


def test_a_layer_that_the_network_lacks_is_refused():
    with pytest.raises(ConfigError, match=r"received 'gone'\. Choose one of \['stem'"):
        layer_table(network_of(residual(), explained=("gone",)), RADII)


def row(name, index=0, last=False, explained=False, bypassed=False, **place):
    geometry = {"cells": (12, 28, 28), "offset": (8.5,) * 3, "stride": (4.0,) * 3} | place
    layer = CamLayer(name=name, receptive_field=(20.0, 20.0, 21.5), **geometry)
    return LayerRow(
        index=index,
        layer=layer,
        channels=64 if index is not None else None,
        covers=0.276,
        dice=(0.405, 1.0),
        last=last,
        explained=explained,
        bypassed=bypassed,
    )


def test_the_table_as_text():
    rows = [
        row("conv3", last=True, explained=True),
        row("a/fine", None, bypassed=True, offset=(0.0, -0.25, 1 / 3), stride=(1.0, 0.5, 0.5)),
    ]
    lines = table_text(rows, Radii(values=(2.0, 12.5))).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "# layer cells stride offset field channels covers r=2 r=12.5",
        "0 conv3 12×28×28 4 8.5 20×20×21.5 64 28% 0.41 1.00 last, explained",
        "a/fine 12×28×28 1×0.5×0.5 0, -0.25, 0.3333 20×20×21.5 28% 0.41 1.00 bypassed",
    ]
    for head, below in (("cells", "28×28"), ("stride", "0.5"), ("field", "21.5"), ("r=2", "0.41")):
        end = lines[0].index(head) + len(head)
        assert lines[2][:end].endswith(below)
    assert lines[1].index("conv3") == lines[2].index("a/fine") == lines[0].index("layer")
    assert lines[1].index("last") == lines[2].index("bypassed")


def test_the_table_of_a_volume_network_fits_a_terminal():
    model = keras_ct((64, 128, 128), filters=(1, 1, 1, 1))
    network = network_of(model, explained=("conv4",))
    rows = layer_table(network, Radii(values=(4.0, 8.0)))
    lines = table_text(rows, Radii(values=(4.0, 8.0))).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[-1].endswith("last, explained")
    assert cam_layer(model, -1) == rows[-1].layer
