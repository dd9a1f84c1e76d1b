"""A prediction: scores, and the evidence for one class on the scan's own grid."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vcam_client._calls import Traffic
from vcam_client._files import write_atomically
from vcam_client.grid import Placement
from vcam_client.scores import percentages
from vcam_client.spec import Activation, CamLayer, ModelSpec
from vcam_client.volume import Volume

HEATMAP_STEP = 1 / 255
"""Value of one step of a stored heatmap (uint8, 255 = strongest cell)."""

EVIDENCE_LEVEL = 0.5
"""Heatmap value from which a voxel counts towards the evidence volume."""

NO_EVIDENCE_SHARE = 1 / 3
"""Share of the spec's reference maximum up to which a map is no evidence.

On 240 held-out phantoms the largest cells of detected lesions were 0.41 to 2.15 of the
reference, those of volumes rightly called clear 0.17 to 0.66, three quarters below 0.35.
"""


_SAMPLES = 32
"""Voxels along each axis, at least, that values are judged by."""
_MOSTLY = 0.95
"""Share of values outside the model's window from which the units are in doubt."""
_HARDLY = 0.05
"""Share of the model's grid that a scan fills below which its spacing is in doubt."""

WHOLE = 0.99
"""Share of a scan's extent from which the model counts as having seen all of it."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the map says, before anybody looks at a picture.

    Attributes:
        found: whether the map holds evidence for the class explained.
        raw_maximum: largest cell of the raw cam.
        positive_fraction: share of cells above zero.
        reference_maximum: the spec's typical maximum of a true positive, or None.
        cell: cell of the maximum, tensor axes (sliced axis first for 2-D models).
        voxel: scan index (i, j, k) of that cell's centre; may be fractional.
        world: RAS+ millimetres of that centre; None where the spacing is unknown.
        share: share of the scan's voxels where the heatmap is at least EVIDENCE_LEVEL.
        volume_mm3: their volume; None for a picture or where the spacing is unknown.
    """

    found: bool
    raw_maximum: float
    positive_fraction: float
    reference_maximum: float | None
    cell: tuple[int, ...]
    voxel: tuple[float, float, float]
    world: tuple[float, float, float] | None
    share: float
    volume_mm3: float | None

    @property
    def strength(self) -> float | None:
        """The largest cell as a share of a typical true positive's, where that is known."""
        return self.raw_maximum / self.reference_maximum if self.reference_maximum else None


