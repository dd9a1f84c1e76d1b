"""The model spec: what must be known about a model to prepare a scan and place a heatmap.

The same message as `protos/vcam/v1/model_spec.proto`, as frozen dataclasses
that are valid once they exist. Training writes it, the model serves it, the
client reads it.
"""

import enum
import math
from dataclasses import dataclass, field

from vcam_client._orientation import check_axis_codes
from vcam_client.errors import ContractError, InputError
from vcam_client.explanation import Explanation
from vcam_client.trust import Metric, Trust

__all__ = [
    "CONTRACT_VERSION",
    "INPUT_DTYPES",
    "Activation",
    "CamLayer",
    "ExplainDefault",
    "Explanation",
    "Fit",
    "Grid",
    "Intensity",
    "Metric",
    "ModelSpec",
    "Provenance",
    "Resampling",
    "SliceAggregation",
    "Trust",
]

CONTRACT_VERSION = 1
"""The contract that this code speaks; a spec of another version is refused."""

INPUT_DTYPES = ("int16", "float32")


class Activation(enum.Enum):
    """What turns logits into scores."""

    SOFTMAX = "ACTIVATION_SOFTMAX"
    """Mutually exclusive classes; the scores sum to one."""
    SIGMOID = "ACTIVATION_SIGMOID"
    """Independent findings; each score stands alone."""
    IDENTITY = "ACTIVATION_IDENTITY"
    """Regression; the score is a value in the spec's unit."""


class ExplainDefault(enum.Enum):
    """Which score is explained when the caller names none."""

    TOP_CLASS = "EXPLAIN_DEFAULT_TOP_CLASS"
    POSITIVE_CLASS = "EXPLAIN_DEFAULT_POSITIVE_CLASS"
    HIGHEST_FINDING = "EXPLAIN_DEFAULT_HIGHEST_FINDING"
    TARGET = "EXPLAIN_DEFAULT_TARGET"


class Fit(enum.Enum):
    """How a scan is laid onto the model's grid."""

    STRETCH = "FIT_STRETCH"
    """The scan's whole extent is stretched over the grid, axis by axis."""
    SPACING = "FIT_SPACING"
    """Resampled to the grid's spacing, then cropped or padded about the centre."""


class Resampling(enum.Enum):
    """How values are computed on the model's grid; half-pixel centres in both."""

    LINEAR = "RESAMPLING_LINEAR"
    AREA = "RESAMPLING_AREA"
    """Box average along axes that shrink, linear along the others."""


