"""Experiment configs: frozen dataclasses, one small module each in `configs/`.

A config module has `config()` and `tiny()`, both without arguments, and a docstring
with its launch command, expected result and tiny mode. `--set key=value` changes
one value: `epochs=4`, `data.seed=1`, `model=keras_ct`, `model.filters=8,16`,
`loss.weights=balanced`, `augmentation.rotate=10`.
"""

import contextlib
import importlib
import importlib.util
import traceback
import types
import typing
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from vcam_client.errors import ConfigError, VcamError
from vcam_client.spec import ExplainDefault
from vcam_training import configs
from vcam_training.configs import names
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import Source
from vcam_training.data.folding import parse_fold
from vcam_training.data.sources import SOURCES
from vcam_training.intensity import SCALINGS
from vcam_training.learning.augmentation import Augmentation
from vcam_training.learning.losses import Loss
from vcam_training.learning.optimizer import Optimizer
from vcam_training.learning.schedule import Schedule
from vcam_training.models import NETWORKS
from vcam_training.models.architecture import Architecture
from vcam_training.task import Task

KINDS: dict[str, dict[str, type]] = {"data": SOURCES, "model": NETWORKS}
"""Names that a config uses for its data sets and networks."""
PARTS = {
    "augmentation": Augmentation,
    "loss": Loss,
    "optimizer": Optimizer,
    "schedule": Schedule,
}
"""Parts of a config that are of one kind."""
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True, kw_only=True)
class Config:
    """One experiment.

    Attributes:
        name: of the experiment and, unless export is told otherwise, of the model.
        description, intended_use: for the model spec.
        data: what is learned from.
        fold: "2/5" for the second of five folds of the training and validation splits, which
            `seed` divides; "" for the data's own division.
        model: the network.
        explain_default: of exclusive classes, TOP_CLASS (one logit for each label) or
            POSITIVE_CLASS (one logit; the last of two labels is the positive one).
            Findings and regressions have their own.
        scaling: what the graph does with intensities, see `intensity.SCALINGS`.
        augmentation, loss, optimizer, schedule: see their classes.
        epochs, batch_size: of training.
        learning_rate: its peak.
        monitor: value of the history, without "val_", whose best epoch's network is kept;
            "epoch" for the last one's, whatever validation says.
        patience: epochs without a better one after which training stops; 0 for never.
        start_from: a run's folder, an exported model or a .keras file whose weights the
            network starts with, wherever a layer has the same name and shapes; "" for
            none.
        freeze: whether only the head is trained: the layers behind the last one with a
            spatial extent.
        precision: "float32"; "mixed_float16" or "mixed_bfloat16" for GPUs.
        seed: of initial weights, order and augmentation.
    """

    name: str
    description: str = ""
    intended_use: str = ""
    data: Source
    fold: str = ""
    model: Architecture
    explain_default: ExplainDefault = ExplainDefault.TOP_CLASS
    scaling: str = "window"
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: Loss = field(default_factory=Loss)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    epochs: int
    batch_size: int
    learning_rate: float
    monitor: str = "loss"
    patience: int = 0
    start_from: str = ""
    freeze: bool = False
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fold:
            parse_fold(self.fold)
        for name, value, known in (
            ("scaling", self.scaling, tuple(SCALINGS)),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                raise ConfigError(
                    f"Expected {name} out of {', '.join(known)}, received {value!r}. Set {name}."
                )
        for name, number, fits, wanted in (
            ("epochs", self.epochs, self.epochs >= 1, "1 or more"),
            ("batch_size", self.batch_size, self.batch_size >= 1, "1 or more"),
            ("learning_rate", self.learning_rate, self.learning_rate > 0, "above 0"),
            ("patience", self.patience, self.patience >= 0, "0 or more"),
        ):
            if not fits:
                raise ConfigError(f"Expected {name} of {wanted}, received {number}. Set {name}.")

    def check(self, contract: DataContract) -> None:
        """Whether data with that contract can be trained on like this.

        Raises:
            ConfigError: says which setting does not fit.
        """
        self.loss.check(contract.task)
        self.augmentation.check(contract.grid)
        if self.explain_default not in (
            ExplainDefault.TOP_CLASS,
            ExplainDefault.POSITIVE_CLASS,
        ):
            raise ConfigError(
                f"Expected explain_default TOP_CLASS or POSITIVE_CLASS, received "
                f"{self.explain_default.name}; findings and regressions have their own."
            )
        if self._has_one_logit(contract) and len(contract.labels) != 2:
            raise ConfigError(
                f"Expected two labels for explain_default=POSITIVE_CLASS, received "
                f"{contract.labels}. Set explain_default=TOP_CLASS."
            )

    def outputs(self, contract: DataContract) -> int:
        """Logits of the network."""
        return 1 if self._has_one_logit(contract) else len(contract.labels)

    def explains(self, task: Task) -> ExplainDefault:
        """Which score is explained when the caller names none."""
        if task is Task.CLASSES:
            return self.explain_default
        findings = task is Task.FINDINGS
        return ExplainDefault.HIGHEST_FINDING if findings else ExplainDefault.TARGET

    def _has_one_logit(self, contract: DataContract) -> bool:
        positive = self.explain_default is ExplainDefault.POSITIVE_CLASS
        return positive and contract.task is Task.CLASSES

    def settings(self) -> dict[str, Any]:
        """Every setting by its name, as --set has it, as plain values."""
        return dict(_settings(self.to_json_dict(), ""))

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values, with the kind of the data set and the network."""
        values = asdict(self)
        for name, kinds in KINDS.items():
            known = {kind: text for text, kind in kinds.items()}
            values[name] = {"kind": known[type(getattr(self, name))], **values[name]}
        values["explain_default"] = self.explain_default.name
        return values

    @classmethod
    def from_json_dict(cls, values: dict[str, Any]) -> "Config":
        """The config that `to_json_dict` wrote.

        Raises:
            ConfigError: something is missing or unknown.
        """
        values = dict(values)
        try:
            for name, kinds in KINDS.items():
                inner = dict(values[name])
                values[name] = _made(kinds[inner.pop("kind")], inner)
            for name, kind in PARTS.items():
                values[name] = _made(kind, values[name])
            values["explain_default"] = ExplainDefault[values["explain_default"]]
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"Expected a config of this version of vcam, received one with a wrong or missing "
                f"part ({error}). Train again with this version."
            ) from error


def load(name: str, *, tiny: bool = False) -> Config:
    """The config of that name, or of a Python file with `config()` and `tiny()`.

    Raises:
        ConfigError: there is no such config, or the file is none.
    """
    module = _module(name)
    maker = getattr(module, "tiny" if tiny else "config", None)
    if maker is None:
        raise ConfigError(
            f"Expected functions config() and tiny() in {name!r}, found no "
            f"{'tiny' if tiny else 'config'}(). See the configs of vcam for examples."
        )
    with _mistakes_of(Path(module.__file__ or name)):
        made = maker()
    if not isinstance(made, Config):
        raise ConfigError(f"Expected a Config from {name!r}, received a {type(made).__name__}.")
    return made


def override(config: Config, settings: typing.Iterable[str]) -> Config:
    """A config with some values changed.

    Args:
        config: stays as it is.
        settings: "key=value", dots for parts of data and model, commas in tuples and
            semicolons in tuples of tuples: `model.blocks=8,8;16,16`.

    Raises:
        ConfigError: no such key, or a value that does not fit.
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"Expected --set key=value, received {setting!r}.")
        config = _with(config, key.strip(), text.strip(), key.strip())
    return config


