"""Names on one line of a terminal."""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Line breaks of every kind, and what moves a terminal's cursor or changes its colours."""


def one_line(name: str) -> str:
    r"""A key or path with line breaks and other control characters escaped, as in `a\nb.nii`."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), name)
