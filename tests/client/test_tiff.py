"""TIFF stacks, single TIFF pictures, folders of slices."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from vcam_client import read_volume
from vcam_client.errors import (
    CorruptFileError,
    InconsistentSeriesError,
    InputError,
    UnsupportedFormatError,
)

STACK = np.random.default_rng(0).integers(0, 40000, (5, 24, 18)).astype(np.uint16)
"""[slices, rows, columns]"""
UM = {"axes": "ZYX", "spacing": 3.0, "unit": "um"}
OME = {
    "axes": "ZYX",
    "PhysicalSizeX": 1.5,
    "PhysicalSizeY": 2.0,
    "PhysicalSizeZ": 0.004,
    "PhysicalSizeZUnit": "mm",
}


def write(path: Path, data: np.ndarray = STACK, **options: Any) -> Path:
    tifffile.imwrite(path, data, **{"photometric": "minisblack", **options})
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metadata": None},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"ome": True, "metadata": {"axes": "ZYX"}},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"bigtiff": True, "byteorder": ">", "metadata": None},
        {"tile": (16, 16), "compression": "zlib", "predictor": True},
        {"compression": "lzw"},
        {"compression": "zstd", "rowsperstrip": 5},
        {"compression": "lzma"},
        {"compression": "packbits"},
    ],
    ids=str,
)
def test_a_stack_is_read_as_columns_rows_slices(tmp_path: Path, options: dict[str, Any]) -> None:
    volume = read_volume(write(tmp_path / "soil.tif", **options), spacing=(0.1, 0.2, 0.3))
    np.testing.assert_array_equal(volume.data, STACK.transpose(2, 1, 0))
    assert volume.data.dtype == np.uint16
    np.testing.assert_allclose(volume.affine, np.diag([-0.1, -0.2, 0.3, 1]))
    assert volume.orientation == ("L", "P", "S")
    assert (volume.units, volume.modality, volume.name) == ("", "", "soil")
    assert not volume.is_picture


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u4", "i4", "f2", "f4", "f8", ">i2", "?"])
def test_values_keep_their_type(tmp_path: Path, dtype: str) -> None:
    data = (STACK % 2 if dtype == "?" else STACK % 100).astype(dtype)
    volume = read_volume(write(tmp_path / "s.tif", data), spacing=1)
    np.testing.assert_array_equal(volume.data, data.transpose(2, 1, 0))
    assert volume.data.dtype == (np.uint8 if dtype == "?" else np.dtype(dtype).newbyteorder("="))


def test_pages_written_one_by_one_are_one_stack(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as file:
        for plane in STACK:
            file.write(plane, photometric="minisblack", contiguous=False, metadata=None)
    volume = read_volume(tmp_path / "s.tif", spacing=1)
    np.testing.assert_array_equal(volume.data, STACK.transpose(2, 1, 0))


def test_imagej_states_its_spacing_with_a_unit(tmp_path: Path) -> None:
    path = write(tmp_path / "s.tif", imagej=True, resolution=(1 / 1.5, 1 / 2.0), metadata=UM)
    np.testing.assert_allclose(read_volume(path).spacing, (0.0015, 0.002, 0.003), rtol=1e-5)
    assert read_volume(path, spacing=7).spacing == (7, 7, 7)


def test_an_imagej_stack_of_one_directory_is_read_whole(tmp_path: Path) -> None:
    # as ImageJ writes stacks over 4 GB: one directory, then all slices in a row
    text = "ImageJ=1.54\nimages=5\nslices=5\nunit=mm\nspacing=2.0\n"
    path = write(
        tmp_path / "s.tif",
        STACK[0],
        description=text,
        metadata=None,
        byteorder=">",
        resolution=(2, 2),
    )
    with path.open("ab") as stream:
        stream.write(STACK[1:].astype(">u2").tobytes())
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data, STACK.transpose(2, 1, 0))
    assert volume.spacing == (0.5, 0.5, 2)
    (tmp_path / "cut.tif").write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CorruptFileError, match="does not hold all"):
        read_volume(tmp_path / "cut.tif")


def test_ome_states_its_spacing_with_units_of_each_axis(tmp_path: Path) -> None:
    path = write(tmp_path / "rock.ome.tif", ome=True, metadata=OME)
    volume = read_volume(path)
    np.testing.assert_allclose(volume.spacing, (0.0015, 0.002, 0.004))
    assert volume.name == "rock"


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ({}, "a TIFF file that states none"),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, "a TIFF file that states none"),
        ({"imagej": True, "metadata": {**UM, "unit": "pixel"}}, "without a unit of length"),
        ({"imagej": True, "metadata": {"axes": "ZYX", "unit": "um"}}, "slice spacing"),
        ({"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 1.0}}, "three physical sizes"),
    ],
)
def test_a_stack_without_a_clear_spacing_is_refused(
    tmp_path: Path, options: dict[str, Any], received: str
) -> None:
    with pytest.raises(InputError, match=rf"{received}.* --spacing"):
        read_volume(write(tmp_path / "s.tif", **options))


def test_time_and_channels_make_volumes_to_choose_from(tmp_path: Path) -> None:
    data = np.stack([[STACK, STACK + 1, STACK + 2], [STACK + 3, STACK + 4, STACK + 5]])
    data = np.ascontiguousarray(data.transpose(0, 2, 1, 3, 4))
    path = write(tmp_path / "s.tif", data, imagej=True, metadata={"axes": "TZCYX"})
    with pytest.raises(InputError, match=r"6 volumes \(time and channels\) .* --volume-index"):
        read_volume(path, spacing=1)
    for index in range(6):
        volume = read_volume(path, spacing=1, volume_index=index)
        np.testing.assert_array_equal(volume.data, (STACK + index).transpose(2, 1, 0))
    with pytest.raises(InputError, match="none with index 6"):
        read_volume(path, spacing=1, volume_index=6)


def test_pictures_over_time_are_no_stack(tmp_path: Path) -> None:
    path = write(tmp_path / "s.tif", imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(InputError, match=r"5 volumes \(time\) of 18×24×1 voxels"):
        read_volume(path, spacing=1)
    assert read_volume(path, volume_index=2).is_picture


def test_a_stack_of_colours_is_refused_as_that(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((5, 24, 18, 3), np.uint8), photometric="rgb")
    with pytest.raises(UnsupportedFormatError, match=r"received colours in s\.tif: a model takes"):
        read_volume(tmp_path / "s.tif", spacing=1)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_are_refused(tmp_path: Path, planar: str) -> None:
    shape = (24, 18, 3) if planar == "contig" else (3, 24, 18)
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, np.zeros(shape, np.uint8), photometric="rgb", planarconfig=planar)
    with pytest.raises(UnsupportedFormatError, match=r"received colours in s\.tif: a model takes"):
        read_volume(path)


def test_a_palette_of_greys_is_grey_and_another_is_colour(tmp_path: Path) -> None:
    grey = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
    data = (STACK % 256).astype(np.uint8)
    path = write(tmp_path / "g.tif", data, photometric="palette", colormap=grey)
    np.testing.assert_array_equal(read_volume(path, spacing=1).data, data.transpose(2, 1, 0))
    fire = grey * np.array([[1], [0], [0]], np.uint16)
    path = write(tmp_path / "f.tif", data, photometric="palette", colormap=fire)
    with pytest.raises(UnsupportedFormatError, match="received colours"):
        read_volume(path, spacing=1)


def test_white_as_0_is_turned_over(tmp_path: Path) -> None:
    path = write(tmp_path / "s.tif", photometric="miniswhite")
    expected = np.iinfo(np.uint16).max - STACK.transpose(2, 1, 0)
    np.testing.assert_array_equal(read_volume(path, spacing=1).data, expected)


def test_one_page_is_a_picture_whose_spacing_may_be_unknown(tmp_path: Path) -> None:
    path = write(tmp_path / "xray.tif", STACK[0])
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data[:, :, 0], STACK[0].T)
    assert volume.is_picture
    assert not volume.spacing_known
    assert volume.orientation == ("L", "I", "P")
    told = read_volume(path, spacing=(0.1, 0.2, 1))
    assert told.spacing_known
    assert told.spacing == (0.1, 0.2, 1)


def test_one_bit_becomes_0_and_1_whatever_white_is(tmp_path: Path) -> None:
    mask = STACK > 20000
    for kind, expected in (("minisblack", mask), ("miniswhite", ~mask)):
        path = write(tmp_path / "s.tif", mask, photometric=kind, metadata=None)
        np.testing.assert_array_equal(
            read_volume(path, spacing=1).data.transpose(2, 1, 0), expected
        )


def test_a_truncated_shaped_series_of_one_directory_is_read_whole(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as file:
        file.write(STACK, photometric="minisblack", truncate=True)
    volume = read_volume(tmp_path / "s.tif", spacing=1)
    np.testing.assert_array_equal(volume.data, STACK.transpose(2, 1, 0))


def test_an_ome_data_set_of_several_files_is_refused(tmp_path: Path) -> None:
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:a"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
        'Type="uint16" SizeX="18" SizeY="24" SizeZ="2" SizeC="1" SizeT="1">'
        '<TiffData IFD="0" FirstZ="0"><UUID FileName="0.ome.tif">urn:uuid:a</UUID></TiffData>'
        '<TiffData IFD="0" FirstZ="1"><UUID FileName="1.ome.tif">urn:uuid:b</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    for n in range(2):
        write(tmp_path / f"{n}.ome.tif", STACK[n], description=text, metadata=None)
    with pytest.raises(UnsupportedFormatError, match="one of several files of an OME data set"):
        read_volume(tmp_path / "0.ome.tif", spacing=1)


def test_a_folder_of_one_stack_is_that_stack(tmp_path: Path) -> None:
    write(tmp_path / "rock.tif")
    assert read_volume(tmp_path, spacing=1).shape == (18, 24, 5)


def test_a_tiff_orientation_turns_the_picture_upright(tmp_path: Path) -> None:
    tag = (274, "H", 1, 6, False)  # rows run from right to left, columns downwards
    path = write(tmp_path / "xray.tif", STACK[0], extratags=[tag])
    expected = np.rot90(STACK[0], -1)
    np.testing.assert_array_equal(read_volume(path).data[:, :, 0], expected.T)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"imagej": True}], ids=str)
@pytest.mark.parametrize("share", [0.3, 0.8, 0.97])
def test_a_truncated_stack_is_found(tmp_path: Path, options: dict[str, Any], share: float) -> None:
    whole = write(tmp_path / "whole.tif", metadata={"axes": "ZYX"}, **options).read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CorruptFileError, match=r"Copy it again|Export it again"):
        read_volume(tmp_path / "cut.tif", spacing=1)


def test_a_directory_chain_in_a_circle_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "s.tif", metadata=None)
    with tifffile.TiffFile(path) as file:
        first, last = file.pages[0].offset, file.pages[-1]
        end = last.offset + 2 + 12 * len(last.tags)
    content = bytearray(path.read_bytes())
    content[end : end + 4] = first.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match="after 5 images"):
        read_volume(path, spacing=1)


def test_damaged_compressed_slices_are_found_and_nothing_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "s.tif", compression="zlib")
    with tifffile.TiffFile(path) as file:
        at = file.pages[2].dataoffsets[0] + 40
    content = bytearray(path.read_bytes())
    content[at : at + 8] = bytes(8)
    path.write_bytes(content)
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(CorruptFileError, match=r"can't be decoded: .* Export it again"),
    ):
        read_volume(path, spacing=1)
    assert not caplog.records


def test_images_of_several_sizes_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as file:
        for data in (STACK[0], STACK[1, :10]):
            file.write(data, photometric="minisblack", metadata=None)
    with pytest.raises(UnsupportedFormatError, match="2 different kinds of images"):
        read_volume(tmp_path / "s.tif", spacing=1)


def test_stated_sizes_are_checked_before_anything_is_allocated(tmp_path: Path) -> None:
    path = write(tmp_path / "s.tif", STACK[0], compression="zstd", metadata=None)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        for code in (256, 257, 278):
            tag = file.pages[0].tags[code]
            assert tag.dtype in (3, 4)
            size = 2 if tag.dtype == 3 else 4
            content[tag.valueoffset : tag.valueoffset + size] = (60000).to_bytes(size, "little")
    path.write_bytes(content)
    with pytest.raises(InputError, match="more than the limit"):
        read_volume(path, spacing=1)


def write_slices(folder: Path, names: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, plane in zip(names, STACK, strict=True):
        write(folder / name, plane)
    return folder


def test_a_folder_of_slices_is_sorted_by_their_numbers(tmp_path: Path) -> None:
    folder = write_slices(tmp_path / "rock", [f"rec_a2_{n}.tif" for n in (8, 9, 10, 11, 12)])
    (folder / "log.txt").write_text("kV = 90")
    volume = read_volume(folder, spacing=0.05)
    np.testing.assert_array_equal(volume.data, STACK.transpose(2, 1, 0))
    assert volume.name == "rock"
    assert volume.spacing == (0.05, 0.05, 0.05)
    with pytest.raises(InputError, match=r"5 slices that state none\. State it with --spacing"):
        read_volume(folder)


def test_slices_state_their_spacing_alike_or_not_at_all(tmp_path: Path) -> None:
    for n, plane in enumerate(STACK):
        options = {"imagej": True, "resolution": (0.5, 0.5), "metadata": {"unit": "mm"}}
        options["metadata"] = {"unit": "mm", "spacing": 3.0 if n < 4 else 4.0}
        write(tmp_path / f"{n}.tif", plane, **options)
    with pytest.raises(InconsistentSeriesError, match=r"4\.tif states another spacing"):
        read_volume(tmp_path)
    write(tmp_path / "4.tif", STACK[4], **{**options, "metadata": {"unit": "mm", "spacing": 3.0}})
    assert read_volume(tmp_path).spacing == (2, 2, 3)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.tif", "2.tif", "5.tif", "6.tif", "9.tif"], "numbered 1 to 9, but 3, 4, 7, 8 are miss"),
        (["a1.tif", "a2.tif", "a3.tif", "a4.tif", "b5.tif"], "differ in one number, received a1"),
        (["1_1.tif", "1_2.tif", "2_1.tif", "2_2.tif", "3_3.tif"], "differ in one number"),
        (["1.tif", "01.tif", "2.tif", "3.tif", "4.tif"], "have the same number"),
    ],
)
def test_slices_that_make_no_volume_are_refused(
    tmp_path: Path, names: list[str], message: str
) -> None:
    write_slices(tmp_path, names)
    with pytest.raises(InconsistentSeriesError, match=message):
        read_volume(tmp_path, spacing=1)


def test_slices_of_several_sizes_or_types_are_refused(tmp_path: Path) -> None:
    write_slices(tmp_path, [f"{n}.tif" for n in range(5)])
    write(tmp_path / "3.tif", STACK[3].astype(np.float32))
    with pytest.raises(InconsistentSeriesError, match=r"18×24 uint16 in 0\.tif and 18×24 float32"):
        read_volume(tmp_path, spacing=1)
    write(tmp_path / "3.tif", STACK[:2])
    with pytest.raises(UnsupportedFormatError, match="Expected one slice in each file"):
        read_volume(tmp_path, spacing=1)


def test_a_file_named_tif_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.tif").write_bytes(b"a letter about the scan\n")
    with pytest.raises(CorruptFileError, match=r"named as a \.tif file, but does not begin as"):
        read_volume(tmp_path / "s.tif")
