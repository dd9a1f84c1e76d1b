"""A server that answers with tensor_content, over gRPC alone."""

from typing import TYPE_CHECKING

import numpy as np
from end_to_end.test_maps_agree import volume_on_grid

from vcam_client import Client

if TYPE_CHECKING:
    from golden import Golden
    from served.server import ServerUnderTest


def test_the_client_reads_it_as_it_reads_typed_fields(
    golden: "dict[str, Golden]", server: "ServerUnderTest"
) -> None:
    from vcam_serving import EmbeddedServer

    base = golden["ct"].path.parents[1]
    with EmbeddedServer(base, port=0, rest_port=None, tensor_content=True) as other:
        other.wait_until_available("ct")
        volume = volume_on_grid(golden["ct"], 0)
        with Client(other.address) as packed, Client(server.address) as typed:
            assert packed.spec("ct").spec == typed.spec("ct").spec
            one, two = (c.predict(volume, model="ct") for c in (packed, typed))
    np.testing.assert_array_equal(one.scores, two.scores)
    np.testing.assert_array_equal(one.cam, two.cam)
