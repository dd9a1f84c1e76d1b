"""Where real scans lie, for the tests that use them.

`VCAM_TEST_DATA` names a folder with `nifti/` and `dicom/`; by default
`../shared/data` beside the repository. Nothing of it is ever committed.
"""

import os
from pathlib import Path

import pytest

from vcam_client import Volume, read_volume
from vcam_client.errors import InputError

ROOT = Path(
    os.environ.get("VCAM_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)

needs_data = pytest.mark.skipif(
    not (ROOT / "nifti").is_dir(), reason="no real scans: set VCAM_TEST_DATA to a folder of them"
)


def regular_cts() -> list[Path]:
    """Every regular CT: NIfTI files named ct*, DICOM series of modality CT on a regular grid."""
    found = []
    for path in sorted((ROOT / "nifti").glob("[cC][tT]*")) + sorted((ROOT / "dicom").glob("*")):
        try:
            volume = read_volume(path)
        except InputError:
            continue
        if 1 not in volume.shape and volume.modality in ("", "CT"):
            found.append(path)
    return found


def blank(volume: Volume, value: float) -> Volume:
    """The same geometry with one value everywhere."""
    import dataclasses

    import numpy as np

    return dataclasses.replace(volume, data=np.full(volume.shape, value, np.float32))
