"""An exported model with the data that it was trained and measured on."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import keras

from vcam_client.errors import ConfigError
from vcam_client.spec import ModelSpec
from vcam_serving.publish import versions
from vcam_serving.verify import SPEC_FILE
from vcam_training.config import Config
from vcam_training.data.dataset import Report, Split
from vcam_training.data.loading import load_data
from vcam_training.evaluation.evaluate import ON_VALIDATION
from vcam_training.network import read_network
from vcam_training.run_folder import received
from vcam_training.trust.cases import refuse_regressions


@dataclass(frozen=True, kw_only=True, eq=False)
class ExportedModel:
    """A version of a model, and its data.

    Attributes:
        version: its folder.
        model: the training model.
        spec: its model spec.
        validation, test: of the data set that it was trained on.
    """

    version: Path
    model: keras.Model
    spec: ModelSpec
    validation: Split
    test: Split


def load(place: Path | str, data_folder: Path | str, report: Report) -> ExportedModel:
    """Reads a version, and makes or loads its data set again.

    Args:
        place: the folder of a model's versions, of which the newest is taken, or of one.
        data_folder: where data sets lie.
        report: is told what happens.

    Raises:
        ConfigError: no version with a Keras model and a config, one of a regression, or
            other data.
    """
    version = version_folder(place)
    spec = ModelSpec.from_json((version / SPEC_FILE).read_text(encoding="utf-8"))
    refuse_regressions(spec)
    model = read_network(version).model
    if not spec.provenance.config:
        raise ConfigError(
            f"Expected the config of its training in the model spec of '{version}', found none. "
            "Export the run again with `vcam-train export`, or call "
            "vcam_training.trust.measure with scans of your own."
        )
    config = Config.from_json_dict(json.loads(spec.provenance.config))
    data = load_data(config.data, data_folder, report, fold_text=config.fold, seed=config.seed)
    if data.is_tested_on_validation:
        report(ON_VALIDATION)
    if data.sha256 != spec.provenance.data_sha256:
        raise ConfigError(
            f"Expected the data that the model was trained on, sha256 "
            f"{spec.provenance.data_sha256[:12]}…, received {data.name} with {data.sha256[:12]}…. "
            "Scans that it has seen could be among the held-out ones. Name the folder of its own "
            "data with --data, or train and export again."
        )
    return ExportedModel(
        version=version, model=model, spec=spec, validation=data.validation, test=data.test
    )


def version_folder(place: Path | str) -> Path:
    """The folder of the version that is meant, an absolute path.

    Args:
        place: a version, or the folder of a model's versions.

    Raises:
        ConfigError: it is neither.
    """
    given, place = Path(place), Path(place).absolute()
    if os.path.exists(place / SPEC_FILE):
        return place
    is_folder = os.path.isdir(place)  # False for a name that is too long
    newest = max(versions(place), default=None) if is_folder else None
    folders = [] if newest is None else [p for p in place.iterdir() if p.name.isdigit()]
    found = [p for p in folders if int(p.name) == newest and (p / SPEC_FILE).exists()]
    if not found:
        what = received(given) + (f" without {SPEC_FILE}" if is_folder else "")
        raise ConfigError(
            f"Expected the folder of an exported model or of one of its versions, received {what}. "
            "Export a run with `vcam-train export`, and give the folder that it names."
        )
    return found[0]
