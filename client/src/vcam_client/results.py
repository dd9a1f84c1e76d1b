"""From a scan to result files: what to explain, what to write, and the writing.

    choices = Choices(threshold=0.5, truth=Path("lesion.nii.gz"))
    predictions = explain(client, "scan.nii.gz", choices=choices)
    files = write_results(predictions, "results", choices)

`docs/results.md` explains every field of NAME_result.json.
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vcam_client._options import ReadOptions
from vcam_client._result_dict import result_dict
from vcam_client._result_names import names_of, require_short
from vcam_client.errors import InputError, ScanNotFoundError
from vcam_client.prediction import Prediction
from vcam_client.regions import check_threshold
from vcam_client.spec import Activation
from vcam_client.truth import Truth
from vcam_client.volume import Volume
from vcam_client.writing import written_together

if TYPE_CHECKING:
    from vcam_client.client import Client, Scan


MODELS_OWN: Literal["model"] = "model"
"""The threshold that was fixed on the model's validation data."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What to explain of a scan, and what to write.

    Attributes:
        label: the class to explain; None for what the model's spec says.
        all_classes: explain every class.
        method: CAM method, or a signature of the model; None for the model's own.
        layer: target layer of the map; None for the first with that method.
        signed: maps in [-1, 1] that show what speaks against a class, or lowers a value,
            too; None for "those of regressions".
        threshold: heatmap value, above 0 and up to 1, from which voxels are a mask;
            "model" for the one fixed on the model's validation data; None for no mask.
        truth: file of a mask that the map is compared with: voxels other than 0.
        heatmap: write the map.
        picture: write the picture; None for "where the map is written".

    Raises:
        InputError: a threshold out of range, one class and all classes, no such mask.
    """

    label: str | None = None
    all_classes: bool = False
    method: str | None = None
    layer: str | None = None
    signed: bool | None = None
    threshold: float | Literal["model"] | None = None
    truth: Path | None = None
    heatmap: bool = True
    picture: bool | None = None

    def __post_init__(self) -> None:
        if self.label is not None and self.all_classes:
            raise InputError(
                f"Expected one class or all classes, received {self.label!r} and all. "
                "Leave one out."
            )
        if self.threshold is not None and self.threshold != MODELS_OWN:
            check_threshold(self.threshold)
            object.__setattr__(self, "threshold", float(self.threshold))
        if self.truth is not None:
            object.__setattr__(self, "truth", Path(self.truth))
            if not os.path.exists(self.truth):
                raise ScanNotFoundError(
                    f"There is no mask {str(self.truth)!r}. Check the path given as truth."
                )

    def level(self, prediction: Prediction) -> float | None:
        """The threshold for a prediction's map; None for no mask."""
        if self.threshold == MODELS_OWN:
            own = prediction.explanation.threshold
            if own is None:
                raise InputError(
                    f"Model {prediction.spec.name!r} has no threshold of its own for this map. "
                    "State one with --threshold, such as 0.5, or let `vcam-train trust` measure it."
                )
            return own
        return None if self.threshold is None else float(self.threshold)

    def shows_sign(self, prediction: Prediction) -> bool:
        """Whether the map of a prediction keeps its sign."""
        if self.signed is None:
            return prediction.spec.activation is Activation.IDENTITY
        return self.signed

    @property
    def writes_picture(self) -> bool:
        """Whether a picture is written."""
        return self.heatmap if self.picture is None else self.picture


DEFAULT_CHOICES = Choices()
_READING = ReadOptions()