@dataclass(frozen=True, kw_only=True)
class WrittenFiles:
    """Paths of the result files of one scan."""

    heatmap: Path
    overlay: Path
    result: Path


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """The answer of a model for one scan.

    Attributes:
        volume: the scan.
        spec, model, version: what answered.
        scores: float64 [K], in the order of `spec.labels`.
        class_index: the class explained.
        cam: float32 [*cells], raw and signed, three tensor axes; the slices of a
            2-D model come first.
        placement: how the scan lies on the model's grid.
        timings: seconds, by step.
        method: CAM method asked for; None for the model's own.
        traffic: bytes of the calls on the wire.
    """

    volume: Volume = field(repr=False)
    spec: ModelSpec = field(repr=False)
    model: str
    version: int
    scores: NDArray[np.float64]
    class_index: int
    cam: NDArray[np.float32] = field(repr=False)
    placement: Placement = field(repr=False)
    timings: Mapping[str, float] = field(repr=False)
    method: str | None = None
    traffic: Traffic = field(default=Traffic(), repr=False)

    @property
    def label(self) -> str:
        """The label explained."""
        return self.spec.labels[self.class_index]

    @property
    def scores_by_label(self) -> dict[str, float]:
        """{label: score}."""
        return dict(zip(self.spec.labels, map(float, self.scores), strict=True))

    @property
    def percentages(self) -> dict[str, float] | None:
        """{label: percent}, two decimals; None for a regression."""
        if self.spec.activation is Activation.IDENTITY:
            return None
        rounded = percentages(self.scores, exclusive=self.spec.exclusive)
        return dict(zip(self.spec.labels, rounded, strict=True))

    @property
    def layer(self) -> CamLayer:
        """Geometry of `cam` on the model's grid, three axes."""
        return self.placement.stacked_layer(self.spec.default_layer)

    @property
    def has_evidence(self) -> bool:
        """Whether the map's maximum is positive, and not far below the reference."""
        reference = self.spec.default_layer.reference_maximum
        return float(self.cam.max()) > NO_EVIDENCE_SHARE * max(reference or 0.0, 0.0)

    @cached_property
    def stored_heatmap(self) -> NDArray[np.uint8]:
        """uint8 [I, J, K] on the scan's grid, in steps of HEATMAP_STEP.

        max(cam, 0) interpolated between cell centres and divided by the largest
        cell; zero where the model never saw the scan, and everywhere when there
        is no evidence.
        """
        return self._map_on_scan(np.uint8, 1 / HEATMAP_STEP)

    def heatmap(self) -> NDArray[np.float32]:
        """float32 [I, J, K] in [0, 1] on the scan's grid, not rounded; see `stored_heatmap`."""
        return self._map_on_scan(np.float32, 1.0)

    def _map_on_scan(self, dtype: DTypeLike, strongest: float) -> NDArray[Any]:
        """[I, J, K], the strongest cell at the value `strongest`; zeros without evidence."""
        if not self.has_evidence:
            return np.zeros(self.volume.shape, dtype, order="F")
        cells = np.maximum(self.cam, 0) / self.cam.max() * np.float32(strongest)
        return self.placement.map_on_scan(cells, self.layer, dtype)

    @property
    def no_evidence(self) -> str:
        """Why the map counts as no evidence, in one sentence; "" where evidence is found."""
        evidence = self.evidence
        if evidence.found:
            return ""
        if evidence.strength is None or evidence.raw_maximum <= 0:
            return f"No evidence for {self.label}: no cell of its map is above 0."
        return (
            f"No evidence for {self.label}: the strongest cell of its map is "
            f"{evidence.strength:.1%} of a typical true positive's "
            f"(up to {NO_EVIDENCE_SHARE:.1%} is none)."
        )

    @property
    def remarks(self) -> list[str]:
        """What a reader of this answer should know, in sentences."""
        remarks = list(self.volume.warnings)
        if self.spec.intended_use:
            remarks.append(f"Intended use: {self.spec.intended_use}")
        units = self.spec.intensity.units
        if units and not self.volume.units:
            remarks.append(f"The file does not state its units; its values are taken as {units}.")
        remarks += _doubts(self.volume, self.spec.intensity.window, self.placement)
        shares = self.placement.seen_share
        if min(shares) < WHOLE:
            extents = [n * s for n, s in zip(self.volume.shape, self.volume.spacing, strict=True)]
            seen = [share * mm for share, mm in zip(shares, extents, strict=True)]
            remarks.append(
                f"The model sees the middle {_mm(seen)} of the scan's {_mm(extents)}; "
                "the heatmap is 0 beyond."
            )
        return remarks

    @cached_property
    def evidence(self) -> Evidence:
        """Where the evidence lies, or that there is none."""
        cell = tuple(int(c) for c in np.unravel_index(int(np.argmax(self.cam)), self.cam.shape))
        voxel = self.placement.cell_on_scan(cell, self.layer)
        level = round(EVIDENCE_LEVEL / HEATMAP_STEP)
        # plane by plane: a mask of the whole scan would be as large as the heatmap
        strong = sum(int(np.count_nonzero(plane >= level)) for plane in self.stored_heatmap.T)
        volume = self.volume
        measured = volume.spacing_known and not volume.is_picture
        return Evidence(
            found=self.has_evidence,
            raw_maximum=float(self.cam.max()),
            positive_fraction=float((self.cam > 0).mean()),
            reference_maximum=self.spec.default_layer.reference_maximum,
            cell=cell,
            voxel=voxel,
            world=volume.world(voxel) if volume.spacing_known else None,
            share=strong / volume.data.size,
            volume_mm3=strong * volume.voxel_mm3 if measured else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """What `to_json` writes."""
        evidence = self.evidence
        world = evidence.world if evidence.found else None
        return {
            "scan": self.volume.name,
            "model": self.model,
            "model_version": self.version,
            "model_spec_name": self.spec.name,
            "scores": self.scores_by_label,
            "percentages": self.percentages,
            "unit": self.spec.unit or None,
            "explained_class": self.label,
            "explained_class_index": self.class_index,
            "cam_layer": self.layer.name,
            "evidence": {
                "found": evidence.found,
                "raw_maximum": evidence.raw_maximum,
                "positive_fraction": evidence.positive_fraction,
                "reference_maximum": evidence.reference_maximum,
                "no_evidence_up_to": NO_EVIDENCE_SHARE * (evidence.reference_maximum or 0.0),
                "strongest_cell_voxel_ijk": list(evidence.voxel) if evidence.found else None,
                "strongest_cell_world_ras_mm": None if world is None else list(world),
                "share": evidence.share,
                "volume_mm3": evidence.volume_mm3,
                "volume_level": EVIDENCE_LEVEL,
            },
            "remarks": self.remarks,
            "timings_s": dict(self.timings),
        }

    def to_json(self, path: Path | str) -> Path:
        """Writes scores and evidence; units are part of the key names."""
        write_atomically(Path(path), self._json())
        return Path(path)

    def to_nifti(self, path: Path | str) -> Path:
        """Writes the heatmap (uint8, scaled to [0, 1]) with the scan's shape and affine."""
        write_atomically(Path(path), self._nifti())
        return Path(path)

    def to_png(self, path: Path | str) -> Path:
        """Writes a picture: slices with most evidence, plain and with the heatmap."""
        write_atomically(Path(path), self._png())
        return Path(path)

    def write(self, folder: Path | str = ".") -> WrittenFiles:
        """Writes NAME_heatmap.nii.gz, NAME_overlay.png and NAME_result.json.

        The heatmap of a picture is NAME_heatmap.png: uint8 grey, 0 to 255 for 0 to 1, of the
        picture's size, upright as EXIF says.

        Raises:
            OutputError: the folder can't be written; each file is whole or absent.
        """
        stem = Path(folder) / self.volume.name
        flat = self.volume.is_picture
        files = WrittenFiles(
            heatmap=stem.with_name(f"{stem.name}_heatmap{'.png' if flat else '.nii.gz'}"),
            overlay=stem.with_name(f"{stem.name}_overlay.png"),
            result=stem.with_name(f"{stem.name}_result.json"),
        )
        # everything is computed before the first file appears
        heatmap = self._picture() if flat else self._nifti()
        contents = (heatmap, self._png(), self._json())
        for path, content in zip(vars(files).values(), contents, strict=True):
            write_atomically(path, content)
        return files

    def _json(self) -> bytes:
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        return text.encode() + b"\n"

    def _nifti(self) -> bytes:
        from vcam_client._nifti import nifti_bytes

        return nifti_bytes(self.stored_heatmap, self.volume, HEATMAP_STEP)

    def _picture(self) -> bytes:
        from vcam_client._pictures import grey_png

        return grey_png(self.stored_heatmap[:, :, 0].T)

    def _png(self) -> bytes:
        from vcam_client._overlay import overlay_png

        return overlay_png(self)


def _doubts(volume: Volume, window: tuple[float, float] | None, placement: Placement) -> list[str]:
    """Signs that this scan is nothing for this model."""
    doubts = []
    steps = tuple(slice(None, None, max(1, n // _SAMPLES)) for n in volume.shape)
    sample = volume.data[steps]
    if volume.padding is not None:
        sample = sample[(sample < volume.padding[0]) | (sample > volume.padding[1])]
    if window is not None and sample.size:
        outside = float(((sample < window[0]) | (sample > window[1])).mean())
        if outside > _MOSTLY:
            doubts.append(
                f"{outside:.0%} of the values lie outside the model's window of {window[0]:g} to "
                f"{window[1]:g}: they look the same to it. Is the scan in other units?"
            )
    filled = placement.filled_share
    if filled < _HARDLY:
        doubts.append(f"The scan fills {filled:.2%} of the model's grid. Is its spacing right?")
    return doubts


def _mm(extents: list[float]) -> str:
    return "×".join(f"{mm:.0f}" for mm in extents) + " mm"
