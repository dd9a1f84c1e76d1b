"""Which epoch's network is kept."""

import pytest

from vcam_client.errors import ConfigError
from vcam_training.learning.history import Row, best, better, waited

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
    with pytest.raises(ConfigError, match="one of loss, auc, epoch, received 'accuracy'"):
        best(history(), "accuracy")
