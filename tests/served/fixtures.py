"""Fixtures: the server under test, shared by the whole session."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from served.calls import Caller
    from served.server import ServedModel, ServerUnderTest

_EXPORTED_WITHIN_SECONDS = 120.0


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> "Iterator[ServerUnderTest]":
    """The server under test: the one of --server, or the embedded server on the golden models."""
    from served.server import ServerUnderTest, models_in, wait_until_served

    options = request.config.option
    if options.server:
        if options.model_base is None:
            raise pytest.UsageError("--server needs --model-base PATH, the folder that it serves")
        base = options.model_base.resolve()
        if not models_in(base, options.model_name):
            _export_golden(base)
        models = models_in(base, options.model_name)
        wait_until_served(options.server, models, _EXPORTED_WITHIN_SECONDS)
        yield ServerUnderTest(options.server, options.rest_server or "", models)
        return

    from vcam_serving import EmbeddedServer

    base = request.getfixturevalue("golden")["ct"].path.parent.parent
    with EmbeddedServer(base, port=0, rest_port=0) as embedded:
        yield ServerUnderTest(embedded.address, embedded.rest_address, models_in(base))


@pytest.fixture(scope="session")
def rest_address(server: "ServerUnderTest") -> str:
    """The server's REST address; skips when it has none."""
    if not server.rest_address:
        pytest.skip("no --rest-server given")
    return server.rest_address


@pytest.fixture(scope="session")
def caller(server: "ServerUnderTest") -> "Iterator[Caller]":
    """Official stubs on the server under test."""
    from served.calls import Caller

    with Caller(server.address) as caller:
        yield caller


@pytest.fixture(scope="session")
def subject(server: "ServerUnderTest") -> "ServedModel":
    """The model for rows that need any one: `ct` if there is such a model."""
    return server.models.get("ct") or next(iter(server.models.values()))


@pytest.fixture(scope="session")
def each_model(request: pytest.FixtureRequest, server: "ServerUnderTest") -> "ServedModel":
    """Each model that is served, one after the other."""
    return server.models[request.param]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "each_model" in metafunc.fixturenames:
        from served.server import GOLDEN_NAMES, models_in

        options = metafunc.config.option
        found = models_in(options.model_base, options.model_name) if options.model_base else {}
        metafunc.parametrize("each_model", list(found) or GOLDEN_NAMES, indirect=True)


def _export_golden(base: Path) -> None:
    from golden import build_golden

    build_golden(base)
