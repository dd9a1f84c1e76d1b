"""`Client` and `AsyncClient` offer the same."""

import inspect

import pytest

from vcam_client import AsyncClient, Client

METHODS = sorted(
    name for name, value in vars(Client).items() if callable(value) and not name.startswith("_")
)


def test_they_have_the_same_methods() -> None:
    other = {n for n, v in vars(AsyncClient).items() if callable(v) and not n.startswith("_")}
    assert other == set(METHODS)
    assert {"predict", "predict_all", "scores", "spec", "status", "health"} <= other


@pytest.mark.parametrize("name", ["__init__", *METHODS])
def test_a_method_takes_the_same_arguments(name: str) -> None:
    blocking, awaited = (inspect.signature(getattr(c, name)) for c in (Client, AsyncClient))
    assert blocking.parameters.items() == awaited.parameters.items()
    if name != "__init__":
        assert inspect.iscoroutinefunction(getattr(AsyncClient, name))
