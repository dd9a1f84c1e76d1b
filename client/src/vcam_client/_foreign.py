"""Files that hold scans, but of kinds that vcam does not read; each with what converts it."""

from dataclasses import dataclass
from pathlib import Path

from vcam_client.errors import UnsupportedFormatError


@dataclass(frozen=True, kw_only=True)
class ForeignKind:
    """A kind of file, known by the ends of its names.

    Attributes:
        name: what it is.
        suffixes: in lower case.
        advice: how to get what vcam reads, a sentence.
    """

    name: str
    suffixes: tuple[str, ...]
    advice: str


FOREIGN_KINDS = (
    ForeignKind(
        name="MINC",
        suffixes=(".mnc", ".mnc2", ".mnc.gz"),
        advice="Convert it to NIfTI with mnc2nii (of the MINC tools) or mri_convert (FreeSurfer).",
    ),
    ForeignKind(
        name="Philips PAR/REC",
        suffixes=(".par", ".rec"),
        advice="Convert it to NIfTI with dcm2niix, or parrec2nii (of nibabel).",
    ),
    ForeignKind(
        name="AFNI",
        suffixes=(".head", ".brik", ".head.gz", ".brik.gz"),
        advice="Convert it to NIfTI with 3dAFNItoNIFTI (of AFNI).",
    ),
    ForeignKind(
        name="MRtrix",
        suffixes=(".mif", ".mif.gz"),
        advice="Convert it to NIfTI with mrconvert (of MRtrix3).",
    ),
    ForeignKind(
        name="NumPy's archive of arrays (.npz)",
        suffixes=(".npz",),
        advice="Save one of its arrays alone, with numpy.save, as .npy.",
    ),
    ForeignKind(
        name="bare voxels without a header",
        suffixes=(".raw", ".zraw"),
        advice="Give the header that names them: the .mhd or .nhdr file.",
    ),
)


def foreign_kind(path: Path) -> ForeignKind | None:
    """The kind that a file's name says, None where it is of none of them."""
    name = path.name.lower()
    return next((kind for kind in FOREIGN_KINDS if name.endswith(kind.suffixes)), None)


def refusal(path: Path, kind: ForeignKind) -> UnsupportedFormatError:
    """The error for a file of that kind."""
    return UnsupportedFormatError(f"{path.name} is {kind.name}, not read by vcam. {kind.advice}")
