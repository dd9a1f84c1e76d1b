"""A finished run of each task."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shapes import shapes_config, shapes_known

from vcam_training import train


@pytest.fixture(scope="module", autouse=True)
def known() -> Iterator[None]:
    with shapes_known():
        yield


@pytest.fixture(scope="package")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run of a task, trained when it is first asked for."""
    folder = tmp_path_factory.mktemp("runs")

    def run(task: str) -> Path:
        return train.run(shapes_config(task), folder / task, data_folder=folder)

    return run
