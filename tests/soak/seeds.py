"""Small sound files of every kind; what is mutated. Each carries SECRET wherever it can."""

import bz2
import gzip
import io
import struct
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import nibabel as nib
import numpy as np
import tifffile
from client.dicom_files import write_series
from client.dicom_instances import compress, directory, enhanced, in_syntax, instance, to_bytes
from PIL import Image

SECRET = "Xyzzy"
"""Part of every patient's name, number and so on; never to be seen in a message."""

_TAGS = {
    "PatientName": f"{SECRET}^Private",
    "PatientID": f"{SECRET}1",
    "AccessionNumber": f"{SECRET}2",
    "StudyDescription": f"{SECRET}3",
    "SeriesDescription": f"{SECRET}4",
    "InstitutionName": f"{SECRET}5",
    "StudyInstanceUID": "1.2.3",
    "SeriesNumber": 1,
}


@dataclass(frozen=True)
class Seed:
    """A sound input.

    Attributes:
        kind: how it is mutated: "nifti", "dicom", "text" (a header of lines) or "bytes".
        name: of the file that is read.
        data: what is mutated.
        packed: "" or "gzip", "zip", "deflate": how `data` is packed after mutation.
        beside: further files of the folder.
    """

    kind: str
    name: str
    data: bytes
    packed: str = ""
    beside: tuple[tuple[str, bytes], ...] = ()


def seeds() -> list[Seed]:
    """All of them, the same in every run but for UIDs."""
    return [*_nifti(), *_dicom(), *_archives(), *_others(), *_research()]


def _nifti() -> list[Seed]:
    rng = np.random.default_rng(0)
    affine = np.array([[-2, 0.1, 0, 9], [0, 2, 0.2, 8], [0, 0, 3, 7], [0, 0, 0, 1.0]])
    voxels = rng.integers(-1000, 1000, (9, 8, 7)).astype(np.int16)
    one, two = nib.Nifti1Image(voxels, affine), nib.Nifti2Image(voxels.astype(">f4"), affine)
    one.header["descrip"] = two.header["descrip"] = SECRET.encode()
    one.header.set_slope_inter(2, -7)
    several = nib.Nifti1Image(rng.random((5, 4, 3, 2)), affine)
    plain = one.to_bytes()
    pair = struct.pack("<f", 0.0)
    header = plain[:108] + pair + plain[112:344] + b"ni1\0" + bytes(4)
    return [
        Seed("nifti", "a.nii", plain),
        Seed("nifti", "b.nii.gz", plain, "gzip"),
        Seed("nifti", "c.nii", two.to_bytes()),
        Seed("nifti", "d.nii.gz", several.to_bytes(), "gzip"),
        Seed("bytes", "e.nii.gz", gzip.compress(plain)),
        Seed("nifti", "f.hdr", header, beside=(("f.img", voxels.tobytes(order="F")),)),
    ]


def _dicom() -> list[Seed]:
    rng = np.random.default_rng(1)
    plane = rng.integers(0, 4000, (16, 18)).astype(np.uint16)
    stack = rng.integers(0, 4000, (4, 10, 12)).astype(np.uint16)
    codecs = {
        "1.2.840.10008.1.2.4.70": lambda a: imagecodecs.jpeg_encode(a, lossless=True),
        "1.2.840.10008.1.2.4.80": imagecodecs.jpegls_encode,
        "1.2.840.10008.1.2.4.90": lambda a: imagecodecs.jpeg2k_encode(
            a, codecformat="j2k", reversible=True
        ),
        "1.2.840.10008.1.2.5": rle_frame,
    }
    padded = {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 3}
    deflated = in_syntax(instance(plane, **_TAGS), "1.2.840.10008.1.2.1.99")
    return [
        Seed("dicom", "a.dcm", to_bytes(instance(plane, **_TAGS, **padded))),
        Seed("bytes", "implicit.dcm", in_syntax(instance(plane, **_TAGS), "1.2.840.10008.1.2")),
        Seed("bytes", "big.dcm", in_syntax(instance(plane, **_TAGS), "1.2.840.10008.1.2.2")),
        Seed("dicom", "multi.dcm", to_bytes(enhanced(stack, rescale=(1, -1024), **_TAGS))),
        Seed("dicom", "each.dcm", to_bytes(enhanced(stack, shared=False, **_TAGS))),
        *(
            Seed("dicom", f"c{n}.dcm", to_bytes(compress(instance(plane, **_TAGS), [f(plane)], s)))
            for n, (s, f) in enumerate(codecs.items())
        ),
        *(
            Seed(
                "dicom",
                f"m{n}.dcm",
                to_bytes(
                    compress(enhanced(stack, **_TAGS), [f(x) for x in stack], s, table="extended")
                ),
            )
            for n, (s, f) in enumerate(codecs.items())
        ),
        Seed("bytes", "deflated.dcm", deflated),
        Seed("dicom", "inside.dcm", to_bytes(instance(plane, **_TAGS)), "deflate"),
    ]


