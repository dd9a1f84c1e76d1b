"""NRRD and MetaImage headers as people, other programs and attackers write them."""

import bz2
import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vcam_client import read_volume
from vcam_client.errors import CorruptFileError, InputError, UnsupportedFormatError, VcamError

SHAPE = (3, 4, 5)
DATA = np.random.default_rng(3).integers(-1000, 1000, SHAPE).astype("<i2")
BYTES = DATA.tobytes(order="F")
SECRET = "Xyzzy"


def nrrd(voxels: bytes = BYTES, **fields: Any) -> bytes:
    """An NRRD; fields with _ for a space, those that are None left out."""
    stated = {
        "type": "short",
        "dimension": "3",
        "sizes": "3 4 5",
        "encoding": "raw",
        "endian": "little",
        "space": "left-posterior-superior",
        "space directions": "(1,0,0) (0,2,0) (0,0,3)",
        "space origin": "(10,20,30)",
    } | {name.replace("_", " "): value for name, value in fields.items()}
    lines = [f"{name}: {value}" for name, value in stated.items() if value is not None]
    text = "\n".join(["NRRD0004", "# a comment", *lines, f"patient:={SECRET}", "", ""])
    return text.encode() + voxels


def meta(voxels: bytes = BYTES, **fields: Any) -> bytes:
    """A MetaImage; fields that are None left out."""
    stated = {
        "ObjectType": "Image",
        "NDims": "3",
        "Comment": SECRET,
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "10 20 30",
        "ElementSpacing": "1 2 3",
        "DimSize": "3 4 5",
        "ElementType": "MET_SHORT",
    } | fields
    last = stated.pop("ElementDataFile", "LOCAL")
    lines = [f"{name} = {value}" for name, value in stated.items() if value is not None]
    return "\n".join([*lines, f"ElementDataFile = {last}", ""]).encode() + voxels


PLACE = np.array([[-1, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1.0]])


def read(folder: Path, name: str, content: bytes, **options: Any) -> Any:
    path = folder / name
    path.write_bytes(content)
    return read_volume(path, **options)


BIG = DATA.astype(">i2").tobytes(order="F")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.nrrd", nrrd()),
        ("a.nrrd", nrrd(BIG, endian="big")),
        ("a.nrrd", nrrd().replace(b"\n", b"\r\n", 14)),
        ("a.nrrd", nrrd(gzip.compress(BYTES), encoding="gz")),
        ("a.nrrd", nrrd(bz2.compress(BYTES), encoding="bzip2")),
        ("a.nrrd", nrrd(b"abc" + BYTES, byte_skip="3")),
        ("a.nrrd", nrrd(b"any length" + BYTES, byte_skip="-1")),
        ("a.nrrd", nrrd(b"one\ntwo\n" + BYTES, line_skip="2")),
        ("a.nrrd", nrrd(b"one\n" + gzip.compress(b"ab" + BYTES), lineskip="1", byteskip="2",
                        encoding="gzip")),
        ("a.nrrd", nrrd(space_units='"mm" "mm" "mm"', kinds="domain domain domain")),
        ("a.nrrd", nrrd(space_units='"cm" "cm" "cm"', space_origin="(1,2,3)",
                        space_directions="(0.1,0,0) (0,.2,0) (0,0,.3)")),
        ("a.nrrd", nrrd(space_units='"microns" "micron" "um"', space_origin="(10000,20000,30000)",
                        space_directions="(1000,0,0) (0,2000,0) (0,0,3000)")),
        # a key/value pair may be called as a field is
        ("a.nrrd", nrrd().replace(b"patient:=", b"sizes:=")),
        ("scan", nrrd()),
        ("a.mha", meta()),
        ("a.mha", meta(BIG, BinaryDataByteOrderMSB="True")),
        ("a.mha", meta(BIG, BinaryDataByteOrderMSB=None, ElementByteOrderMSB="True")),
        ("a.mha", meta().replace(b"\n", b"\r\n", 11)),
        ("a.mha", meta(zlib.compress(BYTES), CompressedData="True")),
        ("a.mha", meta(gzip.compress(BYTES), CompressedData="True")),
        ("a.mha", meta(b"any length" + BYTES, HeaderSize="-1")),
        ("a.mha", meta(Offset=None, Position="10 20 30", TransformMatrix=None,
                       Rotation="1 0 0 0 1 0 0 0 1", ElementSpacing=None, ElementSize="1 2 3")),
        # of a field that is stated twice, ITK takes the later
        ("a.mha", b"DimSize = 5 4 3\nElementSpacing = 7 7 7\nOffset = 1 1 1\n" + meta()),
        ("a.mha", meta(CenterOfRotation="5 6 7", AnatomicalOrientation="RAS")),
        ("a.mha", meta(ElementSpacing="-1 -2 3", TransformMatrix="-1 0 0 0 -1 0 0 0 1")),
    ],
)  # fmt: skip
def test_ways_to_write_the_same(tmp_path: Path, name: str, content: bytes) -> None:
    volume = read(tmp_path, name, content)
    np.testing.assert_array_equal(volume.data, DATA)
    assert volume.data.dtype == np.int16
    assert volume.data.dtype.isnative
    np.testing.assert_allclose(volume.affine, PLACE, rtol=1e-12)


