"""Splits in blocks: contiguous, disjoint, and never next to each other."""

import numpy as np
import pytest

from vcam_client.errors import ConfigError
from vcam_training.data.soil.contiguous_blocks import ContiguousBlocks


def runs(indices: np.ndarray) -> list[np.ndarray]:
    return np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1)


@pytest.mark.parametrize("gap", [1, 3, 8])
@pytest.mark.parametrize("seed", range(4))
def test_slices_of_two_splits_are_more_than_the_gap_apart(gap: int, seed: int) -> None:
    blocks = ContiguousBlocks(blocks=12, validation=3, test=2, gap=gap, seed=seed)
    parts = blocks.split(250)
    for name, chosen in parts.items():
        for other, others in parts.items():
            if name != other:
                assert np.abs(chosen[:, None] - others[None]).min() > gap


def test_blocks_are_whole_and_only_gaps_are_left_out() -> None:
    parts = ContiguousBlocks(blocks=10, validation=2, test=2, gap=5, seed=2).split(200)
    chosen = np.sort(np.concatenate(list(parts.values())))
    assert len(np.unique(chosen)) == len(chosen)
    left_out = np.setdiff1d(np.arange(200), chosen)
    assert all(len(run) == 5 for run in runs(left_out))
    for name in ("validation", "test"):
        assert 1 <= len(runs(parts[name])) <= 2
        assert 30 <= len(parts[name]) <= 40
        assert all(len(run) >= 15 for run in runs(parts[name]))
    assert len(parts["train"]) >= 6 * 15


def test_the_seed_decides() -> None:
    first, again, other = (ContiguousBlocks(seed=seed).split(1200) for seed in (0, 0, 1))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert any(not np.array_equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gap": 0}, "gap of at least 1"),
        ({"blocks": 8}, "one block for each split"),
        ({"test": 0}, "one block for each split"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ContiguousBlocks(**settings)


@pytest.mark.parametrize("count", [10, 24 * 8])
def test_too_few_slices_are_refused(count: int) -> None:
    with pytest.raises(ConfigError, match="longer than the gap"):
        ContiguousBlocks().split(count)