@dataclass(frozen=True, kw_only=True)
class WrittenFiles:
    """Paths of the result files of one scan; maps in the order of the predictions."""

    result: Path
    heatmaps: tuple[Path, ...] = ()
    overlays: tuple[Path, ...] = ()
    masks: tuple[Path, ...] = ()

    @property
    def heatmap(self) -> Path | None:
        """The first map, where one was written."""
        return self.heatmaps[0] if self.heatmaps else None

    @property
    def overlay(self) -> Path | None:
        """The first picture, where one was written."""
        return self.overlays[0] if self.overlays else None

    @property
    def mask(self) -> Path | None:
        """The first mask, where one was written."""
        return self.masks[0] if self.masks else None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them, those to look at first in front."""
        return (*self.overlays, *self.heatmaps, *self.masks, self.result)


def explain(
    client: "Client",
    scan: "Scan",
    *,
    model: str = "default",
    version: int | None = None,
    version_label: str | None = None,
    choices: Choices = DEFAULT_CHOICES,
    reading: ReadOptions = _READING,
) -> list[Prediction]:
    """Scores a scan and explains what `choices` say.

    A mask to compare with is read before the server is asked, so that one that does
    not lie on the scan is refused at once.

    Args:
        client: where the model is.
        scan: see `client.Scan`; `reading` is for paths, but for `strict`.
        model, version, version_label: which model answers.
        choices: `label`, `all_classes`, `method` and `truth` count here.
        reading: what the file alone can't say.

    Returns:
        One prediction, or one for each class in the order of the spec's labels.

    Raises:
        InputError: the scan or the mask can't be read or used.
        ServerError, ContractError: as for `Client.predict`.
    """
    from vcam_client.reading import as_volume

    start = time.perf_counter()
    volume = scan if isinstance(scan, Volume) else as_volume(scan, **vars(reading))
    seconds = time.perf_counter() - start
    truth = None if choices.truth is None else Truth.read(choices.truth, volume)
    asked: dict[str, Any] = {
        "model": model,
        "version": version,
        "label": version_label,
        "method": choices.method,
        "layer": choices.layer,
        "strict": reading.strict,
    }
    if choices.all_classes:
        predictions = client.predict_all(volume, **asked)
    else:
        predictions = [client.predict(volume, target=choices.label, **asked)]
    return [replace(p, timings={**p.timings, "read": seconds}, truth=truth) for p in predictions]


def write_results(
    predictions: Sequence[Prediction],
    folder: Path | str,
    choices: Choices = DEFAULT_CHOICES,
    *,
    stem: str | None = None,
) -> WrittenFiles:
    """Writes the result files of one scan.

    NAME_heatmap.nii.gz, NAME_overlay.png and NAME_result.json; with a threshold
    NAME_mask.nii.gz. Where all classes are explained, NAME_LABEL_heatmap.nii.gz and so
    on. Maps and masks of a picture are PNG.

    All are computed, and written beside their places, before the first appears. In memory
    there is the map of one class at a time; none is kept of several.

    Args:
        predictions: of one scan, as `explain` returns them.
        folder: made where it does not exist.
        choices: the same as for `explain`.
        stem: NAME; by default the scan's.

    Raises:
        OutputError: the folder can't be written; each file is whole or absent.
        InputError: no predictions, a stem that is no file name or too long for one, or a
            mask to compare with that does not lie on the scan.
    """
    from vcam_client._maps import map_file, mask_file, suffix
    from vcam_client._overlay import overlay_png

    name = _stem(predictions, stem)
    names = names_of(predictions, name, choices, suffix(predictions[0]))
    truth = truth_of(predictions, choices)
    result = f"{name}_result.json"
    written = [own for each in names for own in (each.heatmap, each.overlay, each.mask) if own]
    require_short([*written, result], name, Path(folder))
    with written_together() as files:

        def add(file_name: str, content: bytes) -> None:
            files.add(Path(folder) / file_name, content)

        for prediction, own in zip(predictions, names, strict=True):
            level, signed = choices.level(prediction), choices.shows_sign(prediction)
            if own.mask:
                assert level is not None
                add(own.mask, mask_file(prediction, prediction.mask(level)))
            if own.heatmap:
                add(own.heatmap, map_file(prediction, signed=signed))
            if own.overlay:
                add(
                    own.overlay,
                    overlay_png(prediction, signed=signed, threshold=level, truth=truth),
                )
            prediction.measure(level, truth)
            if len(predictions) > 1:
                prediction.release()
        add(result, json_bytes(result_dict(predictions, choices, truth, names)))
    return WrittenFiles(
        result=Path(folder) / result,
        heatmaps=tuple(Path(folder) / own.heatmap for own in names if own.heatmap),
        overlays=tuple(Path(folder) / own.overlay for own in names if own.overlay),
        masks=tuple(Path(folder) / own.mask for own in names if own.mask),
    )


def results_to_dict(
    predictions: Sequence[Prediction],
    choices: Choices = DEFAULT_CHOICES,
    *,
    stem: str | None = None,
) -> dict[str, Any]:
    """What NAME_result.json holds; `result.schema.json` is its schema.

    Args:
        predictions, choices, stem: as for `write_results`.

    Raises:
        InputError: as for `write_results`.
    """
    from vcam_client._maps import suffix

    name = _stem(predictions, stem)
    names = names_of(predictions, name, choices, suffix(predictions[0]))
    return result_dict(predictions, choices, truth_of(predictions, choices), names)


def result_schema() -> dict[str, Any]:
    """The JSON Schema of NAME_result.json; `#/$defs/line` is that of a line of results.jsonl."""
    text = resources.files("vcam_client").joinpath("result.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def json_bytes(content: Any) -> bytes:
    """UTF-8, indented, with a newline at the end; NaN has no place in it.

    In ASCII where a file name is not text: "\\udcff" stands for the byte ff of its name.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        # where the locale is ASCII, names hold the bytes of UTF-8
        encoded = text.encode("utf-8", "surrogateescape")
        encoded.decode("utf-8")
    except UnicodeError:
        encoded = json.dumps(content, indent=2, allow_nan=False).encode()
    return encoded + b"\n"


def truth_of(predictions: Sequence[Prediction], choices: Choices) -> Truth | None:
    """The mask that `choices` name, on the scan's grid; `explain` has read it already.

    Raises:
        InputError: it can't be read, or does not lie on the scan.
    """
    if choices.truth is None:
        return None
    known = predictions[0].truth
    if known is not None and known.path == choices.truth:
        return known
    return Truth.read(choices.truth, predictions[0].volume)


def _stem(predictions: Sequence[Prediction], stem: str | None) -> str:
    if not predictions:
        raise InputError("Expected at least one prediction, received none. Explain a scan first.")
    name = predictions[0].volume.name if stem is None else stem
    if not name or os.path.basename(name) != name:
        raise InputError(
            f"Expected the stem of file names, received {name!r}. Name the folder apart from it."
        )
    return name
