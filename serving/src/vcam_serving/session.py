"""Loads a SavedModel the way TensorFlow Serving does: the TF1 session loader.

`tf.saved_model.load` proves nothing about serving: a module saved by
`tf.saved_model.save` can load there and fail every request in TensorFlow
Serving (keras#19274).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from vcam_client.errors import ServableError

DEFAULT_SIGNATURE = "serving_default"
_SERVE_TAGS = ["serve"]


class Servable:
    """A SavedModel in a session of its own.

    Attributes:
        path: the version folder, with saved_model.pb.
        signatures: {signature name: SignatureDef}, as metadata shows them.

    Raises:
        ServableError: the folder is no SavedModel that a session can load.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph)
        try:
            with graph.as_default():
                loaded = tf.compat.v1.saved_model.load(self._session, _SERVE_TAGS, str(self.path))
        except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
            self._session.close()
            raise ServableError(
                f"Expected a SavedModel that a TensorFlow session loads in {self.path.name!r}, "
                f"received: {error}. Export it with `vcam-train export`."
            ) from error
        self.signatures: dict[str, Any] = dict(loaded.signature_def)

    def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs a signature; only what `outputs` (default: all) need is computed.

        Raises:
            tf.errors.OpError: the graph refused or failed, with TensorFlow's message.
            KeyError: no such signature, input or output.
        """
        definition = self.signatures[signature]
        fetches = {alias: definition.outputs[alias].name for alias in outputs or definition.outputs}
        feeds = {definition.inputs[alias].name: value for alias, value in inputs.items()}
        values: dict[str, np.ndarray] = self._session.run(fetches, feeds)
        return values

    def close(self) -> None:
        """Ends the session and frees its memory; further runs fail."""
        self._session.close()

    def __enter__(self) -> "Servable":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
