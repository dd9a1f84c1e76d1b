"""What a reader of an answer should know of the scan and the model, in sentences."""

from vcam_client._hounsfield import not_hounsfield, sample_of
from vcam_client.errors import IncompatibleScanError
from vcam_client.grid import Placement
from vcam_client.spec import ModelSpec
from vcam_client.volume import Volume

_MOSTLY = 0.95
"""Share of values outside the model's window from which the units are in doubt."""
_HARDLY = 0.05
"""Share of the model's grid that a scan fills below which its spacing is in doubt."""

WHOLE = 0.99
"""Share of a scan's extent from which the model counts as having seen all of it."""


def remarks(volume: Volume, spec: ModelSpec, placement: Placement) -> list[str]:
    """How the scan was read, what the model is for, and what speaks against the two."""
    said = list(volume.warnings)
    if spec.intended_use:
        said.append(f"Intended use: {spec.intended_use}")
    units = spec.intensity.units
    if units and not volume.units:
        said.append(f"The file does not state its units; its values are taken as {units}.")
    wrong = not_hounsfield(volume, spec.intensity)
    if wrong:
        said.append(
            f"The values do not look like Hounsfield units: {wrong}. Scores and map may mean "
            "nothing; convert the scan with its rescale slope and intercept."
        )
    said += _doubts(volume, spec.intensity.window, placement)
    shares = placement.seen_share
    if min(shares) < WHOLE:
        extents = [n * s for n, s in zip(volume.shape, volume.spacing, strict=True)]
        seen = [share * mm for share, mm in zip(shares, extents, strict=True)]
        said.append(
            f"The model sees the middle {_mm(seen)} of the scan's {_mm(extents)}; "
            "the heatmap is 0 beyond."
        )
    return said


def require_units(volume: Volume, spec: ModelSpec) -> None:
    """Refuses what `remarks` only doubts.

    Raises:
        IncompatibleScanError: a model that takes Hounsfield units, and values that can't be.
    """
    wrong = not_hounsfield(volume, spec.intensity)
    if wrong:
        raise IncompatibleScanError(
            f"Expected values in Hounsfield units, received others: {wrong}. Convert the scan "
            "with its rescale slope and intercept, or leave --strict out."
        )


def _doubts(volume: Volume, window: tuple[float, float] | None, placement: Placement) -> list[str]:
    """Signs that this scan is nothing for this model."""
    doubts = []
    sample = sample_of(volume)
    if window is not None and sample.size:
        outside = float(((sample < window[0]) | (sample > window[1])).mean())
        if outside > _MOSTLY:
            doubts.append(
                f"{outside:.0%} of the values sampled are outside the model's window of "
                f"{window[0]:g} to {window[1]:g}: they look the same to it. Is the scan in other "
                "units?"
            )
    filled = placement.filled_share
    if filled < _HARDLY:
        doubts.append(f"The scan fills {filled:.2%} of the model's grid. Is its spacing right?")
    return doubts


def _mm(extents: list[float]) -> str:
    return "×".join(f"{mm:.0f}" for mm in extents) + " mm"