class SliceAggregation(enum.Enum):
    """How the scores of a volume's slices become one; for 2-D models."""

    NONE = "SLICE_AGGREGATION_NONE"
    """The model takes a single image; a volume of several slices is refused."""
    MAX = "SLICE_AGGREGATION_MAX"
    MEAN = "SLICE_AGGREGATION_MEAN"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The model's input grid.

    Attributes:
        shape: voxels along each tensor axis: (D, H, W), or (H, W).
        axes: three codes of R/L, A/P, S/I, the direction in which the index of
            each tensor axis grows; a 2-D model names the sliced axis first.
            Empty for volumes without anatomy: stored axes, slowest first (k, j, i).
        fit: stretch or spacing.
        spacing_mm: millimetres along each tensor axis; with `Fit.SPACING` only.
        resampling: linear or area.
        padding_value: value outside the scan, in the spec's units.
    """

    shape: tuple[int, ...]
    axes: tuple[str, ...] = ("S", "P", "L")
    fit: Fit = Fit.STRETCH
    spacing_mm: tuple[float, ...] = ()
    resampling: Resampling = Resampling.LINEAR
    padding_value: float = 0.0

    def __post_init__(self) -> None:
        if len(self.shape) not in (2, 3) or any(n < 1 for n in self.shape):
            raise ContractError(
                f"Expected a grid of 2 or 3 positive sizes, received {self.shape}. "
                "Export the model again with a valid grid shape."
            )
        if self.axes:
            check_axis_codes(self.axes)
        wanted = len(self.shape) if self.fit is Fit.SPACING else 0
        if len(self.spacing_mm) != wanted or not all(
            math.isfinite(s) and s > 0 for s in self.spacing_mm
        ):
            raise ContractError(
                f"Expected {wanted} positive spacings for {self.fit}, received "
                f"{self.spacing_mm}. Export the model again with one for each tensor axis."
            )
        if not math.isfinite(self.padding_value):
            raise ContractError(f"Expected a finite padding value, received {self.padding_value}.")

    @property
    def ndim(self) -> int:
        """2 for slice models and radiographs, 3 for volumes."""
        return len(self.shape)


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """What the values of the input tensor mean, and what the graph does with them.

    Attributes:
        units: physical units, "HU" or "" for none.
        dtype: "int16" or "float32".
        transform: in words, what the graph does.
        modalities: DICOM modalities that the model accepts; empty for any.
        window: (low, high) beyond which the graph clips, or None.
        band_edges: ascending edges of intensity bands.
    """

    units: str = ""
    dtype: str = "float32"
    transform: str = ""
    modalities: tuple[str, ...] = ()
    window: tuple[float, float] | None = None
    band_edges: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.dtype not in INPUT_DTYPES:
            raise ContractError(
                f"Expected an input dtype out of {INPUT_DTYPES}, received {self.dtype!r}."
            )
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ContractError(f"Expected a window (low, high), received {self.window}.")
        if self.dtype == "int16" and self.window is not None:
            low, high = self.window
            if low < -32768 or high > 32767:
                raise ContractError(
                    f"A window of {self.window} does not fit int16. "
                    "Export the model with dtype float32."
                )


@dataclass(frozen=True, kw_only=True)
class CamLayer:
    """A target layer and where its cells lie on the model's input grid.

    Attributes:
        name: the layer's name in the Keras model.
        cells: cells along each tensor axis.
        offset, stride: the centre of cell c lies at input index offset + stride * c.
        receptive_field: extent of one cell's receptive field, input voxels.
        reference_maximum: typical largest cell of a true positive's map, or None.
    """

    name: str
    cells: tuple[int, ...]
    offset: tuple[float, ...]
    stride: tuple[float, ...]
    receptive_field: tuple[float, ...] = ()
    reference_maximum: float | None = None

    def __post_init__(self) -> None:
        sizes = {len(self.cells), len(self.offset), len(self.stride)}
        if len(sizes) != 1 or any(n < 1 for n in self.cells) or any(s <= 0 for s in self.stride):
            raise ContractError(
                f"Layer {self.name!r}: expected cells, offset and stride of one length, all "
                f"positive, received {self.cells}, {self.offset}, {self.stride}."
            )


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a model comes from: data, config, code, libraries, time (RFC 3339, UTC)."""

    data_set: str = ""
    data_sha256: str = ""
    config: str = ""
    code_version: str = ""
    library_versions: dict[str, str] = field(default_factory=dict)
    created_at: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """The contract that travels with a model. See the proto for each field."""

    name: str
    labels: tuple[str, ...]
    activation: Activation
    explain_default: ExplainDefault
    grid: Grid
    intensity: Intensity
    cam_layers: tuple[CamLayer, ...]
    slice_aggregation: SliceAggregation | None = None
    description: str = ""
    licence: str = ""
    intended_use: str = ""
    unit: str = ""
    decision_threshold: float | None = None
    calibration_temperature: float | None = None
    provenance: Provenance = field(default_factory=Provenance)
    metrics: tuple[Metric, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    trust: Trust | None = None
    contract_version: int = CONTRACT_VERSION

    def __post_init__(self) -> None:
        if self.contract_version != CONTRACT_VERSION:
            raise ContractError(
                f"The model speaks contract version {self.contract_version}, this software "
                f"version {CONTRACT_VERSION}. Use a vcam client of the model's time."
            )
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ContractError(f"Expected distinct labels, received {self.labels}.")
        if not self.cam_layers:
            raise ContractError("Expected at least one CAM layer in the model spec, found none.")
        for layer in self.cam_layers:
            if len(layer.cells) != self.grid.ndim:
                raise ContractError(
                    f"Layer {layer.name!r} has {len(layer.cells)} axes, the grid {self.grid.ndim}."
                )
        if (self.slice_aggregation is not None) != (self.grid.ndim == 2):
            raise ContractError(
                "A 2-D model names its slice aggregation, a 3-D model has none; "
                f"received {self.slice_aggregation} for a {self.grid.ndim}-D grid."
            )

        self._check_explanations()

    def _check_explanations(self) -> None:
        signatures = [e.signature for e in self.explanations]
        layers = [layer.name for layer in self.cam_layers]
        unknown = [e.layer for e in self.explanations if e.layer not in layers]
        if len(set(signatures)) != len(signatures) or len(set(layers)) != len(layers) or unknown:
            raise ContractError(
                f"Expected explanations with signatures of their own on the CAM layers {layers}, "
                f"received {signatures} on {[e.layer for e in self.explanations]}. "
                "Export the model again."
            )

    @property
    def default_layer(self) -> CamLayer:
        """The layer that serving_default explains."""
        return self.layer(self.default_explanation.layer)

    @property
    def default_explanation(self) -> Explanation:
        """What serving_default computes; with `class_index`, for any class."""
        if self.explanations:
            return self.explanations[0]
        first = self.cam_layers[0]
        return Explanation(
            signature="gradcam",
            method="gradcam",
            layer=first.name,
            reference_maximum=first.reference_maximum,
        )

    def layer(self, name: str) -> CamLayer:
        """The CAM layer of that name.

        Raises:
            ContractError: there is none.
        """
        found = next((layer for layer in self.cam_layers if layer.name == name), None)
        if found is None:
            raise ContractError(
                f"Model {self.name!r} has no CAM layer {name!r}. Choose one of: "
                f"{', '.join(layer.name for layer in self.cam_layers)}."
            )
        return found

    def explanation(self, method: str | None = None, layer: str | None = None) -> Explanation:
        """The explanation by a method, or of a signature, on a layer.

        Args:
            method: name of a method or of a signature; the default's where None.
            layer: name of a layer; the first with that method where None.

        Raises:
            InputError: the model has no such explanation.
        """
        default = self.default_explanation
        if method is None and layer is None:
            return default
        known = self.explanations or (default,)
        wanted = method or default.method
        for explanation in known:
            names = (explanation.signature, explanation.method)
            if wanted in names and layer in (None, explanation.layer):
                return explanation
        offered = ", ".join(f"{e.method} on {e.layer}" for e in known)
        where = f" on layer {layer!r}" if layer else ""
        raise InputError(
            f"Model {self.name!r} has no map by method {wanted!r}{where}. Choose one of: {offered}."
        )

    @property
    def exclusive(self) -> bool:
        """Whether exactly one label is true, so that percentages sum to 100."""
        return self.activation is Activation.SOFTMAX

    def to_json(self) -> str:
        """JSON of the proto: original field names, defaults printed."""
        from google.protobuf import json_format

        from vcam_client._spec_proto import to_proto

        return json_format.MessageToJson(
            to_proto(self),
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> "ModelSpec":
        """Reads the JSON that a model serves. Unknown fields are ignored.

        Raises:
            ContractError: the text is no valid model spec.
        """
        from google.protobuf import json_format

        from vcam_client._proto import model_spec_pb2 as pb
        from vcam_client._spec_proto import from_proto

        try:
            message = json_format.Parse(text, pb.ModelSpec(), ignore_unknown_fields=True)
        except json_format.ParseError as error:
            raise ContractError(
                f"The model spec can't be read ({error}). Is this model exported by vcam?"
            ) from error
        return from_proto(message)
