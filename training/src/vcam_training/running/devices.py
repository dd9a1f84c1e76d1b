"""What training runs on."""

import contextlib

import tensorflow as tf

from vcam_client.errors import ConfigError

STRATEGIES = ("default", "mirrored")


def device_text(strategy: str = "default") -> str:
    """What training runs on, in words."""
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        return "the processor (no GPU found)"
    if strategy == "mirrored":
        return f"{len(gpus)} GPUs, each with its share of a batch"
    more = f"; {len(gpus) - 1} more idle, --strategy mirrored uses all" if len(gpus) > 1 else ""
    return f"{gpus[0].name.removeprefix('/device:')}{more}"


def scope(strategy: str) -> contextlib.AbstractContextManager:
    """In which a network is built, for the devices to share it.

    Raises:
        ConfigError: no such strategy.
    """
    if strategy not in STRATEGIES:
        raise ConfigError(f"Expected a strategy out of {STRATEGIES}, received {strategy!r}.")
    if strategy == "mirrored":
        return tf.distribute.MirroredStrategy().scope()
    return contextlib.nullcontext()
