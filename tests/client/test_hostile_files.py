"""Files that mean harm: paths that lead out, bombs, lies about sizes, links, devices."""

import gc
import io
import os
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import nibabel as nib
import numpy as np
import pytest
from client.dicom_files import write_series
from client.dicom_instances import compress, directory, in_syntax, instance, to_bytes
from soak.seeds import rle_frame

from vcam_client import read_volume
from vcam_client._dicom import header, sources
from vcam_client.batch import FoundScans, find_scans
from vcam_client.errors import CorruptFileError, InputError, UnsupportedFormatError, VcamError
from vcam_client.inspection import inspect_scan

VOXELS = np.random.default_rng(0).integers(0, 2000, (4, 6, 7)).astype(np.int16)
PLANE = np.random.default_rng(1).integers(0, 2000, (64, 64)).astype(np.uint16)


@pytest.fixture
def series(tmp_path: Path) -> list[bytes]:
    return [path.read_bytes() for path in write_series(tmp_path / "written", VOXELS)]


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_names_in_an_archive_lead_nowhere(tmp_path: Path, series: list[bytes]) -> None:
    names = ["../out.dcm", "/tmp/absolute.dcm", "a/../../b.dcm", "C:\\win\\c.dcm"]
    inner = tmp_path / "inner"
    inner.mkdir()
    path = zipped(inner / "a.zip", dict(zip(names, series, strict=True)))
    before = sorted(tmp_path.rglob("*"))
    np.testing.assert_array_equal(read_volume(path).data, VOXELS.transpose(2, 1, 0))
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/tmp/absolute.dcm").exists()


def test_links_and_locked_members_of_an_archive_are_left_out(
    tmp_path: Path, series: list[bytes]
) -> None:
    path = zipped(tmp_path / "a.zip", {f"{n}.dcm": data for n, data in enumerate(series)})
    link = zipfile.ZipInfo("link.dcm")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert read_volume(path).shape == (7, 6, 4)
    locked = bytearray(zipped(tmp_path / "b.zip", {"a.dcm": series[0]}).read_bytes())
    at = locked.index(b"PK\x01\x02")
    locked[at + 8] |= 1
    locked[6] |= 1
    (tmp_path / "b.zip").write_bytes(locked)
    with pytest.raises(UnsupportedFormatError, match="encrypted"):
        read_volume(tmp_path / "b.zip")


def test_an_archive_is_not_open_between_reads(tmp_path: Path, series: list[bytes]) -> None:
    whole = zipped(tmp_path / "a.zip", {f"{n}.dcm": data for n, data in enumerate(series)})
    damaged = zipped(tmp_path / "b.zip", {f"{n}.dcm": data[:-9] for n, data in enumerate(series)})
    found = sources.find_sources(whole)
    with pytest.raises(CorruptFileError) as kept:
        read_volume(damaged)
    opened = {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}
    assert not opened & {str(whole.resolve()), str(damaged.resolve())}, kept
    with found.files[0].open() as stream:
        assert stream.read() == series[0]


def test_no_error_of_an_archive_keeps_it_for_the_garbage_collector(
    tmp_path: Path, series: list[bytes]
) -> None:
    sound = zipped(tmp_path / "a.zip", {f"{n}.dcm": data for n, data in enumerate(series)})
    whole = sound.read_bytes()
    listed = whole.index(b"PK\1\2")
    first = 30 + sum(struct.unpack("<HH", whole[26:30]))  # behind the name and the extra field
    damaged = {
        "list": whole[: listed + 30] + b"\xff\xff" + whole[listed + 32 :],
        "cut": whole[: listed + 9],
        "packed": whole[:first] + bytes(40) + whole[first + 40 :],
    }
    gc.collect()
    before = {id(o) for o in gc.get_objects() if isinstance(o, zipfile.ZipFile)}
    gc.disable()
    try:
        kept: list[object] = [sources.find_sources(sound)]
        for name, content in damaged.items():
            path = tmp_path / f"{name}.zip"
            path.write_bytes(content)
            with pytest.raises(CorruptFileError) as error:
                sources.find_sources(path).files[0].open()
            kept.append(error)
        left = [o for o in gc.get_objects() if isinstance(o, zipfile.ZipFile)]
        assert [o for o in left if id(o) not in before] == [], kept
    finally:
        gc.enable()


