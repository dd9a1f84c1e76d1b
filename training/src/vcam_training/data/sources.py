"""The data sets that a config can name."""

from vcam_training.data.medmnist.source import MedMnistSource
from vcam_training.data.phantoms.ct_phantom_source import CtPhantomSource
from vcam_training.data.phantoms.discs_source import DiscsSource
from vcam_training.data.phantoms.solids_source import SolidsSource
from vcam_training.data.radiographs.chest_xray_source import ChestXraySource
from vcam_training.data.scans.ct_pneumonia_source import CtPneumoniaSource
from vcam_training.data.scans.scan_table_source import ScanTableSource
from vcam_training.data.soil.soil_source import SoilPorositySource

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
