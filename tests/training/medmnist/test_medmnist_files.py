"""What is read of a MedMNIST file, and that a damaged one is refused in one sentence."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vcam_client.errors import ConfigError
from vcam_training.data.medmnist.files import luminance, read_medmnist
from vcam_training.data.medmnist.names import NAMES, known_names

IMAGES = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
LABELS = np.array([[0], [1], [1], [0]], np.uint8)


def saved(path: Path, **arrays: np.ndarray) -> Path:
    place = path / "some.npz"
    np.savez_compressed(place, **arrays)
    return place


def test_splits_go_by_their_names(tmp_path: Path) -> None:
    place = saved(
        tmp_path,
        train_images=IMAGES,
        train_labels=LABELS,
        val_images=IMAGES[:2] + 1,
        val_labels=LABELS[:2],
        class_names=np.array(["well", "ill"]),
        source_paths=np.array(["a", "b"]),
    )
    file = read_medmnist(place)
    assert set(file.parts) == {"train", "validation"}
    assert file.class_names == ("well", "ill")
    np.testing.assert_array_equal(file.parts["train"].images, IMAGES)
    np.testing.assert_array_equal(file.parts["validation"].images, IMAGES[:2] + 1)
    assert file.parts["train"].labels.tolist() == [0, 1, 1, 0]
    assert file.parts["train"].labels.dtype == np.int32


def test_arrays_without_a_split_are_nobodys(tmp_path: Path) -> None:
    file = read_medmnist(saved(tmp_path, images=IMAGES, labels=LABELS[:, 0]))
    assert set(file.parts) == {""}


@pytest.mark.parametrize(
    ("given", "shape", "dtype"),
    [
        (IMAGES, (4, 5, 6), np.uint8),
        (IMAGES[..., None], (4, 5, 6), np.uint8),
        (IMAGES > 3, (4, 5, 6), np.uint8),
        (IMAGES.astype(np.int16), (4, 5, 6), np.int16),
        (IMAGES.astype(np.uint16), (4, 5, 6), np.float32),
        (IMAGES.astype(float), (4, 5, 6), np.float32),
        (np.zeros((4, 3, 5, 6), np.uint8), (4, 3, 5, 6), np.uint8),
        (np.zeros((4, 3, 5, 6, 1), np.uint8), (4, 3, 5, 6), np.uint8),
        (np.zeros((4, 5, 6, 3), np.uint8), (4, 5, 6), np.uint8),
    ],
)
def test_shapes_and_types_of_images(
    given: np.ndarray, shape: tuple[int, ...], dtype: type, tmp_path: Path
) -> None:
    part = read_medmnist(saved(tmp_path, train_images=given, train_labels=LABELS)).parts["train"]
    assert part.images.shape == shape
    assert part.images.dtype == dtype
    assert part.was_coloured == (given.shape[-1] == 3)


def test_colours_become_what_pillow_makes_of_them() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (7, 9, 3)).astype(np.uint8)
    np.testing.assert_array_equal(
        luminance(colours), np.asarray(Image.fromarray(colours).convert("L"))
    )
    assert luminance(np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)).tolist() == [
        76,
        150,
        29,
    ]


def test_several_columns_are_findings(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 1], [0, 1, 0]], np.uint8)
    part = read_medmnist(saved(tmp_path, train_images=IMAGES, train_labels=labels)).parts["train"]
    assert part.labels.dtype == bool
    np.testing.assert_array_equal(part.labels, labels == 1)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train_images": IMAGES}, "found train_images without train_labels. Save both"),
        ({"test_labels": LABELS}, "found test_labels without test_images"),
        ({"pictures": IMAGES}, "Expected train_images and train_labels in .*, found pictures"),
        ({}, "found nothing"),
        (
            {"train_images": IMAGES, "train_labels": LABELS[:3]},
            r"as many train_labels as train_images in .*, received shapes \[3, 1\] and \[4, 5, 6\]",
        ),
        (
            {"train_images": IMAGES, "train_labels": np.array(1)},
            r"received shapes \[\] and \[4, 5, 6\]",
        ),
        (
            {"train_images": IMAGES[0], "train_labels": LABELS},
            r"Expected numbers \[n, H, W\].*received uint8 \[5, 6\]",
        ),
        (
            {"train_images": IMAGES[:0], "train_labels": LABELS[:0]},
            r"received uint8 \[0, 5, 6\]",
        ),
        ({"train_images": IMAGES.astype(complex), "train_labels": LABELS}, "received complex128"),
        (
            {"train_images": np.zeros((4, 5, 6, 2, 2)), "train_labels": LABELS},
            "Save one channel",
        ),
        (
            {"train_images": np.zeros((4, 5, 6, 3)), "train_labels": LABELS},
            "uint8 for the colours of train_images",
        ),
        (
            {"train_images": IMAGES, "train_labels": LABELS * 0.5},
            r"whole numbers from 0.*received float64 \[4, 1\]\. Number",
        ),
        (
            {"train_images": IMAGES, "train_labels": np.where(LABELS, np.inf, 0.0)},
            r"whole numbers from 0.*received float64 \[4, 1\]\. Number",
        ),
        (
            {"train_images": IMAGES, "train_labels": LABELS * np.int64(2**40)},
            "labels below 10000 as train_labels .*, found 1099511627776",
        ),
        (
            {"train_images": IMAGES, "train_labels": LABELS.astype(int) - 1},
            r"received int64 \[4, 1\] from -1",
        ),
        (
            {"train_images": IMAGES, "train_labels": LABELS * np.array([[1, 2]], np.uint8)},
            "Expected 0 or 1 for each of 2 findings as train_labels in .*, found 2",
        ),
        (
            {"train_images": IMAGES, "train_labels": np.array(["a", "b", "c", "d"])},
            "whole numbers from 0",
        ),
        (
            {
                "train_images": IMAGES,
                "train_labels": LABELS,
                "val_images": IMAGES[:, :4],
                "val_labels": LABELS,
            },
            r"images of one shape .* found train \(5, 6\) and validation \(4, 6\)",
        ),
        (
            {
                "train_images": IMAGES,
                "train_labels": LABELS,
                "val_images": IMAGES,
                "val_labels": np.hstack([LABELS, LABELS]),
            },
            r"labels of one kind .* with labels \[\(4,\), \(4, 2\)\]",
        ),
    ],
)
def test_files_that_mean_nothing(
    arrays: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_medmnist(saved(tmp_path, **arrays))


def truncated(path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 50, 60)).astype(np.uint8)
    np.savez_compressed(path, train_images=images, train_labels=LABELS)
    path.write_bytes(path.read_bytes()[:6000])


def with_a_wrong_byte(path: Path) -> None:
    np.savez_compressed(path, train_images=IMAGES, train_labels=LABELS)
    data = bytearray(path.read_bytes())
    data[150] ^= 0xFF
    path.write_bytes(data)


def of_objects(path: Path) -> None:
    objects = np.empty(4, object)
    objects[:] = [np.zeros((5, 6))] * 4
    np.savez(path, train_images=objects, train_labels=LABELS)


def with_a_header_of_text(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("train_images.npy", b"\x93NUMPY\x01\x00\x08\x00{'shape'")
        file.writestr("train_labels.npy", b"\x93NUMPY\x01\x00\x08\x00{'shape'")


@pytest.mark.parametrize(
    "write",
    [
        truncated,
        with_a_wrong_byte,
        of_objects,
        with_a_header_of_text,
        lambda path: path.write_text("no such data set"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PK\x03\x04"),
        lambda path: np.save(path.open("wb"), IMAGES),
        lambda path: path.mkdir(),
        lambda path: None,
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_files_that_are_damaged(write: object, tmp_path: Path) -> None:
    place = tmp_path / "some.npz"
    write(place)
    with pytest.raises(ConfigError, match=r"Expected a file of MedMNIST.*Copy it again") as found:
        read_medmnist(place)
    assert "some.npz" in str(found.value)
    assert "allow_pickle" not in str(found.value)


def test_the_names_of_the_eighteen_sets() -> None:
    assert len(NAMES) == 18
    assert {name: len(names) for name, names in NAMES.items()} == {
        "pathmnist": 9,
        "chestmnist": 14,
        "dermamnist": 7,
        "octmnist": 4,
        "pneumoniamnist": 2,
        "retinamnist": 5,
        "breastmnist": 2,
        "bloodmnist": 8,
        "tissuemnist": 8,
        "organamnist": 11,
        "organcmnist": 11,
        "organsmnist": 11,
        "organmnist3d": 11,
        "nodulemnist3d": 2,
        "adrenalmnist3d": 2,
        "fracturemnist3d": 3,
        "vesselmnist3d": 2,
        "synapsemnist3d": 2,
    }
    assert all(len(set(names)) == len(names) for names in NAMES.values())
    assert known_names("adrenalmnist3d_64_train_val") == ("normal", "mass")
    assert known_names("OrganMNIST3D")[0] == "liver"
    assert known_names("organamnist_224")[0] == "bladder"
    assert known_names("my_own") == ()
