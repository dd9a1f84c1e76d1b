"""Warnings of reading libraries stay with vcam; filters that users set stay theirs."""

import io
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from client.dicom_files import write_series
from client.dicom_instances import compress, enhanced, to_bytes
from PIL import Image

from vcam_client import _pictures, _tiff, read_volume
from vcam_client._quiet import quiet, quietly
from vcam_client.errors import VcamError

STACK = np.random.default_rng(1).integers(0, 4000, (12, 10, 11)).astype(np.uint16)


@pytest.fixture(autouse=True)
def filters() -> Iterator[list[object]]:
    """The filters as a user set them, in a list of its own; as they were in the end."""
    kept = warnings.filters
    warnings.filters = list(kept)
    warnings.simplefilter("once", DeprecationWarning)
    before = list(warnings.filters)
    yield before
    after = list(warnings.filters)
    warnings.filters = kept
    assert after == before


def scans(folder: Path) -> list[Path]:
    """One of each kind whose library may warn, sound and damaged."""
    with quiet():
        write_series(folder / "series", STACK, PatientID="x" * 80)  # too long: pydicom warns
    several = compress(
        enhanced(STACK), [imagecodecs.jpegls_encode(x) for x in STACK], "1.2.840.10008.1.2.4.80"
    )
    (folder / "several.dcm").write_bytes(to_bytes(several))
    tifffile.imwrite(folder / "a.tif", STACK, photometric="minisblack")
    image = Image.fromarray((STACK[0] // 16).astype(np.uint8))
    for kind in ("png", "jpg"):
        image.save(folder / f"a.{kind}")
    stream = io.BytesIO()
    image.save(stream, "PNG")
    (folder / "b.png").write_bytes(stream.getvalue()[:-20])
    return sorted(p for p in folder.iterdir())


def read(path: Path) -> None:
    try:
        read_volume(path, spacing=1 if path.suffix == ".tif" else None)
    except VcamError:
        assert path.name == "b.png"


def test_reads_in_many_threads_leave_the_users_filters(
    tmp_path: Path, filters: list[object]
) -> None:
    paths = scans(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, paths * 20))
    assert warnings.filters == filters


def test_readers_that_overlap_leave_the_users_filters(
    tmp_path: Path, filters: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A TIFF, then a PNG is opened, and the TIFF is finished first."""
    scans(tmp_path)
    begun, opened, finished = threading.Event(), threading.Event(), threading.Event()

    class Slow(tifffile.TiffFile):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            begun.set()
            assert opened.wait(60)

    def slowly(*args: Any, **options: Any) -> Any:
        opened.set()
        assert finished.wait(60)
        return Image.open(*args, **options)

    def reads_tiff() -> None:
        read(tmp_path / "a.tif")
        finished.set()

    monkeypatch.setattr(_tiff.tifffile, "TiffFile", Slow)
    monkeypatch.setattr(_pictures, "Image", SimpleNamespace(open=slowly))
    with ThreadPoolExecutor(2) as pool:
        tiff = pool.submit(reads_tiff)
        assert begun.wait(60)
        pool.submit(read, tmp_path / "a.png").result()
        tiff.result()
    assert warnings.filters == filters


def test_what_users_set_while_a_scan_is_read_stays(filters: list[object]) -> None:
    with quiet():
        warnings.filterwarnings("ignore", "of mine")
    filters.insert(0, warnings.filters[0])
    assert warnings.filters[0][1].pattern == "of mine"  # type: ignore[union-attr]


def test_a_users_catch_warnings_around_the_end_of_a_read_brings_nothing_back(
    filters: list[object],
) -> None:
    reader, users = quiet(), warnings.catch_warnings()
    reader.__enter__()
    users.__enter__()
    reader.__exit__(None, None, None)
    assert warnings.filters == filters
    users.__exit__(None, None, None)
    assert warnings.filters == filters


def test_only_readers_are_quiet() -> None:
    inside, done = threading.Event(), threading.Event()

    def reads() -> None:
        with quiet():
            warnings.warn("of a patient", UserWarning, stacklevel=1)
            inside.set()
            done.wait(60)

    with ThreadPoolExecutor(1) as pool, warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        reading = pool.submit(reads)
        assert inside.wait(60)
        warnings.warn("of the user", UserWarning, stacklevel=1)
        done.set()
        reading.result()
    assert [str(w.message) for w in seen] == ["of the user"]


def test_steps_are_quiet_and_what_is_between_them_is_not() -> None:
    def steps() -> Iterator[int]:
        for n in range(3):
            warnings.warn("of a patient", UserWarning, stacklevel=1)
            yield n

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        outside = list(warnings.filters)
        for n in quietly(steps()):
            assert warnings.filters == outside
            warnings.warn(f"after {n}", UserWarning, stacklevel=1)
    assert [str(w.message) for w in seen] == ["after 0", "after 1", "after 2"]
