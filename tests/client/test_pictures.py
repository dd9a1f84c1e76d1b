"""PNG and JPEG pictures, folders of PNG slices, and their heatmaps."""

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from vcam_client import Prediction, Volume, place, read_volume
from vcam_client._pictures import PNG_MAGIC
from vcam_client._text import describe_predictions
from vcam_client.errors import (
    CorruptFileError,
    IncompatibleScanError,
    InputError,
    UnsupportedFormatError,
)
from vcam_client.spec import (
    Activation,
    CamLayer,
    ExplainDefault,
    Fit,
    Grid,
    Intensity,
    ModelSpec,
    SliceAggregation,
)

GREY8 = np.add.outer(5 * np.arange(24), 3 * np.arange(40)).astype(np.uint8)
"""[rows, columns]"""
GREY16 = GREY8.astype(np.uint16) * 257
ORIENTATION = 0x0112
CAM = np.array([[[-1, 0, 1, 2], [0, 1, 8, 2], [0, 0, 1, 0]]], np.float32)


def rgb(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


def with_alpha(values: np.ndarray, alpha: int) -> np.ndarray:
    values = values[..., None] if values.ndim == 2 else values
    return np.concatenate([values, np.full_like(values[..., :1], alpha)], axis=-1)


def palette(grey: np.ndarray) -> bytes:
    image = Image.fromarray(grey, "L")
    image = image.convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def jpeg(values: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (imagecodecs.png_encode(GREY8), GREY8),
        (imagecodecs.png_encode(GREY16), GREY16),
        (imagecodecs.png_encode(rgb(GREY8)), GREY8),
        (imagecodecs.png_encode(rgb(GREY16)), GREY16),
        (imagecodecs.png_encode(with_alpha(GREY16, 65535)), GREY16),
        (imagecodecs.png_encode(with_alpha(rgb(GREY8), 255)), GREY8),
        (palette(GREY8), GREY8),
    ],
    ids=["grey 8", "grey 16", "RGB 8", "RGB 16", "opaque 16", "opaque RGB", "palette"],
)
def test_a_grey_png_is_one_slice(tmp_path: Path, content: bytes, expected: np.ndarray) -> None:
    volume = read_volume(write(tmp_path / "xray.png", content))
    np.testing.assert_array_equal(volume.data[:, :, 0], expected.T)
    assert volume.data.dtype == expected.dtype
    assert volume.orientation == ("L", "I", "P")
    assert volume.is_picture
    assert not volume.spacing_known
    assert (volume.name, volume.units) == ("xray", "")


def test_a_grey_jpeg_is_one_slice(tmp_path: Path) -> None:
    smooth = np.add.outer(2 * np.arange(24), 3 * np.arange(40)).astype(np.uint8)
    for values in (smooth, rgb(smooth)):
        volume = read_volume(write(tmp_path / "xray.jpeg", jpeg(values)))
        assert volume.shape == (40, 24, 1)
        assert np.abs(volume.data[:, :, 0].T - smooth.astype(int)).max() <= 4


def test_a_jpeg_whose_channels_all_but_agree_is_grey(tmp_path: Path) -> None:
    tinted = rgb(np.full((24, 40), 90, np.uint8)) + np.array([0, 2, 4], np.uint8)
    volume = read_volume(write(tmp_path / "xray.jpg", jpeg(tinted, subsampling=0)))
    assert np.abs(volume.data.astype(int) - 92).max() <= 2


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_colours_are_refused(tmp_path: Path, name: str) -> None:
    colours = rgb(GREY8) // np.array([1, 2, 4], np.uint8)
    content = imagecodecs.png_encode(colours) if name == "x.png" else jpeg(colours)
    with pytest.raises(UnsupportedFormatError, match=r"received colours in x\..* Convert it to g"):
        read_volume(write(tmp_path / name, content))


