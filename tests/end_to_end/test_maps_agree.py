"""The client's map and the graph's are the same map."""

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest

from vcam_client import Client, Volume, place
from vcam_client._calls import Call, Target
from vcam_client._connection import connection
from vcam_client._grpc import GrpcTransport

if TYPE_CHECKING:
    from golden import Golden
    from served.server import ServerUnderTest


def volume_on_grid(golden: "Golden", seed: int) -> Volume:
    """A volume that already lies on the model's grid: no resampling."""
    grid = golden.spec.grid
    sizes = grid.shape if grid.ndim == 3 else (1, *grid.shape)
    spacing = grid.spacing_mm or (1.0,) * len(sizes)
    low, high = golden.spec.intensity.window or (-1.0, 1.0)
    tensor = np.random.default_rng(seed).uniform(low, high, sizes)
    if golden.spec.intensity.dtype == "int16":
        tensor = np.rint(tensor)
    # stored so that its own axes are those of the tensor, slowest last
    world = {"L": (0, -1), "R": (0, 1), "P": (1, -1), "A": (1, 1), "I": (2, -1), "S": (2, 1)}
    affine = np.eye(4)
    for stored, code in enumerate(reversed(grid.axes)):
        axis, sign = world[code]
        affine[:3, stored] = 0
        affine[axis, stored] = sign * (*(() if grid.ndim == 3 else (1,)), *spacing)[2 - stored]
    return Volume(data=tensor.transpose(2, 1, 0).astype(np.float32), affine=affine)


@pytest.mark.parametrize("name", ["ct", "mr", "radiograph", "regression", "findings", "bright"])
@pytest.mark.parametrize("seed", [0, 1])
def test_on_the_model_s_own_grid_the_client_s_heatmap_is_the_served_one(
    name: str, seed: int, golden: "dict[str, Golden]", server: "ServerUnderTest"
) -> None:
    model = golden[name]
    volume = volume_on_grid(model, seed)
    placement = place(volume, model.spec.grid, model.spec.slice_aggregation)
    tensor = placement.to_model(volume.data, model.spec.intensity.dtype)
    np.testing.assert_array_equal(tensor, volume.data.transpose(2, 1, 0))  # nothing resampled
    batch = tensor[None, ..., None] if model.spec.grid.ndim == 3 else tensor[..., None]
    call = Call(
        target=Target(model=name),
        signature="serving_default",
        inputs={"volume": batch},
        outputs=("scores", "class_index", "heatmap"),
    )
    transport = GrpcTransport(server.address, connection(server.address))
    with closing(transport), Client(server.address) as client:
        served = transport.predict(call, 60)
        prediction = client.predict(volume, model=name)
    np.testing.assert_allclose(prediction.scores, served.outputs["scores"][0], atol=1e-6)
    assert prediction.class_index == served.outputs["class_index"][0]
    heatmap = served.outputs["heatmap"].reshape(tensor.shape)
    if prediction.evidence.found:
        assert heatmap.max() > 0.1
        ours = prediction.heatmap().transpose(2, 1, 0)
        np.testing.assert_allclose(ours, heatmap, atol=1e-5)
    else:
        assert not prediction.heatmap().any()
