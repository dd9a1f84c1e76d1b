"""Fixtures for all tests."""

import os
from typing import TYPE_CHECKING

import pytest
from served.fixtures import (  # noqa: F401
    caller,
    each_model,
    pytest_generate_tests,
    rest_address,
    server,
    subject,
)
from served.options import pytest_addoption  # noqa: F401

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

if TYPE_CHECKING:
    from golden import Golden


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> "dict[str, Golden]":
    """{name: exported golden model}; `["ct"].path.parent.parent` is a folder of models."""
    from golden import build_golden

    return build_golden(tmp_path_factory.mktemp("golden"))
