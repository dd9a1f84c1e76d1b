"""Whether all slices of a series say alike what their values mean."""

from collections.abc import Sequence
from statistics import median_high

from vcam_client._dicom.frame import Frame
from vcam_client.errors import InconsistentSeriesError

_TABLE = "a modality table"
_RESCALE = "a rescale (slope and intercept)"
_SLOPE = "a slope without an intercept"
_NONE = "no rescale"
_UNSPECIFIED = "US"
_TYPES = frozenset({"HU", "US", "OD", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT", "NORMALIZED"})
"""Values of RescaleType (PS3.3 C.11.1.1.2) that are shown; anything else may be a name."""
_PET_UNITS = frozenset(
    [
        "CNTS",
        "NONE",
        "CM2",
        "CM2ML",
        "PCNT",
        "CPS",
        "BQML",
        "MGMINML",
        "UMOLMINML",
        "MLMING",
        "MLG",
        "1CM",
        "UMOLML",
        "PROPCNTS",
        "PROPCPS",
        "MLMINML",
        "MLML",
        "GML",
        "STDDEV",
    ]
)
"""Values of Units (PS3.3 C.8.9.1.1.3) that are shown."""
_SUV_TYPES = frozenset({"BSA", "BW", "LBM", "LBMJAMES128", "LBMJANMA", "IBW"})
"""Values of SUVType (PS3.3 C.8.9.1) that are shown; where it is missing, it is BW."""
_MOST_NAMES = 4
_TWELVE_BITS = 4096
_ROUNDING_HU = 1.0
"""By which the rounding of slope and intercept may change a stored value of twelve bits."""


def refuse_mixed_values(frames: Sequence[Frame], name: str) -> None:
    """Refuses a series in which slices differ in what their values mean.

    All of them state rescale and units, or none does; where a missing rescale changes neither
    values nor units, it is not missed. All are MONOCHROME1, or none is. Slopes and intercepts
    may differ from slice to slice, as those of PET do; but where most slices of a CT have the
    same, the others are damaged, unless their bits are stored in another way.

    Args:
        frames: of one series, any order.
        name: of the scan, for messages.

    Raises:
        InconsistentSeriesError: slices that say otherwise than the rest; they are named.
    """
    inverted: dict[str, list[Frame]] = {}
    for frame in frames:
        key = "MONOCHROME1" if frame.instance.monochrome1 else "MONOCHROME2"
        inverted.setdefault(key, []).append(frame)
    if len(inverted) > 1:
        what = "whether low values are dark (PhotometricInterpretation)"
        raise _differing(inverted, what, name)
    kinds: dict[str, list[Frame]] = {}
    for frame in frames:
        kinds.setdefault(_stated(frame), []).append(frame)
    if len(kinds) > 1 and not _harmless(frames, kinds):
        raise _differing(kinds, "how stored values become physical ones", name)
    _refuse_mixed_units(frames, name)
    _refuse_odd_rescale([f for f in frames if f.instance.modality == "CT"], name)


def _refuse_mixed_units(frames: Sequence[Frame], name: str) -> None:
    for keyword, known, value in (
        ("RescaleType", _TYPES, _type),
        ("Units", _PET_UNITS, lambda frame: _text(frame, "Units")),
        ("SUVType", _SUV_TYPES, lambda frame: _text(frame, "SUVType") or "BW"),
    ):
        units: dict[str, list[Frame]] = {}
        for frame in frames:
            units.setdefault(value(frame), []).append(frame)
        if len(units) > 1:
            shown: dict[str, list[Frame]] = {}
            for unit, slices in units.items():
                key = unit if unit in known else f"another {keyword}" if unit else f"no {keyword}"
                shown[f"{key} ({len(shown) + 1})" if key in shown else key] = slices
            raise _differing(shown, f"the units of their values ({keyword})", name)


def _refuse_odd_rescale(frames: Sequence[Frame], name: str) -> None:
    """Of CT: a rescale that most slices share is the scanner's, and another one is damage."""
    stored: dict[tuple[object, ...], list[Frame]] = {}
    for frame in frames:
        i = frame.instance
        if frame.slope is not None:
            form = (i.signed, i.bits_allocated, i.bits_stored, i.high_bit)
            stored.setdefault(form, []).append(frame)
    for alike in stored.values():
        slope = median_high(frame.slope or 1.0 for frame in alike)
        intercept = median_high(frame.intercept or 0.0 for frame in alike)
        rescales: dict[str, list[Frame]] = {}
        for frame in alike:
            a, b = frame.slope or 1.0, frame.intercept or 0.0
            if abs(a - slope) * _TWELVE_BITS + abs(b - intercept) <= _ROUNDING_HU:
                a, b = slope, intercept
            rescales.setdefault(f"slope {a:g} and intercept {b:g}", []).append(frame)
        most = max(map(len, rescales.values()))
        if 2 <= most < len(alike) <= 2 * most:
            raise _differing(rescales, "slope or intercept", name)


def _type(frame: Frame) -> str:
    """RescaleType, or what its absence means (PS3.3 C.8.2.1, C.11.1)."""
    if frame.rescale_type:
        return frame.rescale_type
    if frame.slope is None and frame.table_type:
        return frame.table_type
    is_ct = frame.instance.modality == "CT" and frame.intercept is not None
    return "HU" if is_ct else _UNSPECIFIED


def _text(frame: Frame, keyword: str) -> str:
    return str(frame.instance.dataset.get(keyword) or "").strip().upper()


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
