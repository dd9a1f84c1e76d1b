"""pytest options of the contract tests: which server they talk to.

Without options the tests start the embedded server on the golden models. Any
other server is tested with

    pytest tests/contract --server HOST:PORT --rest-server HOST:PORT --model-base PATH

PATH is the folder that it serves: of models, each served by its name, or of
the versions of a single model (its name: --model-name, by default the folder's).
In a folder without models the golden models are exported first.
"""

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vcam", "the server under test (contract tests)")
    group.addoption("--server", metavar="HOST:PORT", help="gRPC address of a running server")
    group.addoption("--rest-server", metavar="HOST:PORT", help="its REST address")
    group.addoption(
        "--model-base", type=Path, metavar="PATH", help="the folder of models that it serves"
    )
    group.addoption(
        "--model-name", metavar="NAME", help="PATH holds the versions of this one model"
    )
