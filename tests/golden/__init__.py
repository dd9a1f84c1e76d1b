"""Golden servables: tiny models of every kind, exported as real ones are.

In tests: the fixture `golden` of tests/conftest.py. By hand, from the
repository's root:

    PYTHONPATH=tests python -m golden build/golden

writes all of them and a `models.config` for TensorFlow Serving:

    tensorflow_model_server --port=8500 --rest_api_port=8501 \
        --model_config_file=build/golden/models.config
"""

from dataclasses import dataclass
from pathlib import Path

import keras

from golden.models import recipes
from vcam_client.spec import ModelSpec
from vcam_training.exporting.export import export


@dataclass(frozen=True, kw_only=True)
class Golden:
    """An exported golden model.

    Attributes:
        name: of the model; its versions lie in `path.parent`.
        path: the version folder, `<base>/<name>/1`.
        spec: as served.
        model: the Keras model, physical values to logits.
        kind: in words.
    """

    name: str
    path: Path
    spec: ModelSpec
    model: keras.Model
    kind: str


def build_golden(base: Path) -> dict[str, Golden]:
    """Exports every golden model into a folder of models."""
    return {
        name: Golden(
            name=name,
            path=export(recipe.model, recipe.spec, base / name),
            spec=recipe.spec,
            model=recipe.model,
            kind=recipe.kind,
        )
        for name, recipe in recipes().items()
    }


def models_config(base: Path, names: list[str]) -> str:
    """A model_config_list for TensorFlow Serving's --model_config_file."""
    entries = "".join(
        f'  config {{ name: "{name}" base_path: "{base / name}" model_platform: "tensorflow" }}\n'
        for name in names
    )
    return f"model_config_list {{\n{entries}}}\n"
