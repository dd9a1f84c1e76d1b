"""What the server answers to each request, whatever the transport."""

import numpy as np
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from vcam_serving._models import Models
from vcam_serving._predict import predict
from vcam_serving._status import invalid_argument

_SIGNATURES = "signature_def"


def run(
    models: Models, request: predict_pb2.PredictRequest
) -> tuple[predict_pb2.PredictResponse, dict[str, np.ndarray]]:
    """Predict: a response with the model_spec only, and the outputs, not yet encoded.

    Raises:
        StatusError: with TensorFlow Serving's code and text.
    """
    _require_spec(request)
    with models.use(request.model_spec) as (version, servable):
        prediction = predict(servable, request)
    response = predict_pb2.PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = version
    response.model_spec.signature_name = prediction.signature
    return response, dict(prediction.outputs)


def metadata(
    models: Models, request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """GetModelMetadata: all signatures.

    Raises:
        StatusError: with TensorFlow Serving's code and text.
    """
    _require_spec(request)
    if not request.metadata_field:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != _SIGNATURES:
            raise invalid_argument(f"Metadata field {field} is not supported")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    signatures = get_model_metadata_pb2.SignatureDefMap()
    with models.use(request.model_spec) as (version, servable):
        for name, definition in servable.signatures.items():
            signatures.signature_def[name].CopyFrom(definition)
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = version
    response.metadata[_SIGNATURES].Pack(signatures)
    return response


def status(
    models: Models, request: get_model_status_pb2.GetModelStatusRequest
) -> get_model_status_pb2.GetModelStatusResponse:
    """GetModelStatus: one version, or all of them.

    Raises:
        StatusError: with TensorFlow Serving's code and text.
    """
    _require_spec(request)
    spec = request.model_spec
    version = spec.version.value if spec.HasField("version") else None
    response = get_model_status_pb2.GetModelStatusResponse()
    for found in models.statuses(spec.name, version):
        entry = response.model_version_status.add(version=found.version, state=found.state)
        entry.status.error_code = found.error.code.value[0] if found.error else 0
        entry.status.error_message = found.error.message if found.error else ""
    return response


def _require_spec(request: object) -> None:
    if not request.HasField("model_spec"):  # type: ignore[attr-defined]
        raise invalid_argument("Missing ModelSpec")
