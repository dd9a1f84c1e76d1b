"""Whether all slices of a series say alike what their values mean."""

from collections.abc import Sequence

from vcam_client._dicom.frame import Frame
from vcam_client.errors import InconsistentSeriesError

_TABLE = "a modality table"
_RESCALE = "a rescale (slope and intercept)"
_SLOPE = "a slope without an intercept"
_NONE = "no rescale"
_TYPES = frozenset({"HU", "US", "OD", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT", "NORMALIZED"})
"""Values of RescaleType (PS3.3 C.11.1.1.2) that are shown; anything else may be a name."""
_MOST_NAMES = 4


def refuse_mixed_values(frames: Sequence[Frame], name: str) -> None:
    """Refuses a series in which some slices state rescale or units, and others don't.

    Slopes and intercepts may differ from slice to slice, as those of PET do. Where a missing
    one changes neither values nor units, it is not missed.

    Args:
        frames: of one series, any order.
        name: of the scan, for messages.

    Raises:
        InconsistentSeriesError: slices that say otherwise than the rest; they are named.
    """
    kinds: dict[str, list[Frame]] = {}
    for frame in frames:
        kinds.setdefault(_stated(frame), []).append(frame)
    if len(kinds) > 1 and not _harmless(frames, kinds):
        raise _differing(kinds, "how stored values become physical ones", name)
    types: dict[str, list[Frame]] = {}
    for frame in frames:
        if frame.rescale_type:
            types.setdefault(frame.rescale_type, []).append(frame)
    if len(types) > 1:
        shown = {t if t in _TYPES else "another RescaleType": slices for t, slices in types.items()}
        raise _differing(shown, "the units of their values (RescaleType)", name)


def _stated(frame: Frame) -> str:
    if frame.slope is None:
        return _TABLE if frame.instance.dataset.get("ModalityLUTSequence") else _NONE
    return _RESCALE if frame.intercept is not None else _SLOPE


def _harmless(frames: Sequence[Frame], kinds: dict[str, list[Frame]]) -> bool:
    """Whether what is missing would change nothing: slope 1, intercept 0, and no units."""
    if _TABLE in kinds or any(frame.instance.modality == "CT" for frame in frames):
        return False
    same_slope = _NONE not in kinds or all(frame.slope in (None, 1) for frame in frames)
    return same_slope and not any(frame.intercept for frame in frames)


def _differing(groups: dict[str, list[Frame]], what: str, name: str) -> InconsistentSeriesError:
    usual = max(groups, key=lambda key: len(groups[key]))
    total = sum(map(len, groups.values()))
    others = "; ".join(
        f"{len(slices)} of {total} {'has' if len(slices) == 1 else 'have'} {key}: {_names(slices)}"
        for key, slices in groups.items()
        if key != usual
    )
    return InconsistentSeriesError(
        f"Slices of {name} differ in {what}: most have {usual}, but {others}. Copy the series "
        "again, or repair these headers."
    )


def _names(frames: Sequence[Frame]) -> str:
    """The files of slices, and which frames of theirs."""
    ordered = sorted(frames, key=lambda frame: (frame.instance.header.source.name, frame.index))
    names = [
        frame.instance.header.source.name
        if frame.instance.frames == 1
        else f"frame {frame.index + 1} of {frame.instance.header.source.name}"
        for frame in ordered[:_MOST_NAMES]
    ]
    more = len(frames) - _MOST_NAMES
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
