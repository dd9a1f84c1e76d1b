"""Thousands of ways to damage a file: each is read, or refused with an error of vcam.

A process of its own with 4 GiB of address space; the mutations are the same in every run.
"""

import gzip
import io
import subprocess
import sys

import imagecodecs
import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

MUTATIONS = 150
"""Of each file; thousands of each were tried while the readers were written."""

_TIMEOUT_SECONDS = 60
_CODE = """
import random, resource, sys, time, warnings
from pathlib import Path

resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
warnings.simplefilter("error")

from vcam_client import read_volume
from vcam_client.errors import VcamError

folder, mutations = Path(sys.argv[1]), int(sys.argv[2])
rng = random.Random(0)
for source in sorted(folder.iterdir()):
    whole = source.read_bytes()
    target = folder.parent / source.name.partition("_")[2]
    counts = {"read": 0, "refused": 0}
    for n in range(mutations):
        damaged = bytearray(whole)
        if n % 4 == 0:
            del damaged[rng.randrange(1, len(whole)) :]
        for _ in range(n % 4 and rng.choice((1, 2, 5, 20))):
            # half of them where headers are
            at = rng.randrange(len(whole) if n % 2 else min(len(whole), 500))
            damaged[at] = rng.choice((0, 1, 127, 255, damaged[at] ^ 1 << rng.randrange(8)))
        target.write_bytes(damaged)
        start = time.monotonic()
        try:
            read_volume(target, **({} if ".nii" in target.name else {"spacing": 1}))
            counts["read"] += 1
        except VcamError as error:
            assert len(str(error)) > 40, error
            counts["refused"] += 1
        assert time.monotonic() - start < 10, "a hang"
    print(source.name, counts["read"], counts["refused"])
"""


def tiff(data: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, data, photometric="minisblack", **options)
    return stream.getvalue()


def samples() -> dict[str, bytes]:
    """{number_name: content} of small files of all kinds."""
    data = np.random.default_rng(0).integers(0, 1000, (5, 12, 10)).astype(np.uint16)
    nifti = nib.Nifti1Image(data, np.diag([-1, 1, 2, 1])).to_bytes()
    npy, jpeg = io.BytesIO(), io.BytesIO()
    np.save(npy, data)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray((data[0] % 256).astype(np.uint8)).save(jpeg, "JPEG", exif=exif)
    um = {"axes": "ZYX", "spacing": 0.7, "unit": "um"}
    made = {
        "x.nii": [nifti, nib.Nifti2Image(data.astype("f4"), np.eye(4)).to_bytes()],
        "x.nii.gz": [gzip.compress(nifti, mtime=0)],
        "x.tif": [
            tiff(data),
            tiff(data, imagej=True, resolution=(2, 2), metadata=um),
            tiff(data, ome=True, metadata={"axes": "ZYX", "PhysicalSizeX": 2.0}),
            tiff(data, compression="zlib", predictor=True, tile=(16, 16)),
            tiff(data, compression="lzw", metadata=None),
            tiff(data, bigtiff=True, compression="zstd", byteorder=">"),
        ],
        "x.npy": [npy.getvalue()],
        "x.png": [imagecodecs.png_encode(data[0])],
        "x.jpg": [jpeg.getvalue()],
    }
    named = [(name, content) for name, contents in made.items() for content in contents]
    return {f"{n:02d}_{name}": content for n, (name, content) in enumerate(named)}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, int]]:
    """{file: (mutations read, mutations refused)}"""
    folder = tmp_path_factory.mktemp("damaged") / "whole"
    folder.mkdir()
    for name, content in samples().items():
        (folder / name).write_bytes(content)
    command = [sys.executable, "-c", _CODE, str(folder), str(MUTATIONS)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name: (int(read), int(refused)) for name, read, refused in lines}


@pytest.mark.parametrize("name", samples())
def test_damage_is_refused_by_name_or_harmless(
    name: str, outcome: dict[str, tuple[int, int]]
) -> None:
    read, refused = outcome[name]
    assert read + refused == MUTATIONS
    assert refused >= MUTATIONS / 4  # the truncated ones at least


@pytest.mark.parametrize("name", [name for name in samples() if name.endswith((".gz", ".png"))])
def test_checksums_find_all_but_harmless_damage(
    name: str, outcome: dict[str, tuple[int, int]]
) -> None:
    assert outcome[name][1] >= 0.95 * MUTATIONS