def test_met_long_has_4_bytes(tmp_path: Path) -> None:
    content = meta(DATA.astype("<i4").tobytes(order="F"), ElementType="MET_LONG")
    volume = read(tmp_path, "a.mha", content)
    np.testing.assert_array_equal(volume.data, DATA)
    assert volume.data.dtype == np.int32


def detached(folder: Path, named: str, kind: str) -> Path:
    path = folder / f"scan.{kind}"
    if kind == "nhdr":
        path.write_bytes(nrrd(b"", data_file=named))
    else:
        path.write_bytes(meta(b"", ElementDataFile=named))
    return path


@pytest.mark.parametrize("kind", ["nhdr", "mhd"])
@pytest.mark.parametrize("named", ["scan.raw", "./scan.raw", "voxels/scan.raw", "voxels\\scan.raw"])
def test_a_data_file_beside_the_header(tmp_path: Path, kind: str, named: str) -> None:
    data = tmp_path / named.replace("\\", "/")
    data.parent.mkdir(exist_ok=True)
    data.write_bytes(BYTES)
    volume = read_volume(detached(tmp_path, named, kind))
    np.testing.assert_array_equal(volume.data, DATA)
    np.testing.assert_allclose(volume.affine, PLACE)


@pytest.mark.parametrize("kind", ["nhdr", "mhd"])
@pytest.mark.parametrize(
    "named",
    ["{outside}", "../outside.raw", "voxels/../../outside.raw", "C:\\data\\outside.raw",
     "..\\outside.raw", "link.raw", "folder/outside.raw", "\\\\server\\share\\outside.raw"],
)  # fmt: skip
def test_a_data_file_elsewhere_is_never_opened(tmp_path: Path, kind: str, named: str) -> None:
    outside, inside = tmp_path / "outside.raw", tmp_path / "inside"
    outside.write_bytes(BYTES)
    (inside / "voxels").mkdir(parents=True)
    (inside / "link.raw").symlink_to(outside)
    (inside / "folder").symlink_to(tmp_path)
    with pytest.raises(InputError, match="in its own folder, received a path or a link") as error:
        read_volume(detached(inside, named.format(outside=outside), kind))
    assert "outside" not in str(error.value)


@pytest.mark.parametrize("kind", ["nhdr", "mhd"])
@pytest.mark.parametrize("named", [f"{SECRET}.raw", "voxels", "pipe"])
def test_a_data_file_that_is_missing_or_no_file(tmp_path: Path, kind: str, named: str) -> None:
    (tmp_path / "voxels").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CorruptFileError, match="missing beside it") as error:
        read_volume(detached(tmp_path, named, kind))
    assert SECRET not in str(error.value)


