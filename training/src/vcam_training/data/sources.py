"""The data sets that a config can name."""

from vcam_training.data.chest_xray_source import ChestXraySource
from vcam_training.data.ct_phantom_source import CtPhantomSource
from vcam_training.data.ct_pneumonia_source import CtPneumoniaSource
from vcam_training.data.discs_source import DiscsSource
from vcam_training.data.medmnist_source import MedMnistSource
from vcam_training.data.scan_table_source import ScanTableSource
from vcam_training.data.soil_source import SoilPorositySource
from vcam_training.data.solids_source import SolidsSource

SOURCES = {
    "solids": SolidsSource,
    "ct_phantom": CtPhantomSource,
    "ct_pneumonia": CtPneumoniaSource,
    "scans": ScanTableSource,
    "discs": DiscsSource,
    "soil": SoilPorositySource,
    "chest_xray": ChestXraySource,
    "medmnist": MedMnistSource,
}
"""Data sets by the name that a config uses."""

__all__ = [
    "SOURCES",
    "ChestXraySource",
    "CtPhantomSource",
    "CtPneumoniaSource",
    "DiscsSource",
    "MedMnistSource",
    "ScanTableSource",
    "SoilPorositySource",
    "SolidsSource",
]
