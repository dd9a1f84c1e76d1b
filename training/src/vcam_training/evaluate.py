"""Held-out figures: accuracy with its interval, and whether the map points at the object."""

from dataclasses import asdict, dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from vcam_client.spec import CamLayer, Metric
from vcam_training.data.dataset import Split
from vcam_training.perfect_map import perfect_map_dice
from vcam_training.target_layer import explainer

Z_95 = 1.959964
"""Normal quantile of a two-sided 95 % interval."""
_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a run knows about its model.

    Attributes:
        metrics: held-out figures for the model spec.
        reference_maximum: median of the largest cell over validation volumes that
            are classified correctly and have an object; None without one.
    """

    metrics: tuple[Metric, ...]
    reference_maximum: float | None

    def to_json_dict(self) -> dict[str, object]:
        """Plain values; `from_json_dict` reads them."""
        return {
            "metrics": [asdict(metric) for metric in self.metrics],
            "reference_maximum": self.reference_maximum,
        }

    @classmethod
    def from_json_dict(cls, values: dict) -> "Evaluation":
        """The evaluation that `to_json_dict` wrote."""
        return cls(
            metrics=tuple(Metric(**metric) for metric in values["metrics"]),
            reference_maximum=values["reference_maximum"],
        )


def evaluate(model: keras.Model, layer: CamLayer, validation: Split, test: Split) -> Evaluation:
    """Measures a trained model on the test split.

    Pointing is measured on every held-out volume that has an object (a lesion, a
    solid), for its true class, whatever the model predicted: the strongest cell's
    centre lies inside the object, or no further than one cell from it. Beside it
    stands chance: the share of cells for which that is so, which is what a
    uniformly random cell would reach.
    """
    right = predicted(model, test.volumes) == test.labels
    metrics = [_share("accuracy", right)]
    has_object = test.masks.any(axis=tuple(range(1, test.masks.ndim)))
    if has_object.any():
        volumes, labels = test.volumes[has_object], test.labels[has_object]
        cams = maps(model, layer, volumes, labels)
        distances = np.stack([cell_distances(m, layer) for m in test.masks[has_object]])
        strongest = cams.reshape(len(cams), -1).argmax(axis=1)
        at_strongest = distances.reshape(len(cams), -1)[np.arange(len(cams)), strongest]
        for name, reach in (("pointing, within one cell", 1.0), ("pointing, inside", 0.0)):
            chance = float((distances <= reach).mean())
            metrics.append(_share(name, at_strongest <= reach, chance=chance))
        ceiling = [perfect_map_dice(mask, layer) for mask in test.masks[has_object]]
        metrics.append(
            Metric(
                name="Dice of a perfect map, lowest",
                value=min(ceiling),
                count=len(ceiling),
                split="test",
            )
        )
    return Evaluation(
        metrics=tuple(metrics), reference_maximum=_reference_maximum(model, layer, validation)
    )


def predicted(model: keras.Model, volumes: NDArray) -> NDArray[np.int32]:
    """int32 [n]: the class with the highest score; of one logit, its sign."""
    logits = np.concatenate(
        [np.asarray(model(_batch(volumes, at), training=False)) for at in _starts(volumes)]
    )
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0).astype(np.int32)
    return logits.argmax(axis=1).astype(np.int32)


def maps(
    model: keras.Model, layer: CamLayer, volumes: NDArray, labels: NDArray[np.int32]
) -> NDArray[np.float32]:
    """float32 [n, *cells]: the Grad-CAM of each volume's own label, raw and signed."""
    explain = explainer(model, layer.name, one_logit=model.output_shape[-1] == 1)
    parts = [
        explain(_batch(volumes, at), labels[at : at + _BATCH]).numpy() for at in _starts(volumes)
    ]
    return np.concatenate(parts)


def cell_distances(mask: NDArray[np.bool_], layer: CamLayer) -> NDArray[np.float64]:
    """float64 [*cells]: from each cell's centre to the object, in cells; 0 inside.

    Inside means that the centre lies within half a voxel, along each axis, of a
    voxel of the mask.
    """
    voxels = np.argwhere(mask)
    centres = np.stack(
        np.meshgrid(
            *[
                o + s * np.arange(n)
                for o, s, n in zip(layer.offset, layer.stride, layer.cells, strict=True)
            ],
            indexing="ij",
        ),
        axis=-1,
    ).reshape(-1, mask.ndim)
    nearest = np.full(len(centres), np.inf)
    near = _within_reach(centres, voxels, layer)
    for index in np.flatnonzero(near):
        gap = np.clip(np.abs(voxels - centres[index]) - 0.5, 0, None) / layer.stride
        nearest[index] = np.sqrt((gap**2).sum(axis=1).min())
    return nearest.reshape(layer.cells)


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion.

    Source: E. B. Wilson, Probable inference, J. Am. Stat. Assoc. 22 (1927).
    """
    share, z2 = successes / count, Z_95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z_95 / (1 + z2 / count) * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def _share(name: str, hits: NDArray[np.bool_], chance: float | None = None) -> Metric:
    lower, upper = wilson_interval(int(hits.sum()), len(hits))
    return Metric(
        name=name,
        value=float(hits.mean()),
        lower=lower,
        upper=upper,
        count=len(hits),
        split="test",
        chance=chance,
    )


def _reference_maximum(model: keras.Model, layer: CamLayer, split: Split) -> float | None:
    right = predicted(model, split.volumes) == split.labels
    right &= split.masks.any(axis=tuple(range(1, split.masks.ndim)))
    if not right.any():
        return None
    cams = maps(model, layer, split.volumes[right], split.labels[right])
    largest = float(np.median(cams.reshape(len(cams), -1).max(axis=1)))
    return largest if largest > 0 else None


def _within_reach(
    centres: NDArray[np.float64], voxels: NDArray[np.int64], layer: CamLayer
) -> NDArray[np.bool_]:
    """Cells within two cells of the object's bounding box; the others need no distance."""
    low, high = voxels.min(axis=0), voxels.max(axis=0)
    margin = 2 * np.asarray(layer.stride)
    return np.all((centres >= low - margin) & (centres <= high + margin), axis=1)


def _starts(volumes: NDArray) -> range:
    return range(0, len(volumes), _BATCH)


def _batch(volumes: NDArray, at: int) -> NDArray[np.float32]:
    return volumes[at : at + _BATCH, ..., None].astype(np.float32)