def _archives() -> list[Seed]:
    rng = np.random.default_rng(2)
    voxels = rng.integers(0, 2000, (4, 10, 12)).astype(np.uint16)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_series(folder / "series", voxels, **_TAGS)
        listed = directory(paths, folder / "media")
        beside = tuple(
            (str(p.relative_to(listed.parent)), p.read_bytes())
            for p in sorted(listed.parent.rglob("*"))
            if p.is_file() and p != listed
        )
        files = [p.read_bytes() for p in paths]
        records = listed.read_bytes()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for n, data in enumerate(files):
            archive.writestr(f"{n}.dcm", data)
    others = tuple((f"s/{n}.dcm", data) for n, data in enumerate(files[1:], 1))
    return [
        Seed("bytes", "series.zip", stream.getvalue()),
        Seed("dicom", "member.zip", files[0], "zip", others),
        Seed(
            "dicom", "media/DICOMDIR", records, beside=tuple((f"media/{n}", d) for n, d in beside)
        ),
        Seed("dicom", "s/0.dcm", files[0], "folder", others),
    ]


def _others() -> list[Seed]:
    voxels = np.random.default_rng(3).integers(0, 2000, (3, 10, 12)).astype(np.uint16)
    tiff, png, npy = io.BytesIO(), io.BytesIO(), io.BytesIO()
    tifffile.imwrite(tiff, voxels, photometric="minisblack", description=SECRET)
    Image.fromarray((voxels[0] // 8).astype(np.uint8)).save(png, "PNG")
    np.save(npy, voxels)
    kinds = (("a.tif", tiff), ("a.png", png), ("a.npy", npy))
    return [Seed("bytes", name, stream.getvalue()) for name, stream in kinds]


def _research() -> list[Seed]:
    """NRRD, MetaImage and MGH."""
    voxels = np.random.default_rng(4).integers(-900, 900, (6, 5, 4)).astype("<i2")
    plain = voxels.tobytes(order="F")
    nrrd = (
        f"NRRD0004\n# {SECRET}\ntype: short\ndimension: 3\nspace: left-posterior-superior\n"
        "sizes: 6 5 4\nspace directions: (1,0,0) (0,1.5,0) (0,0.1,2)\nkinds: domain domain domain\n"
        f"endian: little\nencoding: %s\nspace origin: (1,2,3)\nname:={SECRET}\n%s\n"
    )
    meta = (
        f"ObjectType = Image\nNDims = 3\nComment = {SECRET}\nBinaryData = True\n"
        "BinaryDataByteOrderMSB = False\nCompressedData = %s\nTransformMatrix = 1 0 0 0 0 1 0 1 0\n"
        "Offset = 1 2 3\nElementSpacing = 1 1.5 2\nDimSize = 6 5 4\nElementType = MET_SHORT\n"
        "ElementDataFile = %s\n"
    )
    kinds = [
        Seed("text", "a.nrrd", (nrrd % ("raw", "")).encode() + plain),
        Seed("text", "b.nrrd", (nrrd % ("gzip", "")).encode() + gzip.compress(plain)),
        Seed("text", "c.nrrd", (nrrd % ("bzip2", "")).encode() + bz2.compress(plain)),
        Seed("text", "d.nhdr", (nrrd % ("raw", "data file: d.raw\n")).encode(),
             beside=(("d.raw", plain),)),
        Seed("text", "a.mha", (meta % ("False", "LOCAL")).encode() + plain),
        Seed("text", "b.mha", (meta % ("True", "LOCAL")).encode() + zlib.compress(plain)),
        Seed("text", "c.mhd", (meta % ("False", "c.raw")).encode(), beside=(("c.raw", plain),)),
    ]  # fmt: skip
    mgh = nib.MGHImage(
        voxels.astype(np.int16), np.diag([-1, -1, 2, 1]).astype(np.float32)
    ).to_bytes()
    return [
        *kinds,
        Seed("bytes", "a.mgh", mgh + SECRET.encode()),
        Seed("bytes", "b.mgz", mgh + SECRET.encode(), "gzip"),
    ]


def rle_frame(pixels: np.ndarray) -> bytes:
    """PS3.5 G, written here from its text: one PackBits segment a byte, the highest first."""
    count = pixels.dtype.itemsize
    raw = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    segments = [imagecodecs.packbits_encode(raw[n::count]) for n in range(count)]
    segments = [s + b"\0" * (len(s) % 2) for s in segments]
    offsets = np.cumsum([64, *map(len, segments[:-1])])
    head = struct.pack("<16I", count, *offsets.tolist(), *[0] * (15 - count))
    return head + b"".join(segments)
