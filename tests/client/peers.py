"""Reads scans with other people's readers: SimpleITK, pydicom, nibabel. Nothing of vcam in here."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813 - the name that all its examples use

sitk.ProcessObject.SetGlobalWarningDisplay(False)

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Peer:
    """What another reader makes of a scan.

    Attributes:
        data: [i, j, k].
        affine: voxel index to RAS+ millimetres.
    """

    data: np.ndarray
    affine: np.ndarray


@contextmanager
def no_stderr() -> Iterator[None]:
    """GDCM tries several decoders and prints what each of them thinks, past Python."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def header(path: Path) -> pydicom.Dataset | None:
    """A DICOM header, or None where pydicom does not take the file for DICOM."""
    try:
        return pydicom.dcmread(path, stop_before_pixels=True)
    except pydicom.errors.InvalidDicomError:
        return None


def by_position(paths: Sequence[Path]) -> list[Path]:
    """Files in the order of their slices along the normal."""
    headers = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in paths}
    along = {}
    for path, dataset in headers.items():
        cosines = np.array(dataset.ImageOrientationPatient, float)
        normal = np.cross(cosines[:3], cosines[3:])
        along[path] = float(np.array(dataset.ImagePositionPatient, float) @ normal)
    return sorted(paths, key=along.__getitem__)


def simple_itk(paths: Sequence[Path]) -> Peer:
    """One file, or files in the order given."""
    with no_stderr():
        if len(paths) == 1:
            image = sitk.ReadImage(str(paths[0]))
        else:
            reader = sitk.ImageSeriesReader()
            reader.SetFileNames([str(p) for p in paths])
            image = reader.Execute()
    data = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine = np.eye(4)
    affine[:3, :3] = direction * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Peer(data, LPS_TO_RAS @ affine)


def stored_times_rescale(path: Path) -> np.ndarray:
    """pydicom's pixels times its rescale [k, j, i], float64."""
    dataset = pydicom.dcmread(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bytes after the pixels
        stored = dataset.pixel_array
    pixels = stored.astype(np.float64)
    pixels = pixels.reshape(-1, *pixels.shape[-2:])
    slope = float(dataset.get("RescaleSlope", 1))
    return pixels * slope + float(dataset.get("RescaleIntercept", 0))


def turned_to(peer: Peer, affine: np.ndarray) -> Peer:
    """The same scan, its axes in the order and direction that another affine has."""
    ours = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    theirs = peer.affine[:3, :3] / np.linalg.norm(peer.affine[:3, :3], axis=0)
    cosines = ours.T @ theirs
    order = [int(np.argmax(np.abs(row))) for row in cosines]
    assert sorted(order) == [0, 1, 2], "axes that can't be matched"
    data, turned = peer.data.transpose(order), peer.affine.copy()
    turned[:3, :3] = peer.affine[:3, order]
    for axis, row in enumerate(cosines):
        if row[order[axis]] < 0:
            turned[:3, 3] += turned[:3, axis] * (data.shape[axis] - 1)
            turned[:3, axis] *= -1
            data = np.flip(data, axis)
    return Peer(data, turned)


def corners(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """World positions [8, 3] of the corner voxels' centres."""
    ends: Any = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    return (affine[:3, :3] @ ends + affine[:3, 3:]).T
