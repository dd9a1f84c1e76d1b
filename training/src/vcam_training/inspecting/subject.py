"""The network that is looked into, and what is known about it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_client.spec import Activation, ExplainDefault, ModelSpec
from vcam_serving.verify import SPEC_FILE
from vcam_training.cams.cam_methods import DEFAULT_METHOD
from vcam_training.config import Config
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Report
from vcam_training.data.loading import load_data
from vcam_training.evaluation.calibration import scores_of
from vcam_training.evaluation.evaluate import Evaluation
from vcam_training.learning.precision import in_float32
from vcam_training.network import Network, read_network
from vcam_training.run_folder import is_run, read_config, read_contract, read_finished
from vcam_training.task import Task
from vcam_training.trust.loading import version_folder

_TASKS = {
    Activation.SOFTMAX: Task.CLASSES,
    Activation.SIGMOID: Task.FINDINGS,
    Activation.IDENTITY: Task.REGRESSION,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network of a run or of an exported model.

    Attributes:
        place: the run's folder, or the version's.
        name: of the run's config, or of the model.
        network: float32 [B, *grid, 1] in physical values to logits.
        contract: what it takes and answers.
        explain_default: which score is explained when the caller names none.
        method: the CAM method by default.
        temperature: that divides the logits; None where there is no calibration.
        config: of the training; None where the model doesn't say.
        data_sha256: of the data that it was trained with; "" where nobody knows.
    """

    place: Path
    name: str
    network: Network
    contract: DataContract
    explain_default: ExplainDefault
    method: str
    temperature: float | None
    config: Config | None
    data_sha256: str

    @property
    def model(self) -> keras.Model:
        """The training model."""
        return self.network.model

    @property
    def layer(self) -> str:
        """What its maps are read on; of a fused map the first layer."""
        return self.network.explained[0]

    @property
    def has_one_logit(self) -> bool:
        """Whether a single logit stands for two classes."""
        return self.model.output_shape[-1] == 1 and self.contract.task is Task.CLASSES

    def scores_of(self, logits: NDArray) -> NDArray[np.float32]:
        """float32 [n, K]: scores as served, of logits [n, K]."""
        if self.contract.task is Task.REGRESSION:
            return logits.astype(np.float32)
        exclusive = self.contract.task is Task.CLASSES
        scores = scores_of(logits, self.temperature or 1.0, exclusive=exclusive)
        return scores.astype(np.float32)

    def explained_class(self, scores: NDArray[np.float32]) -> int:
        """Which of the scores [K] of a volume is explained by default."""
        if self.explain_default is ExplainDefault.POSITIVE_CLASS:
            return 1
        return 0 if self.explain_default is ExplainDefault.TARGET else int(scores.argmax())

    def data(self, folder: Path | str, report: Report) -> DataSet:
        """The data that it was trained with, made or read again.

        Raises:
            ConfigError: the model doesn't say which, or they have changed.
        """
        if self.config is None:
            raise ConfigError(
                f"Expected the config of its training in the model spec of '{self.place}', found "
                "none. Export the run again with `vcam-train export`, or give the run's folder."
            )
        config = self.config
        data = load_data(config.data, folder, report, fold_text=config.fold, seed=config.seed)
        if self.data_sha256 and data.sha256 != self.data_sha256:
            raise ConfigError(
                f"Expected the data that the model was trained with, sha256 "
                f"{self.data_sha256[:12]}…, received {data.name} with {data.sha256[:12]}…. Name "
                "the folder of its own data with --data, or train again."
            )
        return data


def read_subject(place: Path | str) -> Subject:
    """The network of a run, finished or not, or of an exported model; in float32, as served.

    Args:
        place: a run's folder; the folder of an exported model's versions, the highest, or
            of one version.

    Raises:
        ConfigError: there is no network, or it is a file without anything about it.
    """
    place = Path(place)
    network = read_network(place)
    network = replace(network, model=in_float32(network.model))
    if is_run(place):
        return _of_run(place, network)
    if place.is_file():
        raise ConfigError(
            f"Expected a run's folder or an exported model's, received the file '{place}', which "
            "says nothing about its data and labels. Give the folder that `vcam-train run` or "
            "`vcam-train export` made."
        )
    return _of_version(version_folder(place), network)


def _of_run(run: Path, network: Network) -> Subject:
    config, contract = read_config(run), read_contract(run)
    method, temperature = DEFAULT_METHOD, None
    if (run / "metrics.json").exists():
        evaluation = Evaluation.from_json_dict(read_finished(run, "metrics.json"))
        method = evaluation.method
        temperature = evaluation.calibration and evaluation.calibration.temperature
    facts = json.loads((run / "data.json").read_text(encoding="utf-8"))
    return Subject(
        place=run,
        name=config.name,
        network=network,
        contract=contract,
        explain_default=config.explains(contract.task),
        method=method,
        temperature=temperature,
        config=config,
        data_sha256=facts["sha256"],
    )


def _of_version(version: Path, network: Network) -> Subject:
    spec = ModelSpec.from_json((version / SPEC_FILE).read_text(encoding="utf-8"))
    known = spec.provenance.config
    return Subject(
        place=version,
        name=spec.name,
        network=network,
        contract=DataContract(
            task=_TASKS[spec.activation],
            labels=spec.labels,
            grid=spec.grid,
            intensity=spec.intensity,
            unit=spec.unit,
            slice_aggregation=spec.slice_aggregation,
        ),
        explain_default=spec.explain_default,
        method=spec.default_explanation.method,
        temperature=spec.calibration_temperature,
        config=Config.from_json_dict(json.loads(known)) if known else None,
        data_sha256=spec.provenance.data_sha256,
    )