def test_the_list_of_an_archive_is_read_once(
    tmp_path: Path, series: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "a.zip", {f"{n}.dcm": data for n, data in enumerate(series)})
    found = sources.find_sources(path)
    monkeypatch.setattr(zipfile, "_EndRecData", lambda stream: pytest.fail("read again"))
    for source, data in zip(found.files, series, strict=True):
        with source.open() as stream:
            assert stream.read() == data


def test_archives_within_archives_are_not_opened(tmp_path: Path) -> None:
    data = bytes(10_000_000)
    for depth in range(3):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{depth}.zip", data)
        data = stream.getvalue()
    (tmp_path / "nested.zip").write_bytes(data)
    with pytest.raises(UnsupportedFormatError, match="not DICOM"):
        read_volume(tmp_path / "nested.zip")


def test_a_member_that_states_more_than_the_limit_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_UNPACKED_INSTANCE_BYTES", 1_000_000)
    path = zipped(tmp_path / "big.zip", {"a.dcm": bytes(1_000_001)})
    with pytest.raises(InputError, match="more than vcam unpacks"):
        read_volume(path)


def test_a_member_that_unpacks_to_more_than_it_states_is_cut(
    tmp_path: Path, series: list[bytes]
) -> None:
    whole = zipped(tmp_path / "a.zip", {"a.dcm": series[0] + bytes(5_000_000)}).read_bytes()
    stated = len(series[0]) + 5_000_000
    lying = whole.replace(struct.pack("<I", stated), struct.pack("<I", 600))
    assert lying != whole
    (tmp_path / "a.zip").write_bytes(lying)
    with pytest.raises(CorruptFileError):
        read_volume(tmp_path / "a.zip")


def test_a_member_that_expands_beyond_what_deflate_can_is_a_bomb(
    tmp_path: Path, series: list[bytes]
) -> None:
    whole = zipped(tmp_path / "a.zip", {"a.dcm": series[0]}).read_bytes()
    lying = whole.replace(struct.pack("<I", len(series[0])), struct.pack("<I", 2**30))
    assert lying != whole
    (tmp_path / "a.zip").write_bytes(lying)
    with pytest.raises(InputError, match="states 1073741824 bytes"):
        read_volume(tmp_path / "a.zip")


def test_a_deflated_bomb_is_inflated_up_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = in_syntax(instance(PLANE), "1.2.840.10008.1.2.1.99")
    end = 144 + struct.unpack("<I", data[140:144])[0]
    body = zlib.decompress(data[end:], -15) + bytes(3_000_000)
    packer = zlib.compressobj(9, wbits=-15)
    (tmp_path / "a.dcm").write_bytes(data[:end] + packer.compress(body) + packer.flush())
    monkeypatch.setattr(header, "MAX_UNPACKED_INSTANCE_BYTES", 1_000_000)
    with pytest.raises(InputError, match="inflates to more than 1000000"):
        read_volume(tmp_path / "a.dcm")


