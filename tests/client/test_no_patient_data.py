"""Nothing that names a patient, a study or an instance is in a message, a warning or a repr."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from client.dicom_files import write_series, write_slice
from client.dicom_instances import compress, directory, enhanced, in_syntax, instance, to_bytes
from pydicom.uid import generate_uid

from vcam_client import read_volume
from vcam_client.errors import VcamError

WORD = "Xyzzy"
DATE = "19471123"
NUMBER = "777188812"
SECRETS = (WORD, WORD.upper(), WORD.lower(), DATE, NUMBER, "1947-11-23")
TAGS: dict[str, Any] = {
    "PatientName": f"{WORD}^{WORD}",
    "PatientID": NUMBER,
    "PatientBirthDate": DATE,
    "PatientAddress": WORD,
    "OtherPatientIDs": NUMBER,
    "AccessionNumber": NUMBER,
    "StudyDate": DATE,
    "SeriesDate": DATE,
    "StudyDescription": WORD,
    "SeriesDescription": WORD,
    "ProtocolName": WORD,
    "ImageComments": WORD,
    "InstitutionName": WORD,
    "ReferringPhysicianName": WORD,
    "OperatorsName": WORD,
    "StudyID": NUMBER,
    "StudyInstanceUID": f"1.2.{NUMBER}.1",
    "SeriesInstanceUID": f"1.2.{NUMBER}.2",
    "FrameOfReferenceUID": f"1.2.{NUMBER}.3",
    "SOPInstanceUID": f"1.2.{NUMBER}.4",
    "StationName": WORD,
    "BodyPartExamined": WORD.upper(),
    "SeriesNumber": 3,
    "RequestingService": WORD,
    "StackID": WORD,
    "ConvolutionKernel": WORD.upper(),
}
VOXELS = np.random.default_rng(0).integers(0, 2000, (6, 8, 9)).astype(np.int16)


def private(path: Path) -> None:
    """Adds private elements, too."""
    dataset = pydicom.dcmread(path)
    block = dataset.private_block(0x0029, "VCAM TEST", create=True)
    block.add_new(1, "LO", WORD)
    block.add_new(2, "UN", WORD.encode())
    dataset.save_as(path)


def series(folder: Path, **tags: Any) -> list[Path]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom notices what is wrong on purpose
        paths = write_series(folder, VOXELS, **{**TAGS, **tags})
    for path in paths:
        private(path)
    return paths


def whole(folder: Path) -> Path:
    series(folder)
    return folder


def missing(folder: Path) -> Path:
    series(folder)[2].unlink()
    return folder


def twice(folder: Path) -> Path:
    dataset = pydicom.dcmread(series(folder)[2])
    dataset.InstanceNumber = 99  # the same instance by its UID, but another by its content
    dataset.save_as(folder / "again")
    return folder


def copied(folder: Path) -> Path:
    (folder / "again").write_bytes(series(folder)[2].read_bytes())
    return folder


def two(folder: Path) -> Path:
    series(folder / "a")
    series(folder / "b", SeriesInstanceUID=f"1.2.{NUMBER}.9", StudyInstanceUID=f"1.{NUMBER}")
    return folder


def tilted(folder: Path) -> Path:
    series(folder, step=(0.0, 0.9, 2.5))
    return folder


def truncated(folder: Path) -> Path:
    for path in series(folder):
        path.write_bytes(path.read_bytes()[:-50])
    return folder


def cut_header(folder: Path) -> Path:
    for path in series(folder):
        path.write_bytes(path.read_bytes()[:600])
    return folder


def localizer(folder: Path) -> Path:
    series(folder, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER", WORD.upper()])
    return folder


def colour(folder: Path) -> Path:
    series(folder, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    return folder


def unknown_class(folder: Path) -> Path:
    series(folder, SOPClassUID=f"1.2.{NUMBER}.5")
    return folder


def no_class(folder: Path) -> Path:
    series(folder, SOPClassUID=None, Modality=WORD)
    return folder


def a_name_as_modality(folder: Path) -> Path:
    series(folder / "a", Modality=f"{WORD} {WORD}")
    series(folder / "b", Modality=f"{WORD} {WORD}", direction=(0, 1, 0, 0, 0, -1))
    return folder


def a_name_as_series_number(folder: Path) -> Path:
    for n, path in enumerate(two(folder).rglob("IM*")):
        data = path.read_bytes()
        at = data.index(b"\x20\x00\x11\x00IS")
        value = WORD.encode().ljust(6)
        path.write_bytes(data[: at + 6] + b"\x06\x00" + value + data[at + 10 :])
        assert n < 100
    return folder


def a_name_as_a_number(folder: Path) -> Path:
    for path in series(folder):
        data = path.read_bytes()
        at = data.index(b"\x28\x00\x52\x10DS")
        length = int.from_bytes(data[at + 6 : at + 8], "little")
        value = WORD.encode().ljust(6)
        path.write_bytes(data[: at + 6] + b"\x06\x00" + value + data[at + 8 + length :])
    return folder


def unknown_syntax(folder: Path) -> Path:
    for path in series(folder):
        data = path.read_bytes()
        path.write_bytes(data.replace(b"1.2.840.10008.1.2.1\0", f"1.2.{NUMBER}.999999".encode()))
    return folder


def no_position(folder: Path) -> Path:
    series(folder, ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None)
    return folder


def damaged_codestream(folder: Path) -> Path:
    folder.mkdir()
    stream = b"\xff\xd8\xff\xe0" + WORD.encode() * 20
    dataset = compress(instance(VOXELS[0], **TAGS), [stream], "1.2.840.10008.1.2.4.80")
    (folder / "a.dcm").write_bytes(to_bytes(dataset))
    return folder


def damaged_deflate(folder: Path) -> Path:
    folder.mkdir()
    data = in_syntax(instance(VOXELS[0], **TAGS), "1.2.840.10008.1.2.1.99")
    (folder / "a.dcm").write_bytes(data[:400] + bytes(30) + data[430:])
    return folder / "a.dcm"


def damaged_frames(folder: Path) -> Path:
    folder.mkdir()
    dataset = enhanced(VOXELS, **TAGS)
    dataset.NumberOfFrames = 5000
    (folder / "a.dcm").write_bytes(to_bytes(dataset))
    return folder / "a.dcm"


def a_dicomdir_of_missing_files(folder: Path) -> Path:
    paths = write_series(folder / "s", VOXELS, **{**TAGS, "SOPInstanceUID": None})
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = generate_uid()
        dataset.save_as(path)
    listed = directory(paths, folder / "media")
    for path in (folder / "media").rglob("*"):
        if path.is_file() and path != listed:
            path.unlink()
    return listed


def nifti(folder: Path) -> Path:
    folder.mkdir()
    image = nib.Nifti1Image(VOXELS[..., None].repeat(2, 3), np.eye(4))
    image.header["descrip"] = image.header["db_name"] = WORD.encode()
    nib.save(image, folder / "a.nii")
    return folder / "a.nii"


def single(folder: Path) -> Path:
    folder.mkdir()
    write_slice(folder / "a.dcm", VOXELS[0], (0, 0, 0), **{**TAGS, "SliceThickness": None})
    return folder


CASES: list[Callable[[Path], Path]] = [
    whole, missing, twice, copied, two, tilted, truncated, cut_header, localizer, colour,
    unknown_class, no_class, a_name_as_modality, a_name_as_series_number, a_name_as_a_number,
    unknown_syntax,
    no_position, damaged_codestream, damaged_deflate, damaged_frames,
    a_dicomdir_of_missing_files, nifti, single,
]  # fmt: skip
REFUSED = {f.__name__ for f in CASES} - {"whole", "tilted", "single", "copied", "unknown_class"}


@pytest.mark.parametrize("strict", [False, True], ids=["", "strict"])
@pytest.mark.parametrize("build", CASES, ids=lambda f: f.__name__)
def test_no_patient_data_is_told(
    tmp_path: Path, build: Callable[[Path], Path], strict: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    path = build(tmp_path / "scan")
    told = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for series_wanted in (None, "1", f"1.2.{99}"):
            try:
                volume = read_volume(path, strict=strict, series=series_wanted)
                told.append(f"{volume!r} {volume} {volume.warnings} {volume.name}")
                refused = False
            except VcamError as error:
                told.append(f"{error!r} {error} {error.args}")
                refused = True
            if series_wanted is None and not strict:
                assert refused == (build.__name__ in REFUSED)
    printed = capfd.readouterr()
    told += [str(w.message) for w in caught if w.category is not ResourceWarning]
    text = " ".join([*told, printed.out, printed.err])
    assert [secret for secret in SECRETS if secret in text] == [], text
    assert not printed.err
