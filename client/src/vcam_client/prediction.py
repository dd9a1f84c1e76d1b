"""A prediction: scores, and the evidence for one class on the scan's own grid."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._calls import Traffic
from vcam_client._cam_map import CamMap
from vcam_client._remarks import remarks
from vcam_client.evidence import (
    EVIDENCE_LEVEL,
    HEATMAP_STEP,
    SIGNED_STEP,
    Evidence,
    Finding,
    nothing_up_to,
)
from vcam_client.explanation import Explanation
from vcam_client.grid import Placement
from vcam_client.regions import Regions, regions, stored_level
from vcam_client.scores import percentages
from vcam_client.spec import Activation, CamLayer, ModelSpec
from vcam_client.truth import Agreement, Truth, agreement
from vcam_client.volume import Volume
from vcam_client.writing import write_atomically

if TYPE_CHECKING:
    from vcam_client.results import WrittenFiles

__all__ = ["Evidence", "Prediction"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """The answer of a model for one scan.

    Maps on the scan's grid are computed when they are asked for. Stored ones are kept
    then, one byte for each voxel, until `release`.

    Attributes:
        volume: the scan.
        spec, model, version: what answered.
        scores: float64 [K], in the order of `spec.labels`.
        class_index: the class explained.
        cam: float32 [*cells], raw and signed, three tensor axes; the slices of a
            2-D model come first.
        placement: how the scan lies on the model's grid.
        timings: seconds, by step.
        asked: the explanation asked for; None for the model's own.
        contrast: whether the model saw anything but one value.
        traffic: bytes of the calls on the wire.
        truth: a mask to compare with, where one was read for this scan.
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
    asked: Explanation | None = None
    contrast: bool = True
    traffic: Traffic = field(default=Traffic(), repr=False)
    truth: Truth | None = field(default=None, repr=False)
    _measured: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

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
    def explanation(self) -> Explanation:
        """Method, layer and typical values of `cam`."""
        return self.asked or self.spec.default_explanation

    @property
    def layer(self) -> CamLayer:
        """Geometry of `cam` on the model's grid, three axes."""
        return self.placement.stacked_layer(self.spec.layer(self.explanation.layer))

    @property
    def has_evidence(self) -> bool:
        """Whether the map's maximum is positive, and not far below the reference."""
        return self.map.speaks_for

    @property
    def has_counter_evidence(self) -> bool:
        """Whether the map's minimum speaks against the class, by the same measure."""
        return self.map.speaks_against

    @cached_property
    def map(self) -> CamMap:
        """`cam` with its geometry, and how large a cell must be to count."""
        return CamMap(
            cells=self.cam,
            layer=self.layer,
            placement=self.placement,
            nothing=nothing_up_to(self.explanation),
            contrast=self.contrast,
        )

    @cached_property
    def cam_affine(self) -> NDArray[np.float64] | None:
        """float64 [4, 4]: index of a cell in `cam` to RAS+ mm of its centre.

        None where the spacing of the scan is unknown. Sheared scans have one, too: their
        cells lie on the model's grid, which is orthogonal.
        """
        if not self.volume.spacing_known:
            return None
        return self.volume.affine @ self.map.cell_to_scan()

    @cached_property
    def stored_heatmap(self) -> NDArray[np.uint8]:
        """uint8 [I, J, K] on the scan's grid, in steps of HEATMAP_STEP.

        max(cam, 0) interpolated between cell centres and divided by the largest
        cell; zero where the model never saw the scan, and everywhere when there
        is no evidence.
        """
        return self.map.on_scan(self.map.positive, np.uint8, 1 / HEATMAP_STEP)

    def heatmap(self) -> NDArray[np.float32]:
        """float32 [I, J, K] in [0, 1] on the scan's grid, not rounded; see `stored_heatmap`."""
        return self.map.on_scan(self.map.positive, np.float32, 1.0)

    @cached_property
    def stored_signed_map(self) -> NDArray[np.int8]:
        """int8 [I, J, K] on the scan's grid, in steps of SIGNED_STEP; see `signed_map`."""
        return self.map.on_scan(self.map.signed, np.int8, 1 / SIGNED_STEP)

    def signed_map(self) -> NDArray[np.float32]:
        """float32 [I, J, K] in [-1, 1] on the scan's grid: above 0 for the class, below against.

        The cam interpolated between cell centres and divided by the largest magnitude of
        a cell. What is no evidence by its maximum is 0 here, too, and so is what is none
        by its minimum. For a regression: what raises the value, and what lowers it.
        """
        return self.map.on_scan(self.map.signed, np.float32, 1.0)

    def heatmap_on_model_grid(self) -> NDArray[np.float32]:
        """float32 in [0, 1] on the model's input grid, [D, H, W] or [slices, H, W].

        Up to half a cell beyond the outermost cell centres the edge value holds; further
        out it is 0.
        """
        return self.map.on_model_grid(self.map.positive)

    def mask(self, threshold: float = EVIDENCE_LEVEL) -> NDArray[np.uint8]:
        """uint8 [I, J, K] on the scan's grid: 1 where the heatmap is at least `threshold`.

        Raises:
            InputError: a threshold that is not above 0 and at most 1.
        """
        marked: NDArray[np.uint8] = (self.stored_heatmap >= stored_level(threshold)).view(np.uint8)
        return marked

    def regions(self, threshold: float = EVIDENCE_LEVEL) -> Regions:
        """The connected regions of `mask`, largest first; worked out once.

        Raises:
            InputError: a threshold that is not above 0 and at most 1.
        """
        if threshold not in self._measured:
            per_voxel = self.mm3(1)
            found = regions(self.stored_heatmap, self.volume, threshold, per_voxel)
            self._measured[threshold] = found
        known: Regions = self._measured[threshold]
        return known

    def agreement(self, truth: Truth, threshold: float = EVIDENCE_LEVEL) -> Agreement:
        """How well the heatmap agrees with a mask on the scan's grid; worked out once.

        Raises:
            InputError: a mask of another shape, or a threshold out of range.
        """
        key = (truth, threshold)
        if key not in self._measured:
            self._measured[key] = agreement(self, truth, threshold)
        known: Agreement = self._measured[key]
        return known

    def measure(
        self, threshold: float | None, truth: Truth | None
    ) -> tuple[Regions | None, Agreement | None]:
        """Evidence, and regions and agreement where they are asked for, are known afterwards."""
        _ = self.evidence
        level = EVIDENCE_LEVEL if threshold is None else threshold
        return (
            None if threshold is None else self.regions(threshold),
            None if truth is None else self.agreement(truth, level),
        )

    def release(self) -> None:
        """Forgets the maps on the scan's grid; they are computed again when asked for."""
        for name in ("stored_heatmap", "stored_signed_map"):
            self.__dict__.pop(name, None)

    @property
    def no_evidence(self) -> str:
        """Why the map counts as no evidence, in one sentence; "" where evidence is found."""
        if self.has_evidence:
            return ""
        reasons = {
            Finding.NO_CONTRAST: "all of the scan looks the same to the model",
            Finding.NOTHING_POSITIVE: "no cell of its map is above 0",
            Finding.FLAT: "all cells of its map are alike, so it points nowhere",
            Finding.WEAK: self._weakness,
        }
        of_a_value = self.spec.activation is Activation.IDENTITY
        what = "Nothing raises" if of_a_value else "No evidence for"
        return f"{what} {self.label}: {reasons[self.map.finding]}."

    @property
    def _weakness(self) -> str:
        strongest, nothing = "the strongest cell of its map is", self.map.nothing
        largest, reference = float(self.cam.max()), self.explanation.reference_maximum
        if not reference:
            return f"{strongest} {largest:.3g} (up to {nothing:.3g} is none)"
        return (
            f"{strongest} {largest / reference:.1%} as strong as in a typical true positive "
            f"(up to {nothing / reference:.1%} is none)"
        )

    @property
    def remarks(self) -> list[str]:
        """What a reader of this answer should know, in sentences."""
        return remarks(self.volume, self.spec, self.placement)

    @cached_property
    def evidence(self) -> Evidence:
        """Where the evidence lies, or that there is none."""
        cell = tuple(int(c) for c in np.unravel_index(int(np.argmax(self.cam)), self.cam.shape))
        voxel = self.placement.cell_on_scan(cell, self.layer)
        level = round(EVIDENCE_LEVEL / HEATMAP_STEP)
        # plane by plane: a mask of the whole scan would be as large as the heatmap
        strong = sum(int(np.count_nonzero(plane >= level)) for plane in self.stored_heatmap.T)
        volume = self.volume
        return Evidence(
            finding=self.map.finding,
            raw_maximum=float(self.cam.max()),
            raw_minimum=float(self.cam.min()),
            positive_fraction=float((self.cam > 0).mean()),
            reference_maximum=self.explanation.reference_maximum,
            cell=cell,
            voxel=voxel,
            world=volume.world(voxel) if volume.spacing_known else None,
            share=strong / volume.data.size,
            volume_mm3=self.mm3(strong),
        )

    def mm3(self, voxels: int) -> float | None:
        """Volume of so many voxels; None for pictures, radiographs and an unknown spacing."""
        flat = self.volume.is_picture or self.volume.is_projection
        measured = self.volume.spacing_known and not flat
        return voxels * self.volume.voxel_mm3 if measured else None

    def to_dict(self) -> dict[str, Any]:
        """What `to_json` writes: docs/results.md."""
        from vcam_client.results import results_to_dict

        return results_to_dict([self])

    def to_json(self, path: Path | str) -> Path:
        """Writes scores and evidence; units are part of the key names."""
        from vcam_client.results import json_bytes

        write_atomically(Path(path), json_bytes(self.to_dict()))
        return Path(path)

    def to_nifti(self, path: Path | str, *, signed: bool = False) -> Path:
        """Writes the heatmap (uint8, scaled to [0, 1]) with the scan's shape and affine.

        Args:
            path: ends in .nii.gz.
            signed: the signed map instead (int8, scaled to [-1, 1]).
        """
        from vcam_client._maps import map_nifti

        write_atomically(Path(path), map_nifti(self, signed=signed))
        return Path(path)

    def to_png(self, path: Path | str, *, signed: bool = False) -> Path:
        """Writes a picture: slices with most evidence, plain and with the heatmap."""
        from vcam_client._overlay import overlay_png

        write_atomically(Path(path), overlay_png(self, signed=signed))
        return Path(path)

    def write(self, folder: Path | str = ".") -> "WrittenFiles":
        """Writes NAME_heatmap.nii.gz, NAME_overlay.png and NAME_result.json.

        The heatmap of a picture is NAME_heatmap.png: uint8 grey, 0 to 255 for 0 to 1, of the
        picture's size, upright as EXIF says. `results.write_results` offers more.

        Raises:
            OutputError: the folder can't be written; each file is whole or absent.
        """
        from vcam_client.results import write_results

        return write_results([self], folder)


_ORIGIN_AND_AXES = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
