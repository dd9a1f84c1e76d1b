"""What tests of one series share: voxels, tags, and what is found of a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from client.dicom_files import MR, write_slice

from vcam_client._dicom import find_series

VOXELS = np.random.default_rng(0).integers(0, 2000, (6, 5, 7)).astype(np.int16)
MR_TAGS: dict[str, Any] = {"Modality": "MR", "SOPClassUID": MR}


def shapes(path: Path) -> list[tuple[int, int, int]]:
    return [series.shape for series in find_series(path).series]


def rows_of(path: Path) -> list[tuple[str, ...]]:
    return [series.differs for series in find_series(path).series]


def write_frames(folder: Path, voxels: np.ndarray, tags: Callable[[int], dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for n, pixels in enumerate(voxels):
        write_slice(folder / f"{n}.dcm", pixels, (0, 0, 2 * n), **tags(n))