def _with(part: Any, key: str, text: str, full_key: str) -> Any:
    head, _, rest = key.partition(".")
    known = [one.name for one in fields(part)]
    if head not in known:
        raise ConfigError(
            f"There is no setting {full_key!r}. Choose one of {', '.join(known)}; "
            "data.…, model.…, augmentation.…, loss.…, optimizer.… and schedule.… have parts of "
            "their own."
        )
    if rest:
        inner = getattr(part, head)
        if not is_dataclass(inner):
            raise ConfigError(f"{head!r} has no parts; set {head}=value.")
        return replace(part, **{head: _with(inner, rest, text, full_key)})
    hint = typing.get_type_hints(type(part))[head]
    if is_dataclass(hint):
        parts = [one.name for one in fields(hint)]
        raise ConfigError(
            f"Expected a part of {full_key}, received {full_key}={text}. Set one of "
            f"{', '.join(f'{full_key}.{name}' for name in parts)}; the first says which."
        )
    return replace(part, **{head: _parse(hint, text, head, full_key)})


def _parse(hint: Any, text: str, field: str, key: str) -> Any:
    if field in KINDS and "." not in key:
        if text not in KINDS[field]:
            raise ConfigError(
                f"Expected {key} to be one of {', '.join(KINDS[field])}, received {text!r}."
            )
        return KINDS[field][text]()
    if isinstance(hint, types.UnionType):  # a value or None, the default
        if text.lower() == "none":
            return None
        hint = next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    try:
        if typing.get_origin(hint) is tuple:
            return _parse_tuple(typing.get_args(hint), text)
        if hint is bool:
            return {"true": True, "false": False}[text.lower()]
        if hint is ExplainDefault:
            return ExplainDefault[text]
        return hint(text)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"Expected {key} to be {_wanted(hint)}, received {text!r}.") from error


