from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Activation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTIVATION_UNSPECIFIED: _ClassVar[Activation]
    ACTIVATION_SOFTMAX: _ClassVar[Activation]
    ACTIVATION_SIGMOID: _ClassVar[Activation]
    ACTIVATION_IDENTITY: _ClassVar[Activation]

class ExplainDefault(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPLAIN_DEFAULT_UNSPECIFIED: _ClassVar[ExplainDefault]
    EXPLAIN_DEFAULT_TOP_CLASS: _ClassVar[ExplainDefault]
    EXPLAIN_DEFAULT_POSITIVE_CLASS: _ClassVar[ExplainDefault]
    EXPLAIN_DEFAULT_HIGHEST_FINDING: _ClassVar[ExplainDefault]
    EXPLAIN_DEFAULT_TARGET: _ClassVar[ExplainDefault]

class Fit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FIT_UNSPECIFIED: _ClassVar[Fit]
    FIT_STRETCH: _ClassVar[Fit]
    FIT_SPACING: _ClassVar[Fit]

class Resampling(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESAMPLING_UNSPECIFIED: _ClassVar[Resampling]
    RESAMPLING_LINEAR: _ClassVar[Resampling]
    RESAMPLING_AREA: _ClassVar[Resampling]

class SliceAggregation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SLICE_AGGREGATION_UNSPECIFIED: _ClassVar[SliceAggregation]
    SLICE_AGGREGATION_NONE: _ClassVar[SliceAggregation]
    SLICE_AGGREGATION_MAX: _ClassVar[SliceAggregation]
    SLICE_AGGREGATION_MEAN: _ClassVar[SliceAggregation]
ACTIVATION_UNSPECIFIED: Activation
ACTIVATION_SOFTMAX: Activation
ACTIVATION_SIGMOID: Activation
ACTIVATION_IDENTITY: Activation
EXPLAIN_DEFAULT_UNSPECIFIED: ExplainDefault
EXPLAIN_DEFAULT_TOP_CLASS: ExplainDefault
EXPLAIN_DEFAULT_POSITIVE_CLASS: ExplainDefault
EXPLAIN_DEFAULT_HIGHEST_FINDING: ExplainDefault
EXPLAIN_DEFAULT_TARGET: ExplainDefault
FIT_UNSPECIFIED: Fit
FIT_STRETCH: Fit
FIT_SPACING: Fit
RESAMPLING_UNSPECIFIED: Resampling
RESAMPLING_LINEAR: Resampling
RESAMPLING_AREA: Resampling
SLICE_AGGREGATION_UNSPECIFIED: SliceAggregation
SLICE_AGGREGATION_NONE: SliceAggregation
SLICE_AGGREGATION_MAX: SliceAggregation
SLICE_AGGREGATION_MEAN: SliceAggregation

class ModelSpec(_message.Message):
    __slots__ = ("contract_version", "name", "description", "licence", "intended_use", "labels", "activation", "unit", "explain_default", "decision_threshold", "calibration_temperature", "grid", "slice_aggregation", "intensity", "cam_layers", "provenance", "metrics", "explanations", "trust")
    CONTRACT_VERSION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LICENCE_FIELD_NUMBER: _ClassVar[int]
    INTENDED_USE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    DECISION_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    GRID_FIELD_NUMBER: _ClassVar[int]
    SLICE_AGGREGATION_FIELD_NUMBER: _ClassVar[int]
    INTENSITY_FIELD_NUMBER: _ClassVar[int]
    CAM_LAYERS_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    EXPLANATIONS_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    contract_version: int
    name: str
    description: str
    licence: str
    intended_use: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    activation: Activation
    unit: str
    explain_default: ExplainDefault
    decision_threshold: float
    calibration_temperature: float
    grid: Grid
    slice_aggregation: SliceAggregation
    intensity: Intensity
    cam_layers: _containers.RepeatedCompositeFieldContainer[CamLayer]
    provenance: Provenance
    metrics: _containers.RepeatedCompositeFieldContainer[Metric]
    explanations: _containers.RepeatedCompositeFieldContainer[Explanation]
    trust: Trust
    def __init__(self, contract_version: _Optional[int] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., licence: _Optional[str] = ..., intended_use: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., activation: _Optional[_Union[Activation, str]] = ..., unit: _Optional[str] = ..., explain_default: _Optional[_Union[ExplainDefault, str]] = ..., decision_threshold: _Optional[float] = ..., calibration_temperature: _Optional[float] = ..., grid: _Optional[_Union[Grid, _Mapping]] = ..., slice_aggregation: _Optional[_Union[SliceAggregation, str]] = ..., intensity: _Optional[_Union[Intensity, _Mapping]] = ..., cam_layers: _Optional[_Iterable[_Union[CamLayer, _Mapping]]] = ..., provenance: _Optional[_Union[Provenance, _Mapping]] = ..., metrics: _Optional[_Iterable[_Union[Metric, _Mapping]]] = ..., explanations: _Optional[_Iterable[_Union[Explanation, _Mapping]]] = ..., trust: _Optional[_Union[Trust, _Mapping]] = ...) -> None: ...

class Grid(_message.Message):
    __slots__ = ("shape", "axes", "fit", "spacing_mm", "resampling", "padding_value")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    AXES_FIELD_NUMBER: _ClassVar[int]
    FIT_FIELD_NUMBER: _ClassVar[int]
    SPACING_MM_FIELD_NUMBER: _ClassVar[int]
    RESAMPLING_FIELD_NUMBER: _ClassVar[int]
    PADDING_VALUE_FIELD_NUMBER: _ClassVar[int]
    shape: _containers.RepeatedScalarFieldContainer[int]
    axes: _containers.RepeatedScalarFieldContainer[str]
    fit: Fit
    spacing_mm: _containers.RepeatedScalarFieldContainer[float]
    resampling: Resampling
    padding_value: float
    def __init__(self, shape: _Optional[_Iterable[int]] = ..., axes: _Optional[_Iterable[str]] = ..., fit: _Optional[_Union[Fit, str]] = ..., spacing_mm: _Optional[_Iterable[float]] = ..., resampling: _Optional[_Union[Resampling, str]] = ..., padding_value: _Optional[float] = ...) -> None: ...

class Intensity(_message.Message):
    __slots__ = ("units", "dtype", "transform", "modalities", "window_low", "window_high", "band_edges")
    UNITS_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    TRANSFORM_FIELD_NUMBER: _ClassVar[int]
    MODALITIES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_LOW_FIELD_NUMBER: _ClassVar[int]
    WINDOW_HIGH_FIELD_NUMBER: _ClassVar[int]
    BAND_EDGES_FIELD_NUMBER: _ClassVar[int]
    units: str
    dtype: str
    transform: str
    modalities: _containers.RepeatedScalarFieldContainer[str]
    window_low: float
    window_high: float
    band_edges: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, units: _Optional[str] = ..., dtype: _Optional[str] = ..., transform: _Optional[str] = ..., modalities: _Optional[_Iterable[str]] = ..., window_low: _Optional[float] = ..., window_high: _Optional[float] = ..., band_edges: _Optional[_Iterable[float]] = ...) -> None: ...

class CamLayer(_message.Message):
    __slots__ = ("name", "cells", "offset", "stride", "receptive_field", "reference_maximum")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    RECEPTIVE_FIELD_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    name: str
    cells: _containers.RepeatedScalarFieldContainer[int]
    offset: _containers.RepeatedScalarFieldContainer[float]
    stride: _containers.RepeatedScalarFieldContainer[float]
    receptive_field: _containers.RepeatedScalarFieldContainer[float]
    reference_maximum: float
    def __init__(self, name: _Optional[str] = ..., cells: _Optional[_Iterable[int]] = ..., offset: _Optional[_Iterable[float]] = ..., stride: _Optional[_Iterable[float]] = ..., receptive_field: _Optional[_Iterable[float]] = ..., reference_maximum: _Optional[float] = ...) -> None: ...

class Provenance(_message.Message):
    __slots__ = ("data_set", "data_sha256", "config", "code_version", "library_versions", "created_at")
    class LibraryVersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DATA_SET_FIELD_NUMBER: _ClassVar[int]
    DATA_SHA256_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    CODE_VERSION_FIELD_NUMBER: _ClassVar[int]
    LIBRARY_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    data_set: str
    data_sha256: str
    config: str
    code_version: str
    library_versions: _containers.ScalarMap[str, str]
    created_at: str
    def __init__(self, data_set: _Optional[str] = ..., data_sha256: _Optional[str] = ..., config: _Optional[str] = ..., code_version: _Optional[str] = ..., library_versions: _Optional[_Mapping[str, str]] = ..., created_at: _Optional[str] = ...) -> None: ...

class Metric(_message.Message):
    __slots__ = ("name", "value", "lower", "upper", "count", "split", "chance")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    CHANCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    lower: float
    upper: float
    count: int
    split: str
    chance: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., lower: _Optional[float] = ..., upper: _Optional[float] = ..., count: _Optional[int] = ..., split: _Optional[str] = ..., chance: _Optional[float] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("signature", "method", "layer", "reference_maximum", "evidence_minimum", "threshold")
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_MINIMUM_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    signature: str
    method: str
    layer: str
    reference_maximum: float
    evidence_minimum: float
    threshold: float
    def __init__(self, signature: _Optional[str] = ..., method: _Optional[str] = ..., layer: _Optional[str] = ..., reference_maximum: _Optional[float] = ..., evidence_minimum: _Optional[float] = ..., threshold: _Optional[float] = ...) -> None: ...

class Trust(_message.Message):
    __slots__ = ("summary", "signature", "depends_on_weights", "figures", "measured_at")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    DEPENDS_ON_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    MEASURED_AT_FIELD_NUMBER: _ClassVar[int]
    summary: str
    signature: str
    depends_on_weights: bool
    figures: _containers.RepeatedCompositeFieldContainer[Metric]
    measured_at: str
    def __init__(self, summary: _Optional[str] = ..., signature: _Optional[str] = ..., depends_on_weights: bool = ..., figures: _Optional[_Iterable[_Union[Metric, _Mapping]]] = ..., measured_at: _Optional[str] = ...) -> None: ...
