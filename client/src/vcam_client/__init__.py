"""vcam client: explained classification of 3-D scans, over the network.

    from vcam_client import Client

    with Client("127.0.0.1:8500") as client:
        prediction = client.predict("scan.nii.gz")
        print(prediction.percentages, prediction.evidence)
        prediction.write("results")

Light on purpose: names are imported when they are used. The errors are in
`vcam_client.errors`, the model spec in `vcam_client.spec`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcam_client._calls import VersionStatus
    from vcam_client._retry import Retries
    from vcam_client._tls import Tls
    from vcam_client.aio import AsyncClient
    from vcam_client.client import Client, ServedSpec
    from vcam_client.errors import VcamError
    from vcam_client.grid import Placement, place, to_model_grid
    from vcam_client.prediction import Prediction
    from vcam_client.reading import read_volume
    from vcam_client.spec import ModelSpec
    from vcam_client.verification import Verdict, Verification
    from vcam_client.volume import Volume

__all__ = [
    "AsyncClient",
    "Client",
    "ModelSpec",
    "Placement",
    "Prediction",
    "Retries",
    "ServedSpec",
    "Tls",
    "VcamError",
    "Verdict",
    "Verification",
    "VersionStatus",
    "Volume",
    "place",
    "read_volume",
    "to_model_grid",
]

_MODULE_OF = {
    "AsyncClient": "aio",
    "Client": "client",
    "ModelSpec": "spec",
    "Placement": "grid",
    "Prediction": "prediction",
    "Retries": "_retry",
    "ServedSpec": "client",
    "Tls": "_tls",
    "VcamError": "errors",
    "Verdict": "verification",
    "Verification": "verification",
    "VersionStatus": "_calls",
    "Volume": "volume",
    "place": "grid",
    "read_volume": "reading",
    "to_model_grid": "grid",
}


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"vcam_client.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'vcam_client' has no attribute {name!r}")