def test_transparent_pixels_are_refused(tmp_path: Path) -> None:
    content = imagecodecs.png_encode(with_alpha(GREY8, 254))
    with pytest.raises(UnsupportedFormatError, match="Expected opaque pixels"):
        read_volume(write(tmp_path / "x.png", content))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_exif_orientation_turns_the_picture_as_pillow_does(
    tmp_path: Path, orientation: int
) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    for name in ("x.jpg", "x.png"):
        Image.fromarray(GREY8).save(tmp_path / name, exif=exif)
        with Image.open(tmp_path / name) as image:
            expected = np.asarray(ImageOps.exif_transpose(image))
        np.testing.assert_array_equal(read_volume(tmp_path / name).data[:, :, 0], expected.T)


def test_a_spacing_is_taken_from_the_option_and_never_from_dots_per_inch(tmp_path: Path) -> None:
    Image.fromarray(GREY8).save(tmp_path / "x.png", dpi=(254, 254))
    assert not read_volume(tmp_path / "x.png").spacing_known
    volume = read_volume(tmp_path / "x.png", spacing=(0.1, 0.2, 1))
    assert volume.spacing_known
    assert volume.spacing == (0.1, 0.2, 1)


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_truncated_picture_is_found(tmp_path: Path, name: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80)).astype(np.uint8)
    whole = imagecodecs.png_encode(noise) if name == "x.png" else jpeg(noise)
    path = write(tmp_path / name, whole[: int(share * len(whole))])
    with pytest.raises(CorruptFileError, match="it breaks off, is damaged"):
        read_volume(path)


