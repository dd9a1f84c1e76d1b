"""Imports TensorFlow without its notices on standard error."""

import logging
import os
import sys
import tempfile
from typing import IO

_log = logging.getLogger("vcam_serving")


def import_tensorflow() -> str:
    """Imports TensorFlow and finds its devices; for command lines, before anything imports it.

    TensorFlow's native code prints notices while it loads, whatever its log level. They are
    kept from the terminal and logged for debugging; when the import fails they are shown.

    Returns:
        The devices in words, such as "CPU" or "GPU:0, GPU:1".
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    stderr = os.dup(2)
    with _unseen() as notices:
        os.dup2(notices.fileno(), 2)
        try:
            import tensorflow as tf

            gpus = tf.config.list_physical_devices("GPU")
        except BaseException:
            os.dup2(stderr, 2)
            notices.seek(0)
            sys.stderr.write(notices.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        notices.seek(0)
        _log.debug("TensorFlow while loading: %s", notices.read().decode(errors="replace"))
    tf.get_logger().addFilter(_not_about_the_loader)
    return ", ".join(gpu.name.split("device:")[-1] for gpu in gpus) or "CPU"


def _unseen() -> IO[bytes]:
    """A file for notices; where nothing can be written, they are lost."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return open(os.devnull, "w+b")


def _not_about_the_loader(record: logging.LogRecord) -> bool:
    """Drops the notice that the TF1 loader is deprecated: it is the one that serving uses."""
    return "saved_model.load" not in record.getMessage()
