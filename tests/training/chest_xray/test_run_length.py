"""Run lengths: cases by hand, and the challenge's own functions as a reference."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_training.data.radiographs.run_length import (
    decode,
    encode,
    image_key,
    read_run_lengths,
    write_run_lengths,
)


def challenge_mask(text: str, width: int, height: int) -> NDArray[np.bool_]:
    """What the SIIM-ACR challenge's `rle2mask` makes of a text, then transposed as its users do."""
    mask = np.zeros(width * height)
    array = np.asarray([int(x) for x in text.split()])
    starts, lengths = array[0::2], array[1::2]
    position = 0
    for index, start in enumerate(starts):
        position += start
        mask[position : position + lengths[index]] = 255
        position += lengths[index]
    return mask.reshape(width, height).T > 0


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("0 1", [(0, 0)]),
        ("1 1", [(1, 0)]),  # down the column first
        ("3 1", [(0, 1)]),
        ("11 1", [(2, 3)]),
        ("1 2 3 1", [(1, 0), (2, 0), (0, 2)]),  # 3 pixels lie between: offsets are relative
        ("0 12", [(r, c) for r in range(3) for c in range(4)]),
        ("2 2", [(2, 0), (0, 1)]),  # a run goes on in the next column
        ("-1", []),
        (" -1", []),
        ("", []),
    ],
)
def test_known_texts(text: str, marked: list[tuple[int, int]]) -> None:
    mask = decode(text, (3, 4))
    assert mask.shape == (3, 4)
    assert [tuple(map(int, at)) for at in np.argwhere(mask)] == sorted(marked)
    if text.strip() not in ("", "-1"):
        assert encode(mask) == text


def test_nothing_is_encoded_as_the_challenge_does() -> None:
    assert encode(np.zeros((3, 4), bool)) == "-1"


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_the_challenge_and_comes_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((17, 23)) < rng.uniform(0.05, 0.95)
    text = encode(mask)
    np.testing.assert_array_equal(decode(text, mask.shape), mask)
    np.testing.assert_array_equal(challenge_mask(text, width=23, height=17), mask)


@pytest.mark.parametrize("text", ["0 0 2 1", "1 1 0 1"])
def test_empty_and_touching_runs(text: str) -> None:
    np.testing.assert_array_equal(decode(text, (3, 4)), challenge_mask(text, 4, 3))


@pytest.mark.parametrize("text", ["1", "1 2 3", "-3 2", "1 -1", "1.5 2", "a b", "10 3", "-1 -1"])
def test_what_are_no_run_lengths_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="Expected"):
        decode(text, (3, 4))


def test_parts_of_an_image_are_united(tmp_path: Path) -> None:
    file = tmp_path / "train-rle.csv"
    # as the challenge's file: a blank in the second column's name, UIDs with dots
    uid = "1.2.276.0.7230010.3.1.4.8323329.1000.1517875165.878027"
    file.write_text(f"ImageId, EncodedPixels\n{uid}, 0 1\nother.png, -1\n{uid}, 5 2\n")
    runs = read_run_lengths(file, "Pneumothorax")
    mask = runs.mask(f"{uid}.dcm", "Pneumothorax", (3, 4))
    np.testing.assert_array_equal(mask, decode("0 1", (3, 4)) | decode("5 2", (3, 4)))
    assert mask.sum() == 3
    assert runs.images == {uid, "other"}
    assert runs.has(uid, "Pneumothorax")
    assert not runs.has("other.png", "Pneumothorax")
    assert not runs.has(uid, "Mass")
    assert not runs.mask("other.png", "Pneumothorax", (3, 4)).any()


def test_several_findings_are_written_and_read(tmp_path: Path) -> None:
    one, two = decode("1 3", (3, 4)), decode("7 2", (3, 4))
    rows = [("a.png", "Mass", one), ("a.png", "Nodule", two), ("b.png", "Mass", None)]
    write_run_lengths(tmp_path / "masks.csv", rows)
    runs = read_run_lengths(tmp_path / "masks.csv", "Pneumothorax")
    np.testing.assert_array_equal(runs.mask("a.png", "Mass", (3, 4)), one)
    np.testing.assert_array_equal(runs.mask("a.png", "Nodule", (3, 4)), two)
    assert runs.findings == {"Mass", "Nodule"}
    assert not runs.has("b.png", "Mass")


def test_names_like_formulas_are_text_in_the_file_and_come_back(tmp_path: Path) -> None:
    mask = decode("1 3", (3, 4))
    write_run_lengths(tmp_path / "masks.csv", [("=1+1.png", "-Mass", mask), ("b.png", "x", None)])
    lines = (tmp_path / "masks.csv").read_text().splitlines()
    assert lines[1:] == ["'=1+1.png,'-Mass,1 3", "b.png,x,-1"]
    runs = read_run_lengths(tmp_path / "masks.csv", "Pneumothorax")
    np.testing.assert_array_equal(runs.mask("=1+1.png", "-Mass", (3, 4)), mask)


def test_a_mask_beyond_its_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("ImageId,EncodedPixels\na,0 13\n")
    runs = read_run_lengths(tmp_path / "m.csv", "Pneumothorax")
    with pytest.raises(ConfigError, match=r"Pneumothorax in a\.png.*3×4 pixels"):
        runs.mask("a.png", "Pneumothorax", (3, 4))


@pytest.mark.parametrize("text", ["", "Image,Pixels\na,0 1\n"])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(text or "ImageId\na\n")
    with pytest.raises(ConfigError, match="columns ImageId and EncodedPixels"):
        read_run_lengths(tmp_path / "m.csv", "Pneumothorax")
    with pytest.raises(ConfigError, match=r"none\.csv"):
        read_run_lengths(tmp_path / "none.csv", "Pneumothorax")


@pytest.mark.parametrize(
    ("name", "key"), [("a.png", "a"), ("x/a.JPG", "a"), ("1.2.3", "1.2.3"), ("1.2.3.dcm", "1.2.3")]
)
def test_only_suffixes_of_images_are_left_out_of_names(name: str, key: str) -> None:
    assert image_key(name) == key
