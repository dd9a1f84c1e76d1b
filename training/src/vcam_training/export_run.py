"""Exports a finished run: its best network, with all that is known about it."""

import json
from dataclasses import replace
from pathlib import Path

import keras

from vcam_client.spec import Activation, ModelSpec, Provenance
from vcam_training import intensity as _registers_intensity_layers  # noqa: F401
from vcam_training.config import Config
from vcam_training.evaluate import Evaluation
from vcam_training.export import export
from vcam_training.receptive_field import cam_layer
from vcam_training.run_folder import read_config, read_finished

LICENCE = "Apache-2.0"


def export_run(
    run: Path | str, base: Path | str, *, name: str | None = None, layer: str | None = None
) -> Path:
    """Publishes the next version of a run's best network.

    Args:
        run: the folder of a finished run.
        base: the folder of the model's versions.
        name: of the model in its spec; by default the folder's.
        layer: another target layer than the run's. The run's figures about maps, and
            its reference maximum, were measured on its own layer and are left out then.

    Returns:
        `<base>/<version>`.

    Raises:
        ConfigError: no finished run, or no such layer.
        ServableError: the export can't be verified or published.
    """
    run, base = Path(run), Path(base)
    read_finished(run, "metrics.json")
    model = keras.models.load_model(run / "best.keras")
    return export(model, model_spec(run, model, name=name or base.name, layer=layer), base)


def model_spec(
    run: Path | str, model: keras.Model, *, name: str, layer: str | None = None
) -> ModelSpec:
    """The model spec of a finished run.

    Raises:
        ConfigError: no finished run, or no such layer.
    """
    config = read_config(run)
    figures = read_finished(run, "metrics.json")
    evaluation = Evaluation.from_json_dict(figures)
    target = cam_layer(model, layer or config.model.target_layer)
    metrics = evaluation.metrics
    if target.name == figures["layer"]:
        target = replace(target, reference_maximum=evaluation.reference_maximum)
    else:
        metrics = tuple(metric for metric in metrics if metric.name == "accuracy")
    return ModelSpec(
        name=name,
        description=config.description,
        licence=LICENCE,
        intended_use=config.intended_use,
        labels=config.data.labels,
        activation=Activation.SOFTMAX,
        explain_default=config.explain_default,
        grid=config.data.grid,
        intensity=config.data.intensity,
        cam_layers=(target,),
        provenance=_provenance(run, config, figures),
        metrics=metrics,
    )


def _provenance(run: Path | str, config: Config, figures: dict) -> Provenance:
    data, versions = read_finished(run, "data.json"), read_finished(run, "versions.json")
    return Provenance(
        data_set=data["name"],
        data_sha256=data["sha256"],
        config=json.dumps(config.to_json_dict()),
        code_version=versions.pop("code"),
        library_versions=versions,
        created_at=figures["finished_at"],
    )