HUGE = "100000 100000 100000"


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (nrrd(BYTES[:-1]), CorruptFileError, "breaks off"),
        (nrrd(BYTES + bytes(2**20 + 1)), CorruptFileError, "holds more"),
        (nrrd(gzip.compress(BYTES)[:-3], encoding="gzip"), CorruptFileError, "breaks off|checksum"),
        (nrrd(gzip.compress(BYTES[:-2]), encoding="gzip"), CorruptFileError, "breaks off"),
        (nrrd(gzip.compress(BYTES + bytes(2**20 + 1)), encoding="gzip"), CorruptFileError, "more"),
        (nrrd(bz2.compress(BYTES)[:-3], encoding="bzip2"), CorruptFileError, "breaks off|checksum"),
        (nrrd(b"BZh9" + bytes(50), encoding="bzip2"), CorruptFileError, "checksum"),
        (nrrd(bz2.compress(bytes(99)), encoding="bzip2", sizes="1000 1000 1000"), InputError,
         "more than vcam unpacks"),
        (nrrd(gzip.compress(BYTES), encoding="gzip", sizes="1000 1000 1000"), CorruptFileError,
         "can hold"),
        (nrrd(sizes=HUGE), InputError, "more than the limit"),
        (nrrd(sizes="2000000000 1 1", type="double"), InputError, "|".join(("limit", "breaks"))),
        (nrrd(sizes="99999999999999999999 1 1"), InputError, "more than the limit"),
        (nrrd(sizes="3 4 5 99999999999999999999", dimension="4", space_directions="(1,0,0) "
              "(0,2,0) (0,0,3) none"), InputError, "99999999999999999998"),
        (nrrd(sizes="3 4"), CorruptFileError, "can't be read"),
        (nrrd(sizes="3 4 0"), CorruptFileError, "can't be read"),
        (nrrd(sizes="3 4 -5"), CorruptFileError, "can't be read"),
        (nrrd(sizes="3 4 5.5"), CorruptFileError, "can't be read"),
        (nrrd(sizes=None), CorruptFileError, "can't be read"),
        (nrrd(dimension=None), CorruptFileError, "can't be read"),
        (nrrd(dimension="three"), CorruptFileError, "can't be read"),
        (nrrd(type="block"), UnsupportedFormatError, "numeric type"),
        (nrrd(type=None), UnsupportedFormatError, "numeric type"),
        (nrrd(endian=None), CorruptFileError, "byte order"),
        (nrrd(encoding="ascii"), UnsupportedFormatError, "as text"),
        (nrrd(encoding="hex"), UnsupportedFormatError, "as text"),
        (nrrd(encoding="zstd"), CorruptFileError, "can't be read"),
        (nrrd(byte_skip="-2"), CorruptFileError, "can't be read"),
        (nrrd(byte_skip="9" * 18), CorruptFileError, "breaks off"),
        (nrrd(line_skip="-1"), CorruptFileError, "can't be read"),
        (nrrd(line_skip="1000000"), InputError, "fewer lines"),
        (nrrd(space_directions="(1,0,0) (0,2,0)"), CorruptFileError, "contradicts|can't be read"),
        (nrrd(space_directions="(1,0,0) (0,2) (0,0,3)"), CorruptFileError, "can't be read"),
        (nrrd(space_directions="(1,0,0) (1,0,0) (0,0,3)"), InputError, "span space"),
        (nrrd(space_directions="(1,0,0) none none"), UnsupportedFormatError, "states 1"),
        (nrrd(space_origin="(1,2)"), CorruptFileError, "contradicts"),
        (nrrd(space_origin="(1,nan,2)"), InputError, "finite"),
        (nrrd(space_units='"inch" "inch" "inch"'), InputError, "unit of length"),
        (nrrd(space_units='"mm'), CorruptFileError, "can't be read"),
        (nrrd(kinds="domain domain"), CorruptFileError, "contradicts"),
        (nrrd(data_file="LIST"), UnsupportedFormatError, "several files"),
        (nrrd(data_file="s%03d.raw 1 5 1"), UnsupportedFormatError, "several files"),
        (nrrd(sizes="3 4 5\nsizes: 4 4 5"), CorruptFileError, "can't be read"),
        (nrrd()[:90], CorruptFileError, "can't be read|no end"),
        (b"NRRD0004\n" + b"x" * 2**20, CorruptFileError, "can't be read"),
    ],
)  # fmt: skip
def test_nrrd_that_is_damaged_or_hostile(
    tmp_path: Path, content: bytes, error: type[VcamError], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        read(tmp_path, "scan.nrrd", content)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (meta(BYTES[:-1]), CorruptFileError, "breaks off"),
        (meta(BYTES + bytes(2**20 + 1)), CorruptFileError, "holds more"),
        (meta(BYTES[:-1], HeaderSize="-1"), CorruptFileError, "header|breaks off"),
        (meta(zlib.compress(BYTES)[:-3], CompressedData="True"), CorruptFileError, "checksum"),
        (meta(zlib.compress(BYTES[:-2]), CompressedData="True"), CorruptFileError, "breaks off"),
        (meta(bytes(60), CompressedData="True"), CorruptFileError, "checksum"),
        (meta(b"", CompressedData="True"), CorruptFileError, "can hold"),
        (meta(zlib.compress(BYTES), CompressedData="True", DimSize="1000 1000 1000"),
         CorruptFileError, "can hold"),
        (meta(DimSize=HUGE), InputError, "more than the limit"),
        (meta(DimSize="3 4 5", ElementNumberOfChannels=str(10**12)), InputError, "limit"),
        (meta(DimSize="3 4"), CorruptFileError, "can't be read"),
        (meta(DimSize="3 4 0"), CorruptFileError, "can't be read"),
        (meta(DimSize="3 4 five"), CorruptFileError, "can't be read"),
        (meta(DimSize="3 4 -5"), CorruptFileError, "can't be read"),
        (meta(NDims="11", DimSize="1 " * 11), CorruptFileError, "can't be read"),
        (meta(NDims="1", DimSize="60"), CorruptFileError, "can't be read"),
        (meta(NDims=None), CorruptFileError, "can't be read"),
        (meta(ElementType=None), CorruptFileError, "can't be read"),
        (meta(ElementType="MET_STRING"), UnsupportedFormatError, "numeric type"),
        (meta(ElementNumberOfChannels="0"), CorruptFileError, "can't be read"),
        (meta(BinaryData="False"), UnsupportedFormatError, "as text"),
        (meta(ObjectType="Tube"), UnsupportedFormatError, "not an image"),
        (meta(ElementDataFile="LIST"), UnsupportedFormatError, "several files"),
        (meta(ElementDataFile="s%03d.raw 1 5 1"), UnsupportedFormatError, "several files"),
        (meta(HeaderSize="3"), CorruptFileError, "can't be read"),
        (meta(HeaderSize="-2"), CorruptFileError, "can't be read"),
        (meta(HeaderSize="9" * 18), CorruptFileError, "breaks off"),
        (meta(TransformMatrix="1 0 0 0 1 0"), CorruptFileError, "contradicts"),
        (meta(TransformMatrix="1 0 0 1 0 0 0 0 1"), InputError, "span space"),
        (meta(Offset="1 2"), CorruptFileError, "contradicts"),
        (meta(Offset="1 nan 2"), InputError, "finite"),
        (meta(ElementSpacing="1,2,3"), CorruptFileError, "contradicts"),
        (meta(ElementSpacing="1 0 3"), InputError, "other than 0"),
        (meta(ElementSpacing="1 2 inf"), InputError, "finite"),
        (b"no header\n" + BYTES, UnsupportedFormatError, "not a MetaImage"),
        (BYTES, UnsupportedFormatError, "not a MetaImage"),
        (meta()[:100], CorruptFileError, "can't be read"),
        (b"NDims = 3\n" + b"a = b\n" * 2**18, CorruptFileError, "can't be read"),
    ],
)  # fmt: skip
def test_metaimage_that_is_damaged_or_hostile(
    tmp_path: Path, content: bytes, error: type[VcamError], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        read(tmp_path, "scan.mha", content)
    assert SECRET not in str(caught.value)


def test_a_name_that_promises_nrrd(tmp_path: Path) -> None:
    with pytest.raises(
        CorruptFileError, match=r"named as a \.nrrd file, but does not begin as one"
    ):
        read(tmp_path, "scan.nrrd", BYTES)


NO_PLACE = {"space": None, "space_directions": None, "space_origin": None}


def test_spacings_without_directions_are_those_of_a_laboratory(tmp_path: Path) -> None:
    for content in (
        nrrd(**NO_PLACE, spacings="1 2 3"),
        nrrd(**NO_PLACE, spacings="1000 2000 3000", units='"um" "µm" "microns"'),
        meta(TransformMatrix=None, Offset=None),
    ):
        volume = read(tmp_path, "a.nrrd" if content[:4] == b"NRRD" else "a.mha", content)
        np.testing.assert_array_equal(volume.data, DATA)
        np.testing.assert_allclose(volume.affine, np.diag([-1, -2, 3, 1]))
        assert not volume.anatomical


def test_no_spacing_is_asked_for_and_a_stated_one_is_not_replaced(tmp_path: Path) -> None:
    unstated = {
        "a.nrrd": [nrrd(**NO_PLACE), nrrd(**NO_PLACE, spacings="1 2 nan")],
        "a.mha": [meta(ElementSpacing=None)],
    }
    for name, contents in unstated.items():
        for content in contents:
            with pytest.raises(InputError, match="State it with --spacing"):
                read(tmp_path, name, content)
            volume = read(tmp_path, name, content, spacing=(1, 2, 3))
            assert volume.spacing == (1, 2, 3)
            np.testing.assert_array_equal(volume.data, DATA)
    for name, content in (("a.nrrd", nrrd()), ("a.nrrd", nrrd(**NO_PLACE, spacings="1 2 3")),
                          ("a.mha", meta())):  # fmt: skip
        with pytest.raises(InputError, match="states its own spacing"):
            read(tmp_path, name, content, spacing=1)


def test_directions_in_no_anatomical_space_are_remarked(tmp_path: Path) -> None:
    for content in (
        nrrd(space=None, space_dimension="3"),
        nrrd(space="3D-right-handed"),
        nrrd(space="scanner-xyz"),
    ):
        volume = read(tmp_path, "a.nrrd", content)
        np.testing.assert_allclose(volume.affine, PLACE)
        assert "not in which anatomical space" in volume.warnings[0]
        assert not volume.anatomical
        with pytest.raises(InputError, match="With --strict"):
            read_volume(tmp_path / "a.nrrd", strict=True)


@pytest.mark.parametrize(
    ("name", "spacing"),
    [("spacings.nrrd", None), ("bare.nrrd", 1.5), ("space.nrrd", None), ("a.mha", None)],
)
def test_directions_that_are_not_stated_are_remarked(
    tmp_path: Path, name: str, spacing: float | None
) -> None:
    content = {
        "spacings.nrrd": nrrd(**NO_PLACE, spacings="1 2 3"),
        "bare.nrrd": nrrd(**NO_PLACE),
        "space.nrrd": nrrd(space_directions=None, space_origin=None, spacings="1 2 3"),
        "a.mha": meta(TransformMatrix=None),
    }[name]
    volume = read(tmp_path, name, content, spacing=spacing)
    assert volume.orientation == ("L", "P", "S")
    assert not volume.anatomical
    assert len(volume.warnings) == 1
    assert "states no directions in a patient" in volume.warnings[0]
    with pytest.raises(InputError, match=r"With --strict, .*no directions in a patient"):
        read_volume(tmp_path / name, spacing=spacing, strict=True)


def test_pictures_have_no_directions_to_state(tmp_path: Path) -> None:
    flat = {"dimension": "2", "sizes": "3 4"}
    (tmp_path / "a.nrrd").write_bytes(nrrd(BYTES[:24], **NO_PLACE, **flat))
    (tmp_path / "a.mha").write_bytes(
        meta(
            BYTES[:24],
            NDims="2",
            DimSize="3 4",
            TransformMatrix=None,
            Offset=None,
            ElementSpacing=None,
        )
    )
    for name in ("a.nrrd", "a.mha"):
        volume = read_volume(tmp_path / name, strict=True)
        assert volume.is_picture
        assert volume.warnings == ()


def test_a_slice_in_space(tmp_path: Path) -> None:
    content = nrrd(BYTES[:24], dimension="2", sizes="3 4", space_directions="(0,2,0) (0,0,3)")
    volume = read(tmp_path, "a.nrrd", content)
    np.testing.assert_array_equal(volume.data[..., 0], DATA[..., 0])
    np.testing.assert_allclose(
        volume.affine, [[0, 0, -1, -10], [-2, 0, 0, -20], [0, 3, 0, 30], [0, 0, 0, 1]]
    )
    assert "1 mm" in volume.warnings[0]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 2, 3), (2, 0, 1, 3), (3, 0, 1, 2)])
