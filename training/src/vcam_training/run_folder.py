"""The folder of one run: what is in it, and how an interrupted run goes on.

    config.json     the config
    data.json       name, contract, sizes and hash of the data
    versions.json   code and libraries
    history.csv     one row for each epoch
    curves.png      the same, drawn
    gallery.png     some volumes of each split, with their labels and masks
    montage.png     slices of the first volume of the validation split
    tensorboard/    the same for TensorBoard
    checkpoints/    the last epoch's network with the optimizer's state
    best.keras      the network of the best epoch on the validation split
    predictions.csv every answer to the validation and test splits
    confusion.png, roc.png, reliability.png, scatter.png
                    pictures of the answers to the test split, as far as the task has them
    errors.csv, errors.png, errors/, examples.png, examples/
                    mistakes, the worst first: listed, with maps, a file for each volume
    report.html     all of it on one page (docs/evaluation.md)
    metrics.json    held-out figures, calibration, levels of maps (docs/calibration.md);
                    written last, so a run with it is finished

Each file is written beside its place, synced to disk and renamed. The checkpoint of an epoch
is written after everything else that the epoch left behind: what it stands for is there. The
one before goes once the new one is on disk. One process at a time trains in the folder, see
`run_lock`.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from vcam_client.errors import ConfigError
from vcam_client.write_errors import refusing
from vcam_client.writing import remove_unfinished, replace_file
from vcam_training.config import Config
from vcam_training.data.contract import DataContract
from vcam_training.learning.history import Row, better, read_history, write_history

_CONFIG_FILE = "config.json"
_KERAS_FILES = (".keras", ".h5", ".hdf5")
"""Ends of names of networks that Keras wrote."""
_MOST_NAMED = 3


class RunFolder:
    """The folder of one run.

    Args:
        path: made by `begin`, if need be.
        config: of the run.

    Raises:
        ConfigError: the folder belongs to a run of another config, or can't be written.
    """

    def __init__(self, path: Path | str, config: Config) -> None:
        self.path = Path(path)
        self._config = config
        with refusing(self.path):
            self.path.exists()  # not so where the name is too long
        known = self.path / _CONFIG_FILE
        if known.exists():
            other = Config.from_json_dict(_read_json(known))
            if other != config:
                raise ConfigError(
                    f"Expected an empty folder or a run of this config in '{self.path}', found a "
                    f"run with {_differences(other, config)}. Name another folder with --out."
                )
        there = next(one for one in (self.path, *self.path.absolute().parents) if one.exists())
        if not (there.is_dir() and os.access(there, os.W_OK)):
            raise ConfigError(
                f"Can't write to '{self.path}': '{there}' is no folder to write into. "
                "Name another folder with --out."
            )

    @property
    def finished(self) -> bool:
        """Whether the run has its figures."""
        return (self.path / "metrics.json").exists()

    @property
    def best(self) -> Path:
        """Where the best network is."""
        return self.path / "best.keras"

    def history(self) -> list[Row]:
        """The epochs that a checkpoint stands for, ascending."""
        if self.last_checkpoint() is None:
            return []
        return read_history(self.path / "history.csv")[: self._epochs_done()]

    def last_checkpoint(self) -> Path | None:
        """The newest complete checkpoint."""
        found = self._checkpoints()
        return found[-1] if found else None

    def write_epoch(self, model: keras.Model, history: Sequence[Row]) -> None:
        """Keeps an epoch: the best network so far, the history, then the checkpoint."""
        if better(history, self._config.monitor)[-1]:
            self.replace("best.keras", lambda part: model.save(part))
        self.replace("history.csv", lambda part: write_history(part, history))
        older = self._checkpoints()
        name = f"checkpoints/epoch-{len(history):04d}.keras"
        self.replace(name, lambda part: model.save(part))
        for one in older:
            if one != self.path / name:
                one.unlink()

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Writes a JSON file of the run."""
        text = json.dumps(values, indent=2) + "\n"
        self.replace(name, lambda part: part.write_text(text, encoding="utf-8"))

    def replace(self, name: str, write: Callable[[Path], object]) -> None:
        """Lets `write` fill a file beside its place, which it then takes."""
        replace_file(self.path / name, write)

    def begin(self, facts: dict[str, Any]) -> None:
        """Notes config and data of a new run, or makes sure that a resumed one has the same data.

        The folder belongs to the config from here on: call it once the data and the
        network are known to work, so that a mistake in the config can be corrected.

        Raises:
            ConfigError: the data changed since the run began.
            OutputError: the folder can't be written.
        """
        known = self.path / "data.json"
        if known.exists() and _read_json(known)["sha256"] != facts["sha256"]:
            raise ConfigError(
                f"The data of the run in '{self.path}' changed since it began. "
                "Start again in another folder with --out."
            )
        for folder in (self.path, self.path / "checkpoints"):
            remove_unfinished(folder)
        self.write_json(_CONFIG_FILE, self._config.to_json_dict())
        self.write_json("data.json", facts)

    def _checkpoints(self) -> list[Path]:
        """Ascending; more than one only where a process was killed as it removed the older."""
        return sorted((self.path / "checkpoints").glob("epoch-*.keras"))

    def _epochs_done(self) -> int:
        checkpoint = self.last_checkpoint()
        return int(checkpoint.stem.rpartition("-")[2]) if checkpoint else 0