def test_a_flipped_bit_of_a_png_is_found(tmp_path: Path) -> None:
    content = bytearray(imagecodecs.png_encode(GREY8))
    content[len(content) // 2] ^= 1
    with pytest.raises(CorruptFileError, match="is damaged"):
        read_volume(write(tmp_path / "x.png", bytes(content)))


def png_that_states(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    return PNG_MAGIC + body


def test_bombs_are_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="60000×60000 voxels, more than the limit"):
        read_volume(write(tmp_path / "x.png", png_that_states(60_000, 60_000)))
    with pytest.raises(CorruptFileError, match=r"states 9999×9999 pixels, more than its"):
        read_volume(write(tmp_path / "x.png", png_that_states(9_999, 9_999)))
    content = bytearray(jpeg(GREY8))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", 65_000, 65_000)
    with pytest.raises(InputError, match="states more pixels than the limit"):
        read_volume(write(tmp_path / "x.jpg", bytes(content)))


def test_a_volume_index_other_than_0_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.png", imagecodecs.png_encode(GREY8))
    assert read_volume(path, volume_index=0).shape == (40, 24, 1)
    with pytest.raises(InputError, match="Leave out --volume-index"):
        read_volume(path, volume_index=1)


def test_a_folder_of_png_slices_is_a_stack_where_the_spacing_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "rock"
    folder.mkdir()
    for n in range(8, 12):
        write(folder / f"slice {n}.png", imagecodecs.png_encode(GREY16 + np.uint16(n)))
    with pytest.raises(InputError, match="4 slices that state none"):
        read_volume(folder)
    volume = read_volume(folder, spacing=0.5)
    assert volume.shape == (40, 24, 4)
    assert volume.orientation == ("L", "P", "S")
    np.testing.assert_array_equal(volume.data[:, :, 3], (GREY16 + np.uint16(11)).T)
    assert not volume.is_picture


def radiograph_spec(**grid: object) -> ModelSpec:
    layer = CamLayer(
        name="c", cells=(3, 4), offset=(3.5, 4.5), stride=(8.0, 10.0), receptive_field=(3.0, 3.0)
    )
    return ModelSpec(
        name="radiograph",
        labels=("clear", "opacity"),
        activation=Activation.SOFTMAX,
        explain_default=ExplainDefault.TOP_CLASS,
        grid=Grid(shape=(24, 40), axes=("A", "I", "L"), **grid),  # type: ignore[arg-type]
        intensity=Intensity(window=(0.0, 255.0)),
        cam_layers=(layer,),
        slice_aggregation=SliceAggregation.NONE,
    )


def predict(volume: Volume) -> Prediction:
    spec = radiograph_spec()
    return Prediction(
        volume=volume,
        spec=spec,
        model="radiograph",
        version=1,
        scores=np.array([0.2, 0.8]),
        class_index=1,
        cam=CAM,
        placement=place(volume, spec.grid, spec.slice_aggregation),
        timings={},
    )


def test_a_picture_s_heatmap_is_a_png_of_its_size(tmp_path: Path) -> None:
    path = write(tmp_path / "xray.png", imagecodecs.png_encode(GREY8))
    prediction = predict(read_volume(path))
    files = prediction.write(tmp_path / "out")
    assert files.heatmap.name == "xray_heatmap.png"
    heatmap = imagecodecs.png_decode(files.heatmap.read_bytes())
    assert heatmap.dtype == np.uint8
    assert heatmap.shape == GREY8.shape
    np.testing.assert_array_equal(heatmap, prediction.stored_heatmap[:, :, 0].T)
    # cell (1, 2) of the map is the strongest; its centre is row 11.5, column 24.5
    rows, columns = np.nonzero(heatmap == heatmap.max())
    assert np.abs([rows.mean() - 11.5, columns.mean() - 24.5]).max() <= 0.5
    assert prediction.evidence.voxel == (24.5, 11.5, 0)


def test_nothing_is_said_in_millimetres_that_nobody_knows(tmp_path: Path) -> None:
    path = write(tmp_path / "xray.png", imagecodecs.png_encode(GREY8))
    prediction = predict(read_volume(path))
    evidence = prediction.evidence
    assert evidence.world is None
    assert evidence.volume_mm3 is None
    assert evidence.share == (prediction.stored_heatmap >= 128).mean()
    text = describe_predictions([prediction])
    assert "mm" not in text
    assert "cm" not in text
    assert "40×24 pixels (spacing unknown), LI" in text
    assert f"{evidence.share:.1%} of the picture above half of the maximum" in text
    stored = prediction.to_dict()["explanations"][0]["evidence"]
    assert stored["strongest_cell_world_ras_mm"] is None
    assert stored["volume_mm3"] is None
    assert stored["share"] == evidence.share


def test_a_spacing_that_is_told_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "xray.png", imagecodecs.png_encode(GREY8))
    text = describe_predictions([predict(read_volume(path, spacing=0.2))])
    assert "40×24 pixels of 0.2×0.2 mm" in text
    assert "RAS (-4.9, 0.0, -2.3) mm" in text.replace("-0.0", "0.0")


def test_a_model_that_needs_a_spacing_asks_for_it(tmp_path: Path) -> None:
    path = write(tmp_path / "xray.png", imagecodecs.png_encode(GREY8))
    grid = radiograph_spec(fit=Fit.SPACING, spacing_mm=(0.5, 0.5)).grid
    with pytest.raises(IncompatibleScanError, match=r"0\.5×0\.5 mm .* xray .* --spacing"):
        place(read_volume(path), grid, SliceAggregation.NONE)
    placement = place(read_volume(path, spacing=1), grid, SliceAggregation.NONE)
    assert placement.axes[1].step == 0.5


def test_a_cmyk_jpeg_is_refused(tmp_path: Path) -> None:
    image = Image.fromarray(np.stack([GREY8] * 4, axis=-1), "CMYK")
    image.save(tmp_path / "x.jpg")
    with pytest.raises(UnsupportedFormatError, match="received colours"):
        read_volume(tmp_path / "x.jpg")


def test_a_png_named_jpg_is_read_as_what_it_is(tmp_path: Path) -> None:
    content = imagecodecs.png_encode(with_alpha(GREY8, 255))
    volume = read_volume(write(tmp_path / "x.jpg", content))
    np.testing.assert_array_equal(volume.data[:, :, 0], GREY8.T)