def test_axes_that_are_not_in_space_count_volumes(tmp_path: Path, order: tuple[int, ...]) -> None:
    """Axis 0 of `values` is not in space; it stands at any place in the file."""
    values = np.random.default_rng(8).integers(0, 999, (2, *SHAPE)).astype("<i2")
    place = order.index(0) if order[0] == 0 else order[0]
    moved = np.moveaxis(values, 0, place)
    steps = ["(1,0,0)", "(0,2,0)", "(0,0,3)"]
    steps.insert(place, "none")
    kinds = ["domain"] * 3
    kinds.insert(place, "list")
    content = nrrd(
        moved.tobytes(order="F"),
        dimension="4",
        sizes=" ".join(map(str, moved.shape)),
        space_directions=" ".join(steps),
        kinds=" ".join(kinds),
    )
    for n in range(2):
        volume = read(tmp_path, "a.nrrd", content, volume_index=n)
        np.testing.assert_array_equal(volume.data, values[n])
        np.testing.assert_allclose(volume.affine, PLACE)
    with pytest.raises(InputError, match="received 2 volumes of 3×4×5 voxels"):
        read_volume(tmp_path / "a.nrrd")


def test_time_as_the_fourth_axis_of_space(tmp_path: Path) -> None:
    values = np.random.default_rng(8).integers(0, 999, (*SHAPE, 2)).astype("<i2")
    content = nrrd(
        values.tobytes(order="F"),
        dimension="4",
        sizes="3 4 5 2",
        space="left-posterior-superior-time",
        space_directions="(1,0,0,0) (0,2,0,0) (0,0,3,0) (0,0,0,0.5)",
        space_origin="(10,20,30,0)",
    )
    volume = read(tmp_path, "a.nrrd", content, volume_index=1)
    np.testing.assert_array_equal(volume.data, values[..., 1])
    np.testing.assert_allclose(volume.affine, PLACE)
    assert volume.anatomical


