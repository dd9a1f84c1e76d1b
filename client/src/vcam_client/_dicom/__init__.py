"""DICOM: the instances of a series become a volume.

sources → header (elements) → instance, frame (marks) → series (copies, grouping, lines, apart) →
stack (order) → rescale (are values meant alike?) → pixels → volume.
LPS+ becomes RAS+ in `volume.py` and nowhere else.
"""

from vcam_client._dicom.facts import SeriesFacts, facts_of
from vcam_client._dicom.series import Found, Series, find_series, find_series_among
from vcam_client._dicom.volume import choose, read_dicom, read_series

__all__ = [
    "Found",
    "Series",
    "SeriesFacts",
    "choose",
    "facts_of",
    "find_series",
    "find_series_among",
    "read_dicom",
    "read_series",
]