def _wanted(hint: Any) -> str:
    """What a value of that type is called."""
    if hint is ExplainDefault:
        return f"one of {', '.join(one.name for one in ExplainDefault)}"
    known = {int: "a whole number", float: "a number", bool: "true or false"}
    return known.get(hint, f"a value of type {getattr(hint, '__name__', hint)}")


def _parse_tuple(hints: tuple[Any, ...], text: str) -> tuple[Any, ...]:
    if isinstance(inner := hints[0], types.GenericAlias):  # tuples in a tuple
        rows = [row for row in text.split(";") if row]
        return tuple(_parse_tuple(typing.get_args(inner), row) for row in rows)
    parts = [part for part in text.split(",") if part]
    if hints[-1] is not Ellipsis and len(parts) != len(hints):
        raise ValueError(f"expected {len(hints)} values")
    return tuple(hints[0](part) for part in parts)


def _settings(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _made(kind: type, values: dict[str, Any]) -> Any:
    return kind(**{k: _tuples(v) for k, v in values.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _module(name: str) -> types.ModuleType:
    plain = name.replace("-", "_")
    if plain in names():
        return importlib.import_module(f"{configs.__name__}.{plain}")
    path = Path(name)
    spec = importlib.util.spec_from_file_location(path.stem, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise ConfigError(
            f"Expected one of the configs {', '.join(names())}, or a Python file with config() "
            f"and tiny(), received {name!r}."
        )
    module = importlib.util.module_from_spec(spec)
    with _mistakes_of(path):
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _mistakes_of(path: Path) -> Iterator[None]:
    """Says where in a user's config something went wrong, whatever it was."""
    try:
        yield
    except VcamError:
        raise
    except Exception as error:
        if isinstance(error, SyntaxError):
            line = error.lineno
        else:
            frames = traceback.extract_tb(error.__traceback__)
            here = path.resolve()
            line = next((f.lineno for f in frames if Path(f.filename).resolve() == here), None)
        at = f"'{path}'" if line is None else f"line {line} of '{path}'"
        raise ConfigError(
            f"Expected a config in Python, {at} ends in {type(error).__name__}: {error}. "
            "Correct it."
        ) from error
