"""The files of an inspected volume, in a folder of its own.

    inspect.json      everything that is said
    features.png      the channels of the layer
    channels.png      those whose sum is above a threshold, where one is given
    filter-F.png      where filter F answers: over the image, or in space
    map.png           the signed map over the image, or over the object in space
    map.gif           the same, turning; of volumes
    cam.npy           float32 [*cells], the map, raw and signed, as served
    activation.npy    float32 [*cells, C], what the layer answers
    gradient.npy      float32 [*cells, C], of the explained logit with respect to that

Those of another filter or layer stay.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_client.writing import Write
from vcam_training.inspecting.gallery import limits_of
from vcam_training.inspecting.inspection import Inspection
from vcam_training.inspecting.look import STRONG
from vcam_training.inspecting.pictures import draw_channels, draw_overlay
from vcam_training.inspecting.scatter import (
    FRAMES,
    draw_rotation,
    draw_scene,
    filter_scene,
    map_scene,
)
from vcam_training.inspecting.writing import write_all

JSON_FILE = "inspect.json"


def write_files(inspection: Inspection, folder: Path | str, *, frames: int = FRAMES) -> list[str]:
    """Writes the files; those of another filter stay.

    Args:
        inspection: what was seen.
        folder: made if need be.
        frames: of the rotation.

    Returns:
        Their names.

    Raises:
        OutputError: they can't be written.
    """
    drawings = _in_space(inspection, frames) if _is_volume(inspection) else _flat(inspection)
    return write_all(folder, {**_values(inspection), **_channels(inspection), **drawings})


def _is_volume(inspection: Inspection) -> bool:
    return inspection.volume.ndim == 3


def _values(inspection: Inspection) -> dict[str, Write]:
    seen = inspection.seen
    text = json.dumps(inspection.to_json_dict(), indent=2) + "\n"
    return {
        JSON_FILE: lambda part: part.write_text(text, encoding="utf-8"),
        "cam.npy": partial(_save, seen.cam),
        "activation.npy": partial(_save, seen.activation),
        "gradient.npy": partial(_save, seen.gradient),
    }


def _channels(inspection: Inspection) -> dict[str, Write]:
    seen = inspection.seen
    draw = partial(draw_channels, seen=seen, mask=inspection.mask)
    title = f"{inspection.title}: channels of {seen.place.name}"
    every = range(seen.activation.shape[-1])
    files: dict[str, Write] = {"features.png": partial(draw, channels=every, title=title)}
    if inspection.channels is not None:
        title += f", sum above {inspection.threshold:g}"
        files["channels.png"] = partial(draw, channels=inspection.channels, title=title)
    return files


def _flat(inspection: Inspection) -> dict[str, Write]:
    seen, image = inspection.seen, inspection.volume
    draw = partial(
        draw_overlay,
        place=seen.place,
        image=image,
        mask=inspection.mask,
        limits=limits_of(inspection.subject.contract, [image]),
    )
    of_filter, of_map = inspection.filter_title, inspection.map_title
    return {
        f"filter-{seen.filter_index}.png": partial(
            draw, values=seen.filtered, title=of_filter, bar="activation"
        ),
        "map.png": partial(draw, values=seen.cam, title=of_map, bar="map, signed", signed=True),
    }


def _in_space(inspection: Inspection, frames: int) -> dict[str, Write]:
    seen, volume, mask = inspection.seen, inspection.volume, inspection.mask
    contract = inspection.subject.contract
    limits = limits_of(contract, [volume])
    over = map_scene(
        seen.cam,
        seen.place,
        volume,
        mask,
        grid=contract.grid,
        limits=limits,
        title=inspection.map_title,
    )
    strong = filter_scene(
        seen.filtered,
        seen.strong,
        seen.place,
        volume,
        mask,
        grid=contract.grid,
        limits=limits,
        title=f"{inspection.filter_title}: cells above p{STRONG}",
    )
    return {
        f"filter-{seen.filter_index}.png": partial(draw_scene, scene=strong),
        "map.png": partial(draw_scene, scene=over),
        "map.gif": partial(draw_rotation, scene=over, frames=frames),
    }


def _save(array: NDArray, part: Path) -> None:
    with part.open("wb") as stream:
        np.save(stream, array)