def read_config(run: Path | str) -> Config:
    """The config of a run's folder.

    Raises:
        ConfigError: the folder is no run.
    """
    _check_is_run(Path(run))
    return Config.from_json_dict(_read_json(Path(run) / _CONFIG_FILE))


def read_contract(run: Path | str) -> DataContract:
    """What the values of a run's data mean.

    Raises:
        ConfigError: the folder is no run.
    """
    _check_is_run(Path(run))
    known = _read_json(Path(run) / "data.json")
    return DataContract.from_json_dict(known.get("contract", {}))


def read_finished(run: Path | str, name: str) -> dict[str, Any]:
    """A JSON file of a finished run.

    Raises:
        ConfigError: the folder is no run, or the run is not finished.
    """
    _check_is_run(Path(run))
    if not (Path(run) / "metrics.json").exists():
        raise ConfigError(
            f"Expected a finished run in '{run}', found none. Train it with `vcam-train run`; "
            "the same command resumes an interrupted run."
        )
    return _read_json(Path(run) / name)


def is_run(place: Path) -> bool:
    """Whether it is the folder of a run, finished or not."""
    return os.path.isfile(place / _CONFIG_FILE)  # False for a name that is too long


def received(place: Path) -> str:
    """What somebody gave in place of a folder, in words."""
    if os.path.isdir(place):  # False, without an error, for a name that is too long
        return f"the folder '{place}'"
    if _is_keras_file(place):
        return f"the Keras file '{place}'"
    return f"the file '{place}'" if os.path.exists(place) else f"'{place}', which is not there"


def _is_keras_file(place: Path) -> bool:
    return place.suffix.lower() in _KERAS_FILES and os.path.isfile(place)


def _check_is_run(run: Path) -> None:
    if is_run(run):
        return
    expected = "Expected the folder of a run, which `vcam-train run` made, "
    if os.path.isdir(run):
        raise ConfigError(
            f"{expected}received {received(run)} without {_CONFIG_FILE}. Give the run's folder, "
            "such as build/runs/NAME."
        )
    advice = "Give the run's folder, such as build/runs/NAME."
    if _is_keras_file(run):
        advice = (
            "A network alone does not say what its input and its scores mean. `vcam-train layers` "
            "shows it, and the setting start_from trains on from its weights."
        )
        owners = [one for one in run.absolute().parents[:2] if is_run(one)]
        if owners:
            advice = f"Give the folder of its run, '{owners[0]}'."
    raise ConfigError(f"{expected}received {received(run)}. {advice}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"Expected a run's {path.name} in '{path.parent}', found none: the run was not begun. "
            "`vcam-train run` with the same arguments trains it."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"Can't read '{path}': {error.strerror or error}. Ask for the permission to read it."
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"Expected a run's {path.name} in '{path.parent}', received a damaged one: {error}. "
            "Copy the run's folder again, or train it again into another folder with --out."
        ) from error
    return values


def _differences(one: Config, other: Config) -> str:
    """What a config has that another has not, in the words of --set."""
    first, second = one.settings(), other.settings()
    found = [f"{name}={value}" for name, value in first.items() if second.get(name) != value]
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return ", ".join(found[:_MOST_NAMED]) + more if found else "fewer settings"
