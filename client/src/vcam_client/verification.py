"""Whether a score depends on what its map marks: the scan scored again with parts of it hidden.

    with Client("127.0.0.1:8500") as client:
        verification = client.verify("scan.nii.gz")
    print(verification.verdict, verification.marked_drop)
    verification.write("results")

`docs/verify.md` says what is hidden, how it is judged, and what that can't show.
"""

import enum
import json
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._calls import Traffic
from vcam_client._cam_map import CamMap
from vcam_client.grid import Placement
from vcam_client.prediction import Prediction
from vcam_client.spec import CamLayer
from vcam_client.writing import written_together

LEAST_CONTROLS = 8
"""Other places for the marked shape below which nothing can be said."""
CLEARLY = 2.0
"""Standard deviations of the other places' drops that a drop must be above their mean."""
_NOISE = 1e-4
"""Change of a logit that counts as none; above 1 as a share of the logit."""


def noise_of(logit: float) -> float:
    """Change of a logit that counts as none."""
    return _NOISE * max(1.0, abs(logit))


class Verdict(enum.Enum):
    """What hiding parts of a scan says of a map."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    UNDECIDED = "undecided"
    NO_MAP = "no map to check"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the model says of a scan with some of it hidden.

    Attributes:
        hidden_share: of the voxels on the model's grid that were measured.
        score: of the class explained.
        logit: of that score, ln(p / (1 - p)), worked out so that it doesn't saturate;
            the value itself for a regression.
    """

    hidden_share: float
    score: float
    logit: float


@dataclass(frozen=True, kw_only=True, eq=False)
class OcclusionMap:
    """How much the score drops when each block of the grid alone is hidden.

    Attributes:
        logit_drops, score_drops: float64 [*blocks], three tensor axes; 0 where a block holds
            nothing that was measured.
        layer: the blocks as cells: where their centres lie on the model's grid.
        placement: how the scan lies on that grid.
        rank_correlation: Spearman's, of `logit_drops` with the cam averaged over the same
            blocks; None where either is constant, or there is no map to compare with.
        marked_shares: float64 [*blocks], how much of what each of them hides is marked.
        noise: magnitude up to which a drop of the logit is none.
    """

    logit_drops: NDArray[np.float64] = field(repr=False)
    score_drops: NDArray[np.float64] = field(repr=False)
    layer: CamLayer
    placement: Placement = field(repr=False)
    rank_correlation: float | None
    marked_shares: NDArray[np.float64] = field(repr=False)
    noise: float

    @property
    def strongest(self) -> tuple[int, int, int] | None:
        """The block whose hiding lowers the logit most; None where none lowers it."""
        if not self.map.speaks_for:
            return None
        d, h, w = np.unravel_index(int(np.argmax(self.logit_drops)), self.logit_drops.shape)
        return int(d), int(h), int(w)

    @property
    def marked_blocks(self) -> NDArray[np.bool_]:
        """bool [*blocks], which of them the marked part touches."""
        return self.marked_shares > 0

    @property
    def strongest_marked_share(self) -> float | None:
        """How much of what that block hides is marked; None without either."""
        if self.strongest is None or not self.marked_blocks.any():
            return None
        return float(self.marked_shares[self.strongest])

    @property
    def strongest_is_marked(self) -> bool | None:
        """Whether the marked part touches that block; None without either."""
        if self.strongest is None or not self.marked_blocks.any():
            return None
        return bool(self.marked_blocks[self.strongest])

    @property
    def chance(self) -> float:
        """Share of blocks that the marked part touches."""
        return float(self.marked_blocks.mean())

    @property
    def voxel(self) -> tuple[float, float, float] | None:
        """Scan index (i, j, k) of the strongest block's centre."""
        if self.strongest is None:
            return None
        return self.placement.cell_on_scan(self.strongest, self.layer)

    @cached_property
    def map(self) -> CamMap:
        """`logit_drops` as a map that can be laid onto the scan."""
        cells = self.logit_drops.astype(np.float32)
        return CamMap(cells=cells, layer=self.layer, placement=self.placement, nothing=self.noise)

    @property
    def largest(self) -> float:
        """The largest magnitude of a drop of the logit."""
        return float(np.abs(self.logit_drops).max())

    def on_scan(self) -> NDArray[np.float32]:
        """float32 [I, J, K] on the scan's grid: drop of the logit, between block centres."""
        drops: NDArray[np.float32] = self.map.on_scan(self.map.signed, np.float32, self.largest)
        return drops


