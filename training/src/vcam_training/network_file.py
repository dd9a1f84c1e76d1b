"""Reads a network from a file that Keras wrote, or says what is wrong with the file."""

import zipfile
import zlib
from pathlib import Path

import keras

from vcam_client.errors import ConfigError
from vcam_training import intensity as _registers_intensity_layers  # noqa: F401
from vcam_training import models as _registers_their_layers  # noqa: F401

OF_A_RUN = "Put it back from a copy, or train again into another folder with --out."
"""What helps where a network in a run's folder is damaged."""
_ADVICE = "Copy it again from where it is whole, or save it again with model.save('….keras')."
_SIGNS_OF_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    KeyError,
    RuntimeError,  # of HDF5
    UnicodeError,
)


def load_network(
    path: Path,
    expected: str = "a Keras model",
    advice: str = _ADVICE,
    *,
    with_optimizer: bool = False,
) -> keras.Model:
    """The network in a file.

    Args:
        path: ends in .keras, .h5 or .hdf5.
        expected: what should be in it, for the message.
        advice: what helps where the file is missing or damaged, a sentence.
        with_optimizer: whether training goes on with it.

    Raises:
        ConfigError: there is no such file, it is damaged, or it has layers that are unknown here.
    """
    wanted = f"Expected {expected} in '{path}', "
    try:
        with path.open("rb") as stream:
            is_empty = not stream.read(1)
    except FileNotFoundError as error:
        raise ConfigError(f"{wanted}found no such file. {advice}") from error
    except OSError as error:
        raise ConfigError(f"{wanted}received: {error.strerror or error}. {advice}") from error
    if is_empty:
        raise ConfigError(f"{wanted}received an empty file. {advice}")
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ConfigError(
            f"{wanted}received a file that is damaged or cut off, or that Keras didn't write. "
            f"{advice}"
        )
    try:
        return keras.models.load_model(path, compile=with_optimizer)
    except _SIGNS_OF_DAMAGE as error:
        raise ConfigError(f"{wanted}received a damaged file. {advice}") from error
    except (ValueError, TypeError) as error:
        first = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"{wanted}received: {first} Give a file that model.save('….keras') wrote, without "
            "layers of your own."
        ) from error
