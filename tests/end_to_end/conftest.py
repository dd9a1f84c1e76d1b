"""A server with the golden models."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from golden import Golden

    from vcam_serving import EmbeddedServer


@pytest.fixture(scope="session")
def server(golden: "dict[str, Golden]") -> "Iterator[EmbeddedServer]":
    """Serves every golden model by its name."""
    from vcam_serving import EmbeddedServer

    base = golden["ct"].path.parents[1]
    with EmbeddedServer(base, port=0, rest_port=0) as running:
        for name in golden:
            running.wait_until_available(name)
        yield running