@dataclass(frozen=True, kw_only=True)
class WrittenVerification:
    """Paths of the files of one verification."""

    result: Path
    picture: Path
    occlusion: Path

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them, the one to look at first in front."""
        return self.picture, self.occlusion, self.result


@dataclass(frozen=True, kw_only=True, eq=False)
class Verification:
    """What became of a score when parts of the scan were hidden.

    Attributes:
        prediction: the explanation that is checked.
        fill_kind, fill: "median" or "padding", and the value put in place, in the spec's units.
        level: value of the heatmap from which a voxel counts as marked.
        whole: nothing is hidden.
        marked: what the map marks on the model's grid is hidden; None where it marks nothing
            that was measured, or has no evidence.
        rest: everything else is hidden; None with `marked`.
        controls: the same shape is hidden at other places.
        occlusion: each block of the grid is hidden alone.
        seconds, calls, inputs, traffic: what this took beyond the prediction; `inputs`
            of the model, volumes or slices.
    """

    prediction: Prediction
    fill_kind: str
    fill: float
    level: float
    whole: Outcome
    marked: Outcome | None
    rest: Outcome | None
    controls: tuple[Outcome, ...]
    occlusion: OcclusionMap
    seconds: float = field(repr=False)
    calls: int = field(repr=False)
    inputs: int = field(repr=False)
    traffic: Traffic = field(repr=False)

    @property
    def marked_drop(self) -> float | None:
        """By how much the logit drops when what the map marks is hidden."""
        return None if self.marked is None else self._drop(self.marked)

    @property
    def rest_drop(self) -> float | None:
        """By how much it drops when everything else is."""
        return None if self.rest is None else self._drop(self.rest)

    @property
    def control_drops(self) -> NDArray[np.float64]:
        """float64 [N]: by how much it drops at each of the other places."""
        return np.array([self._drop(control) for control in self.controls])

    @property
    def verdict(self) -> Verdict:
        """What the drops of the logit say.

        Supported: hiding what the map marks lowers the logit, by more than hiding the same
        shape at any other place does, and by more than their mean and CLEARLY standard
        deviations. Not supported: otherwise. Undecided: the map marks nothing that was
        measured, the shape has fewer than LEAST_CONTROLS other places, or neither hiding
        it nor hiding the rest changes anything. No map: there is no evidence to check.
        """
        if not self.prediction.has_evidence:
            return Verdict.NO_MAP
        if self.undecided:
            return Verdict.UNDECIDED
        drop, others = self.marked_drop, self.control_drops
        assert drop is not None
        least = max(
            self.occlusion.noise, others.max(), others.mean() + CLEARLY * others.std(ddof=1)
        )
        return Verdict.SUPPORTED if drop > least else Verdict.NOT_SUPPORTED

    @property
    def undecided(self) -> str:
        """Why nothing can be said of a map that there is, in one sentence; "" where it can."""
        if not self.prediction.has_evidence:
            return ""
        if self.marked is None or self.rest is None:
            return "The map marks no voxel that was measured."
        drops = [self._drop(self.marked), self._drop(self.rest), *self.control_drops]
        if max(map(abs, drops)) <= self.occlusion.noise:
            return "Hiding changes nothing: what is put in place looks the same to the model."
        if len(self.controls) < LEAST_CONTROLS:
            return (
                f"The marked part is too large to compare: it fits at {len(self.controls) or 'no'} "
                f"other places in the scan, {LEAST_CONTROLS} are needed."
            )
        return ""

    def to_dict(self) -> dict[str, Any]:
        """What NAME_verify.json holds: docs/verify.md."""
        from vcam_client._verify_dict import verification_dict

        return verification_dict(self)

    def write(self, folder: Path | str = ".") -> WrittenVerification:
        """Writes NAME_verify.json, NAME_verify.png and NAME_occlusion.nii.gz.

        The occlusion map (int8, scaled to drops of the logit) has the scan's shape and affine;
        that of a picture is NAME_occlusion.png, 128 for no drop.

        Raises:
            OutputError: the folder can't be written; each file is whole or absent.
            InputError: the scan's name is too long for those of its results.
        """
        from vcam_client._result_names import require_short
        from vcam_client._verify_dict import occlusion_file, occlusion_name
        from vcam_client._verify_picture import verification_png
        from vcam_client.results import json_bytes

        name = self.prediction.volume.name
        written = WrittenVerification(
            result=Path(folder) / f"{name}_verify.json",
            picture=Path(folder) / f"{name}_verify.png",
            occlusion=Path(folder) / occlusion_name(self),
        )
        require_short([path.name for path in written.paths], name, Path(folder))
        with written_together() as files:
            files.add(written.picture, verification_png(self))
            files.add(written.occlusion, occlusion_file(self))
            files.add(written.result, json_bytes(self.to_dict()))
        return written

    def _drop(self, outcome: Outcome) -> float:
        return self.whole.logit - outcome.logit


def verification_schema() -> dict[str, Any]:
    """The JSON Schema of NAME_verify.json."""
    text = resources.files("vcam_client").joinpath("verify.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