@pytest.mark.parametrize(("kind", "said"), [("RGB-color", "colours"), ("complex", "complex")])
def test_colours_and_complex_numbers_are_refused(tmp_path: Path, kind: str, said: str) -> None:
    count = 3 if said == "colours" else 2
    content = nrrd(
        BYTES * count,
        dimension="4",
        sizes=f"{count} 3 4 5",
        space_directions="none (1,0,0) (0,2,0) (0,0,3)",
        kinds=f"{kind} domain domain domain",
    )
    with pytest.raises(UnsupportedFormatError, match=said):
        read(tmp_path, "a.nrrd", content)


def test_what_itk_leaves_aside_is_remarked(tmp_path: Path) -> None:
    content = meta(ElementToIntensityFunctionSlope="2", ElementToIntensityFunctionOffset="-1024")
    volume = read(tmp_path, "a.mha", content)
    np.testing.assert_array_equal(volume.data, DATA * 2.0 - 1024)
    assert volume.data.dtype == np.float32
    assert "multiplied by 2" in volume.warnings[0]
    with pytest.raises(InputError, match="With --strict"):
        read_volume(tmp_path / "a.mha", strict=True)


@pytest.mark.parametrize(("unit", "mm"), [("nm", 1e-6), ("um", 1e-3), ("CM", 10), ("m", 1000)])
def test_distances_of_a_metaimage_become_millimetres(tmp_path: Path, unit: str, mm: float) -> None:
    volume = read(tmp_path, "a.mha", meta(DistanceUnits=unit))
    np.testing.assert_allclose(volume.affine[:3], PLACE[:3] * mm)
    assert unit in volume.warnings[0]


