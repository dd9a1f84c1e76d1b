"""Finds the files of a table's images in a folder."""

import os
from collections.abc import Sequence
from pathlib import Path

from vcam_client.errors import ConfigError


def find_images(
    folder: Path,
    names: Sequence[str],
    *,
    images: str = "data.images",
    starter: str = "data.starter",
) -> list[Path]:
    """The file of each name, however deep: ChestX-ray14 comes in twelve folders.

    Args:
        folder: is searched once.
        names: of files, without folders.
        images, starter: what the caller sets the folder and a list of names with.

    Returns:
        Paths in the order of the names.

    Raises:
        ConfigError: files are missing, or a name is there twice.
    """
    if not folder.is_dir():
        raise ConfigError(f"Expected a folder with images, found none at '{folder}'. Set {images}.")
    wanted, found = set(names), dict[str, Path]()
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in wanted.intersection(files):
            if name in found:
                raise ConfigError(
                    f"Expected one image '{name}' in '{folder}', found '{found[name]}' and "
                    f"'{Path(place) / name}'. Set {images} to a folder with one of them."
                )
            found[name] = Path(place) / name
    missing = sorted(wanted - found.keys())
    if missing:
        raise ConfigError(
            f"Expected {len(wanted)} images of the table in '{folder}', {len(missing)} are "
            f"missing, such as {missing[0]}. Set {images} to their folder; or list the "
            f"names of those that are there in a file, and set {starter} to it."
        )
    return [found[name] for name in names]
