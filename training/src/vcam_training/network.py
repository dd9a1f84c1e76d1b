"""A network on disk, and what is known about its grid and its maps."""

import os
from dataclasses import dataclass
from pathlib import Path

import keras

from vcam_client.errors import ConfigError
from vcam_client.spec import ModelSpec
from vcam_serving.publish import versions
from vcam_serving.verify import MODEL_FILE, SPEC_FILE
from vcam_training.cams._fields import grid_of
from vcam_training.network_file import OF_A_RUN, load_network
from vcam_training.run_folder import is_run, read_config, read_contract

_OF_A_VERSION = "Export the run again with `vcam-train export`, or copy the version again."


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A network and where it comes from.

    Attributes:
        path: the file of the network.
        model: a training model, without its optimizer.
        spacing_mm: of its grid along each tensor axis; empty where it has none.
        explained: target layers of the run or the exported model, the default first;
            as `target_layer` takes them. Empty for a bare network.
    """

    path: Path
    model: keras.Model
    spacing_mm: tuple[float, ...] = ()
    explained: tuple[str, ...] = ()

    @property
    def grid(self) -> tuple[int, ...]:
        """Voxels along each tensor axis; ConfigError if the network doesn't fix them."""
        return grid_of(self.model)


def read_network(place: Path | str) -> Network:
    """The network of a run, of an exported model or of a `.keras` file.

    Args:
        place: a run's folder, its best network or, before there is one, the last
            checkpoint; the folder of an exported model's versions, the highest, or of
            one version; a file that Keras wrote.

    Raises:
        ConfigError: there is no network, or Keras can't read it.
    """
    place = Path(place)
    if os.path.isfile(place):  # False for a name that is too long, as are the others
        return Network(path=place, model=load_network(place))
    if is_run(place):
        return _of_run(place)
    if os.path.exists(place / SPEC_FILE):
        return _of_version(place)
    if os.path.isdir(place):
        return _of_folder(place)
    raise _nothing_in(place)


def _of_folder(place: Path) -> Network:
    found = {int(child.name): child for child in place.iterdir() if child.name.isdecimal()}
    if found:
        return _of_version(found[max(found)])
    names = sorted(child.name for child in place.iterdir() if child.is_dir() and versions(child))
    if names:
        raise ConfigError(
            f"Expected one model, found the models {', '.join(names)} in '{place}'. Name one: "
            f"'{place / names[0]}'."
        )
    raise _nothing_in(place)


def _nothing_in(place: Path) -> ConfigError:
    return ConfigError(
        f"Expected a run's folder, an exported model's or a .keras file, found none of them in "
        f"'{place}'. Give the folder that `vcam-train run` or `vcam-train export` made."
    )


def _of_run(run: Path) -> Network:
    config = read_config(run)
    networks = [run / "best.keras", *sorted((run / "checkpoints").glob("epoch-*.keras"))[-1:]]
    found = next((path for path in networks if path.exists()), None)
    if found is None:
        raise ConfigError(
            f"Expected a network in '{run}', found none: the run has not finished an epoch. "
            "`vcam-train run` with the same arguments goes on with it."
        )
    return Network(
        path=found,
        model=load_network(found, advice=OF_A_RUN),
        spacing_mm=read_contract(run).grid.spacing_mm,
        explained=(config.model.target_layer,),
    )


def _of_version(version: Path) -> Network:
    if not (version / SPEC_FILE).exists():
        raise ConfigError(
            f"Expected a model exported by vcam in '{version}', found no {SPEC_FILE}. Export it "
            "with `vcam-train export`, or give its .keras file."
        )
    spec = ModelSpec.from_json((version / SPEC_FILE).read_text(encoding="utf-8"))
    if not (version / MODEL_FILE).exists():
        raise ConfigError(
            f"Expected the Keras model '{MODEL_FILE}' in '{version}', found none: versions "
            "exported by an earlier vcam don't have it. Give the run's folder instead, or export "
            "the run again."
        )
    return Network(
        path=version / MODEL_FILE,
        model=load_network(version / MODEL_FILE, advice=_OF_A_VERSION),
        spacing_mm=spec.grid.spacing_mm,
        explained=tuple(layer.name for layer in spec.cam_layers),
    )
