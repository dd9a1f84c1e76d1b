"""The data sets that a config can name."""

from vcam_training.data.ct_phantom_source import CtPhantomSource
from vcam_training.data.discs_source import DiscsSource
from vcam_training.data.soil_source import SoilPorositySource
from vcam_training.data.solids_source import SolidsSource

SOURCES = {
    "solids": SolidsSource,
    "ct_phantom": CtPhantomSource,
    "discs": DiscsSource,
    "soil": SoilPorositySource,
}
"""Data sets by the name that a config uses."""

__all__ = ["SOURCES", "CtPhantomSource", "DiscsSource", "SoilPorositySource", "SolidsSource"]
