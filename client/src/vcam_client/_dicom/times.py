"""Dates and clock times of headers as seconds, so that midnight is a moment like any other."""

import re
from collections.abc import Sequence
from datetime import date
from itertools import pairwise

_DATE = re.compile(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})", re.ASCII)
_CLOCK = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2}(?:\.\d{1,6})?))?)?", re.ASCII)
_MOMENT = re.compile(r"(\d{8})(\d{2}[\d.]*)?([+-]\d{4})?", re.ASCII)
"""VR DT: date, clock and offset from UTC (PS3.5 6.2)."""
_DAY_S = 86_400.0
_HALF_A_DAY_S = _DAY_S / 2
_LARGEST_CLOCK = 23, 59, 60.999999
"""Hours, minutes and seconds; there are leap seconds."""


def moment(text: str) -> str:
    """Seconds since the year 1 of a date and time (VR DT); "" without one.

    What can't be parsed stays a text that is not a number, so that it has no order.
    """
    found = _MOMENT.fullmatch(text)
    day = _day(found[1]) if found else None
    clock = _clock(found[2] or "00") if found else None
    if not text or found is None or day is None or clock is None:
        return _unordered(text)
    return _written(day + clock - _offset(found[3]))


def clock_time(day_text: str, text: str) -> str:
    """Seconds since the year 1 of a date (VR DA) and a time (VR TM), or, undated, since midnight.

    What can't be parsed stays a text that is not a number, so that it has no order.
    """
    clock, day = _clock(text), _day(day_text)
    return _unordered(text) if clock is None else _written((day or 0.0) + clock)


def over_midnight(times: Sequence[str]) -> list[str]:
    """Clock times of one series in the order of time: those after midnight get a day more.

    Several dates, one with each time, settle it. Else the series begins after the longest pause
    of the day, if that is more than half of it: some scanners write one date throughout.

    Args:
        times: as `clock_time` gives them; "" and texts stay.
    """
    known = {n: float(time) for n, time in enumerate(times) if _is_number(time)}
    days = {time // _DAY_S for time in known.values()}
    if len(days) > 1:
        if 0 not in days:
            return list(times)
        known = {n: time % _DAY_S for n, time in known.items()}
    clocks = sorted({time % _DAY_S for time in known.values()})
    start = next((b for a, b in pairwise(clocks) if b - a > _HALF_A_DAY_S), 0.0)
    settled = list(times)
    for n, time in known.items():
        settled[n] = _written(time + _DAY_S * (time % _DAY_S < start))
    return settled


def is_ordered(seconds: Sequence[float]) -> bool:
    """Whether times can be put in order: all dated, or within half a day."""
    return min(seconds) >= 2 * _DAY_S or max(seconds) - min(seconds) < _HALF_A_DAY_S


def _day(text: str) -> float | None:
    found = _DATE.fullmatch(text)
    try:
        return date(*map(int, found.groups())).toordinal() * _DAY_S if found else None
    except ValueError:  # no such day
        return None


def _clock(text: str) -> float | None:
    found = _CLOCK.fullmatch(text)
    parts = [float(part or 0) for part in found.groups()] if found else []
    if not parts or any(a > b for a, b in zip(parts, _LARGEST_CLOCK, strict=True)):
        return None
    return 3600 * parts[0] + 60 * parts[1] + parts[2]


def _offset(text: str | None) -> float:
    if not text:
        return 0.0
    seconds = 3600.0 * int(text[1:3]) + 60.0 * int(text[3:])
    return -seconds if text[0] == "-" else seconds


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def _unordered(text: str) -> str:
    return f"?{text}" if text else ""


def _written(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".")
