"""How far the maps of a model can be trusted: measured, reported, and carried by the model."""

from vcam_training.trust.measuring import measure
from vcam_training.trust.report import TrustReport
from vcam_training.trust.run import Trusted, trust, write

__all__ = ["TrustReport", "Trusted", "measure", "trust", "write"]