def resized(stream: bytes, kind: str) -> bytes:
    """A codestream that states 65535×65535 pixels."""
    changed = bytearray(stream)
    if kind == "j2k":
        at = stream.index(b"\xff\x51")
        changed[at + 6 : at + 14] = struct.pack(">II", 65535, 65535)
    else:
        at = next(stream.index(m) for m in (b"\xff\xc0", b"\xff\xc3", b"\xff\xf7") if m in stream)
        changed[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    return bytes(changed)


@pytest.mark.parametrize("kind", ["j2k", "jpegls", "lossless", "baseline"])
def test_a_compressed_image_of_another_size_is_not_decoded(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    syntax, encode = {
        "j2k": ("4.90", lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k")),
        "jpegls": ("4.80", imagecodecs.jpegls_encode),
        "lossless": ("4.70", lambda a: imagecodecs.jpeg_encode(a, lossless=True)),
        "baseline": ("4.50", lambda a: imagecodecs.jpeg_encode((a // 16).astype(np.uint8))),
    }[kind]
    stream = resized(bytes(encode(PLANE)), kind)

    def must_not(data: bytes) -> None:
        raise AssertionError("decoded")

    from vcam_client._dicom import codec

    uid = f"1.2.840.10008.1.2.{syntax}"
    monkeypatch.setitem(codec.CODECS, uid, (codec.CODECS[uid][0], must_not))
    dataset = compress(instance(PLANE), [stream], uid)
    (tmp_path / "a.dcm").write_bytes(to_bytes(dataset))
    with pytest.raises(CorruptFileError, match=r"header states 64×64.*65535×65535"):
        read_volume(tmp_path / "a.dcm")


def test_jpeg_ls_without_an_end_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CharLS 2.4 never returns from some streams that are damaged and have no end marker."""
    stream = bytes(imagecodecs.jpegls_encode(PLANE))
    assert stream.endswith(b"\xff\xd9")
    uid = "1.2.840.10008.1.2.4.80"
    whole = compress(instance(PLANE), [stream], uid)
    (tmp_path / "whole.dcm").write_bytes(to_bytes(whole))
    assert read_volume(tmp_path / "whole.dcm").shape == (64, 64, 1)

    def must_not(data: bytes) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(imagecodecs, "jpegls_decode", must_not)
    dataset = compress(instance(PLANE), [stream[:-2]], uid)
    (tmp_path / "a.dcm").write_bytes(to_bytes(dataset))
    with pytest.raises(CorruptFileError, match="its end is missing"):
        read_volume(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("<16I", 2, 64, 2**32 - 1, *[0] * 13),
        struct.pack("<16I", 2, 2**31, 64, *[0] * 13),
        struct.pack("<16I", 2, 500, 64, *[0] * 13),
        struct.pack("<16I", 2, 0, 0, *[0] * 13),
        struct.pack("<16I", 15, *range(64, 79)),
        struct.pack("<16I", 2**32 - 1, *[64] * 15),
        b"\2\0\0\0",
    ],
)
def test_rle_with_wrong_offsets_is_damaged(tmp_path: Path, head: bytes) -> None:
    stream = head + rle_frame(PLANE)[64:1000]
    dataset = compress(instance(PLANE), [stream], "1.2.840.10008.1.2.5")
    (tmp_path / "a.dcm").write_bytes(to_bytes(dataset))
    with pytest.raises(CorruptFileError, match="RLE"):
        read_volume(tmp_path / "a.dcm")


@pytest.mark.parametrize("claims", [{"Rows": 32767, "Columns": 65535}, {"NumberOfFrames": 10**5}])
def test_nothing_is_allocated_for_pixels_that_are_not_there(
    tmp_path: Path, claims: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.dcm").write_bytes(to_bytes(instance(PLANE, **claims)))

    def must_not(*args: object) -> None:
        raise AssertionError("allocated")

    monkeypatch.setattr("vcam_client._dicom.pixels._room", must_not)
    with pytest.raises(CorruptFileError):
        read_volume(tmp_path / "a.dcm")


def test_links_pipes_and_loops_in_a_folder_are_left_alone(
    tmp_path: Path, series: list[bytes]
) -> None:
    folder = tmp_path / "scan"
    folder.mkdir()
    for n, data in enumerate(series):
        (folder / f"{n}.dcm").write_bytes(data)
    (folder / "loop").symlink_to(folder)
    (folder / "elsewhere").symlink_to(tmp_path / "written")
    (folder / "again.dcm").symlink_to(folder / "0.dcm")
    (folder / "nowhere.dcm").symlink_to(folder / "missing")
    os.mkfifo(folder / "pipe.dcm")
    os.mkfifo(folder / "pipe")
    found: list[object] = []
    reading = threading.Thread(target=lambda: found.append(read_volume(folder).shape), daemon=True)
    reading.start()
    reading.join(10)
    assert found == [(7, 6, 4)]


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_no_scan(device: str) -> None:
    if not Path(device).exists():
        pytest.skip(f"no {device} here")
    with pytest.raises(VcamError, match="neither a file nor a folder"):
        read_volume(device)


def test_a_pipe_is_no_scan(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.dcm")
    with pytest.raises(UnsupportedFormatError, match="neither a file nor a folder"):
        read_volume(tmp_path / "a.dcm")


def outcome(call: Callable[[], object]) -> object:
    """What a call returns or raises; None where it waits for a pipe that no one writes to."""
    outcomes: list[object] = []

    def work() -> None:
        try:
            outcomes.append(call())
        except Exception as error:
            outcomes.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(10)
    return outcomes[0] if outcomes else None


@pytest.mark.parametrize("read", [read_volume, inspect_scan, lambda path: find_scans([path])])
@pytest.mark.parametrize("name", ["pipe", "pipe.dcm", "pipe.nii.gz", "pipe.zip", "pipe.mhd"])
def test_a_pipe_that_is_given_is_not_opened(
    tmp_path: Path, name: str, read: Callable[[Path], object]
) -> None:
    os.mkfifo(tmp_path / name)
    error = outcome(lambda: read(tmp_path / name))
    assert isinstance(error, UnsupportedFormatError)
    assert "neither a file nor a folder but a pipe. Save the scan as a file" in str(error)


@pytest.mark.parametrize(("name", "mate"), [("a.hdr", "a.img"), ("a.img", "a.hdr")])
def test_a_pipe_is_not_half_of_a_pair(tmp_path: Path, name: str, mate: str) -> None:
    nib.save(nib.Nifti1Pair(VOXELS, np.eye(4)), tmp_path / "a.hdr")
    (tmp_path / mate).unlink()
    os.mkfifo(tmp_path / mate)
    error = outcome(lambda: read_volume(tmp_path / name))
    assert isinstance(error, CorruptFileError)
    assert f"{mate} is missing beside it" in str(error)


def test_a_pipe_that_a_pattern_fits_is_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").write_bytes(b"x")
    found = outcome(lambda: find_scans([f"{tmp_path}/*.nii.gz"]))
    assert isinstance(found, FoundScans)
    assert [item.key for item in found] == ["b.nii.gz"]
    assert found.left_out == {"no regular file": 1}


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="no /dev/fd here")
@pytest.mark.parametrize("read", [read_volume, inspect_scan, lambda path: find_scans([path])])
def test_what_a_shell_gives_in_place_of_a_file_is_refused(read: Callable[[str], object]) -> None:
    """As in `vcam-client predict <(cat scan.nii.gz)`."""
    reading, writing = os.pipe()
    try:
        os.write(writing, b"\x1f\x8b" + bytes(400))
        os.close(writing)
        with pytest.raises(UnsupportedFormatError, match="but a pipe"):
            read(f"/dev/fd/{reading}")
    finally:
        os.close(reading)


@pytest.mark.parametrize("name", ["..", ".", "/etc/passwd", "C:\\a", "a/b"])
def test_a_dicomdir_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    import pydicom

    paths = write_series(tmp_path / "s", VOXELS, StudyInstanceUID="1.2.3", SeriesNumber=1)
    listed = directory(paths, tmp_path / "media")
    dataset = pydicom.dcmread(listed)
    wrong = 0
    for record in dataset.DirectoryRecordSequence:
        if "ReferencedFileID" in record:
            record["ReferencedFileID"]._value = [name, *["s", "IM001"][: 1 + wrong]]
            wrong += 1
    dataset.save_as(listed)
    assert wrong == len(VOXELS)
    with pytest.raises(InputError, match="leads out of the folder"):
        read_volume(listed)
