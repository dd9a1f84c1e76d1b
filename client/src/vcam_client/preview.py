"""What a prediction would send, without asking the model for scores."""

from dataclasses import dataclass

import numpy as np

from vcam_client._remarks import remarks, require_units
from vcam_client._steps import ServedSpec
from vcam_client.grid import Placement, place
from vcam_client.spec import Fit, Resampling
from vcam_client.volume import Volume


@dataclass(frozen=True, kw_only=True, eq=False)
class Preview:
    """How a scan would be laid onto a model's grid.

    Attributes:
        volume: the scan.
        served: the model's spec, and its version.
        placement: how the scan lies on the grid.
        shape: of the tensor that would be sent, without batch and channel.
        tensor_bytes: its size.
        minimum, maximum: of the tensor.
        remarks: what a reader should know, in sentences.
    """

    volume: Volume
    served: ServedSpec
    placement: Placement
    shape: tuple[int, ...]
    tensor_bytes: int
    minimum: float
    maximum: float
    remarks: tuple[str, ...]


def preview(volume: Volume, served: ServedSpec, *, strict: bool = False) -> Preview:
    """Lays a scan onto the model's grid, and looks at the result.

    Args:
        strict: refuse values that can't be in the model's units.

    Raises:
        IncompatibleScanError: the model can't take it.
    """
    spec = served.spec
    placement = place(volume, spec.grid, spec.slice_aggregation)
    if strict:
        require_units(volume, spec)
    tensor = placement.to_model(volume.data, spec.intensity.dtype, padding=volume.padding)
    return Preview(
        volume=volume,
        served=served,
        placement=placement,
        shape=tensor.shape,
        tensor_bytes=tensor.nbytes,
        minimum=float(tensor.min()),
        maximum=float(tensor.max()),
        remarks=tuple(remarks(volume, spec, placement)),
    )


def describe_preview(found: Preview, model: str) -> str:
    """Scan, model, grid and what would be sent, a row each."""
    volume, spec = found.volume, found.served.spec
    grid = spec.grid
    fit = "at the model's spacing" if grid.fit is Fit.SPACING else "stretched"
    way = "area averages" if grid.resampling is Resampling.AREA else "linear"
    seen, filled = float(np.prod(found.placement.seen_share)), found.placement.filled_share
    rows = [
        ("scan", f"{volume.name}: {_by(volume.shape)} voxels"),
        ("model", f"{spec.name}, version {found.served.version} (served as {model!r})"),
        ("grid", f"{_by(found.shape)}, {fit}, {way}"),
        ("seen", f"{seen:.1%} of the scan; it fills {filled:.1%} of the grid"),
        ("values", f"{found.minimum:g} to {found.maximum:g} {spec.intensity.units}".rstrip()),
        ("to send", f"{found.tensor_bytes / 1e6:.2f} MB of {spec.intensity.dtype}"),
        *(("note", text) for text in found.remarks),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