@pytest.mark.parametrize("unit", ["mm", "?", ""])
def test_millimetres_of_a_metaimage_are_read_without_a_warning(tmp_path: Path, unit: str) -> None:
    volume = read(tmp_path, "a.mha", meta(DistanceUnits=unit))
    np.testing.assert_allclose(volume.affine[:3], PLACE[:3])
    assert volume.warnings == ()


def test_a_unit_of_a_metaimage_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="as its DistanceUnits"):
        read(tmp_path, "a.mha", meta(DistanceUnits="parsec"))


@pytest.mark.parametrize(
    ("slope", "offset"), [("nan", "0"), ("inf", "0"), ("0", "5"), ("1", "nan"), ("2", "-inf")]
)
def test_a_slope_or_offset_that_no_values_can_have_is_refused(
    tmp_path: Path, slope: str, offset: str
) -> None:
    content = meta(ElementToIntensityFunctionSlope=slope, ElementToIntensityFunctionOffset=offset)
    with pytest.raises(CorruptFileError, match="Repair its ElementToIntensityFunctionSlope"):
        read(tmp_path, "a.mha", content)


def test_an_index_of_a_volume_that_is_not_there(tmp_path: Path) -> None:
    for name, maker in (("a.nrrd", nrrd), ("a.mha", meta)):
        with pytest.raises(InputError, match="Leave out --volume-index"):
            read(tmp_path, name, maker(), volume_index=1)
        with pytest.raises(InputError, match="Leave out --series"):
            read(tmp_path, name, maker(), series=1)
