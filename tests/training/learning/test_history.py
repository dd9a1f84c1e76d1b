"""Which epoch's network is kept."""

import numpy as np
import pytest

from vcam_client.errors import ConfigError
from vcam_training.evaluation.epoch_figures import NAMES, check_monitor, epoch_figures
from vcam_training.learning.history import Row, best, better, waited
from vcam_training.task import Task

LOSSES, AREAS = (0.7, 0.5, 0.6, 0.5), (0.8, 0.7, 0.9, 0.9)


def history() -> list[Row]:
    return [
        Row(
            epoch=number,
            values={"loss": 1.0, "val_loss": loss, "val_auc": area},
            learning_rate=0.1,
            seconds=1.0,
        )
        for number, (loss, area) in enumerate(zip(LOSSES, AREAS, strict=True), start=1)
    ]


@pytest.mark.parametrize(
    ("monitor", "are_better", "waits", "kept"),
    [
        ("loss", [True, True, False, False], [0, 0, 1, 2], 2),
        ("auc", [True, False, True, False], [0, 1, 0, 1], 3),
        ("epoch", [True] * 4, [0] * 4, 4),
    ],
)
def test_the_first_of_the_best_epochs_is_kept(
    monitor: str, are_better: list[bool], waits: list[int], kept: int
) -> None:
    assert better(history(), monitor) == are_better
    assert waited(history(), monitor) == waits
    assert best(history(), monitor).epoch == kept


def test_what_can_be_monitored() -> None:
    for monitor in ("loss", "auc", "epoch"):
        check_monitor(Task.FINDINGS, monitor)
    with pytest.raises(ConfigError, match="one of loss, auc, epoch, received 'accuracy'"):
        check_monitor(Task.FINDINGS, "accuracy")


@pytest.mark.parametrize("task", Task)
def test_each_figure_of_an_epoch_can_be_monitored(task: Task) -> None:
    labels = {
        Task.CLASSES: np.array([0, 1]),
        Task.FINDINGS: np.eye(2, dtype=bool),
        Task.REGRESSION: np.eye(2),
    }
    figures = epoch_figures(task, np.eye(2), labels[task])
    assert ("loss", *figures) == NAMES[task]
