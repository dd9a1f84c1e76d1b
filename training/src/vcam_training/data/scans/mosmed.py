"""MosMedData as the Keras example "3D image classification from CT scans" uses it.

Chest CTs from Moscow hospitals, in a folder for each class:

    CT-0/study_0001.nii.gz …     100 scans of normal lungs, no sign of viral pneumonia
    CT-23/study_0938.nii.gz …    100 scans with ground-glass opacities, 25 to 75 % of the lung

S. P. Morozov et al., MosMedData: chest CT scans with COVID-19 related findings, 2020. One
scan of each patient, hence no groups. Any folders of scans in this layout can be read.
"""

import itertools
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from vcam_client.errors import ConfigError
from vcam_client.folder_writing import replace_folder
from vcam_training.data.dataset import Report
from vcam_training.data.download import RemoteFile, download
from vcam_training.data.phantoms.ct_phantom import ORIENTATIONS, phantom, save
from vcam_training.data.problems import refuse
from vcam_training.data.scans.grid_cache import ScanFile
from vcam_training.data.scans.scan_table import ScanTable

CLASSES = ("CT-0", "CT-23")
"""Folders of the Keras example, the positive class last."""
LABELS = ("normal", "abnormal")
_SUFFIXES = (".nii.gz", ".nii")
_RELEASE = "hasibzunair/3D-image-classification-tutorial"
_BY_HAND = f"(release v0.2 of the project {_RELEASE} on GitHub)"
_URL = f"https://github.com/{_RELEASE}/releases/download/v0.2"
ARCHIVES: Mapping[str, RemoteFile] = {
    "CT-0": RemoteFile(url=f"{_URL}/CT-0.zip", size=1_065_471_431, by_hand=_BY_HAND),
    "CT-23": RemoteFile(url=f"{_URL}/CT-23.zip", size=1_045_162_547, by_hand=_BY_HAND),
}
"""Sizes are those that the Keras example prints. Nobody has published a hash: that of the
first download of the right size is kept beside it, and later ones are compared with it."""


def list_scans(folder: Path, classes: Sequence[str]) -> ScanTable:
    """The scans in a folder for each class.

    Args:
        folder: of the folders.
        classes: their names, in the order of the class indices.

    Raises:
        ConfigError: a folder is missing or has no scans.
    """
    found = {name: _scans_in(folder / name) for name in classes}
    refuse(
        f"NIfTI scans in a folder for each class below '{folder}'",
        [f"none in '{folder / name}'" for name, scans in found.items() if not scans],
        "Put them there, or name another folder with data.folder.",
    )
    paths = list(itertools.chain.from_iterable(found.values()))
    counts = [len(scans) for scans in found.values()]
    return ScanTable(
        scans=tuple(ScanFile(path=path) for path in paths),
        labels=np.repeat(np.arange(len(classes), dtype=np.int32), counts),
        names=tuple(path.relative_to(folder).as_posix() for path in paths),
        groups=None,
        splits=("",) * len(paths),
    )


def fetch(
    folder: Path,
    classes: Sequence[str],
    report: Report,
    archives: Mapping[str, RemoteFile] = ARCHIVES,
) -> None:
    """Downloads and unpacks the classes that are not there yet.

    Args:
        folder: where the folders of the classes lie; archives are kept beside them.
        classes: of the data set.
        report: is told what happens.
        archives: where each class comes from.

    Raises:
        ConfigError: no network, or an archive that is not the right one; what to do by hand.
    """
    for name in classes:
        if (folder / name).is_dir():
            continue
        if name not in archives:
            raise ConfigError(
                f"Expected scans of the class {name!r} in '{folder / name}', found no such folder, "
                f"and only {', '.join(archives)} can be downloaded. Put the scans there."
            )
        archive = folder / f"{name}.zip"
        found = download(archives[name], archive, report)
        report(f"{archive.name}: SHA-256 {found}; unpacking")
        _unpack(archive, folder / name)


def write_phantoms(folder: Path, count: int, seed: int, report: Report) -> None:
    """Writes chest phantoms in the same layout, unless they are there.

    Args:
        folder: where the folders of the classes lie.
        count: phantoms of each class, see `ct_phantom`.
        seed: of the phantoms.
        report: is told what happens.
    """
    for label, name in enumerate(CLASSES):
        if (folder / name).is_dir():
            continue
        report(f"Writing {count} phantoms to '{folder / name}'")
        replace_folder(folder / name, partial(_draw, label, count, seed), option="--data")


def _draw(label: int, count: int, seed: int, part: Path) -> None:
    for number in range(count):
        rng = np.random.default_rng([seed, label, number])
        volume, affine, _, _ = phantom(rng, with_lesion=bool(label))
        orientation = str(rng.choice(ORIENTATIONS))
        save(part / f"study_{number + 1:04d}.nii.gz", volume, affine, orientation)


def _scans_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = sorted(path for path in folder.iterdir() if path.name.endswith(_SUFFIXES))
    return [path for path in files if not path.name.startswith(".")]


def _unpack(archive: Path, folder: Path) -> None:
    """Takes the scans out of an archive, whatever folders it has them in."""
    replace_folder(folder, partial(_take_out, archive), option="--data")


def _take_out(archive: Path, part: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as source:
            for member in source.infolist():
                name = Path(member.filename).name
                if member.is_dir() or not name.endswith(_SUFFIXES) or name.startswith("."):
                    continue
                if (part / name).exists():
                    raise ConfigError(
                        f"Expected scans of different names in '{archive}', found {name!r} twice. "
                        "Unpack it by hand into the folder of its class."
                    )
                with source.open(member) as stream, (part / name).open("wb") as target:
                    shutil.copyfileobj(stream, target)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ConfigError(
            f"Expected a zip archive in '{archive}', received: {error}. Move it away; the next "
            "run downloads it again."
        ) from error
    if not any(part.iterdir()):
        raise ConfigError(
            f"Expected NIfTI scans in '{archive}', found none. Put the right archive there, or "
            "move this one away: the next run downloads it again."
        )
