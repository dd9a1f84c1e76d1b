"""Loads a SavedModel the way TensorFlow Serving does: the TF1 session loader.

`tf.saved_model.load` proves nothing about serving: a module saved by
`tf.saved_model.save` can load there and fail every request in TensorFlow
Serving (keras#19274).
"""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

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
        self._lock = threading.Lock()
        self._callables: dict[tuple[tuple[str, ...], tuple[str, ...]], Any] = {}

    def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs a signature; only what `outputs` (default: all) need is computed.

        Inputs reach the graph as they are: neither shape nor dtype is checked or
        converted here, as in TensorFlow Serving. Safe to call from several threads.

        Raises:
            tf.errors.OpError: the graph refused or failed, with TensorFlow's message.
            KeyError: no such signature, input or output.
        """
        definition = self.signatures[signature]
        fetched = tuple(outputs or definition.outputs)
        fed = tuple(inputs)
        call = self._callable(
            tuple(definition.inputs[alias].name for alias in fed),
            tuple(definition.outputs[alias].name for alias in fetched),
        )
        values = call(*(np.asarray(inputs[alias]) for alias in fed))
        return dict(zip(fetched, values, strict=True))

    def _callable(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Any:
        # Session.run checks shapes against the signature, TensorFlow Serving does not;
        # a callable hands tensors to the runtime as they are, like TensorFlow Serving.
        with self._lock:
            if (feeds, fetches) not in self._callables:
                options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
                self._callables[feeds, fetches] = self._session._make_callable_from_options(options)
            return self._callables[feeds, fetches]

    def close(self) -> None:
        """Ends the session and frees its memory; further runs fail."""
        self._callables.clear()
        self._session.close()

    def __enter__(self) -> "Servable":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
