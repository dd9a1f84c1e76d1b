"""Parts of a data set: nothing lost, nothing twice, no group in two, labels in the shares."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vcam_client.errors import ConfigError
from vcam_training.data.splitting import k_folds, split

SHARES = st.sampled_from(
    [(0.7, 0.3), (0.5, 0.5), (0.9, 0.1), (0.6, 0.2, 0.2), (0.7, 0.0, 0.3), (0.25,) * 4, (1.0,)]
)
SEEDS = st.integers(0, 5)
CLASSES = st.lists(st.integers(0, 3), min_size=4, max_size=60).map(np.array)


@st.composite
def grouped(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Labels of one of the three tasks, and groups of 1 to 5 samples."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=4, max_size=25))
    groups = np.repeat([f"patient {n}" for n in range(len(sizes))], sizes)
    rng = np.random.default_rng(draw(SEEDS))
    labels = draw(
        st.sampled_from(
            [
                rng.integers(0, 3, len(groups)),
                rng.random((len(groups), 3)) < (0.5, 0.2, 0.05),
                rng.random((len(groups), 2)),
            ]
        )
    )
    order = rng.permutation(len(groups))
    return labels, groups[order]


def whole(parts: tuple[np.ndarray, ...], count: int) -> bool:
    """Whether each sample is in one part, in ascending order."""
    return np.sort(np.concatenate(parts)).tolist() == list(range(count)) and all(
        (np.diff(part) > 0).all() for part in parts
    )


@settings(deadline=None, max_examples=40)
@given(labels=CLASSES, shares=SHARES, seed=SEEDS)
def test_classes_are_divided_to_the_next_whole_number(
    labels: np.ndarray, shares: tuple[float, ...], seed: int
) -> None:
    parts = split(labels, None, shares, seed)
    assert whole(parts, len(labels))
    for label in np.unique(labels):
        ideal = np.multiply(shares, (labels == label).sum())
        assert (abs([(labels[part] == label).sum() for part in parts] - ideal) < 1).all()
    off = abs(np.subtract([len(part) for part in parts], np.multiply(shares, len(labels))))
    assert (off <= (0.5 if sum(s > 0 for s in shares) <= 2 else 1.0) + 1e-6).all()


def test_shares_that_come_out_even_are_exact() -> None:
    """The Keras example's: 100 scans of each class, 70 and 30."""
    labels = np.repeat([0, 1], 100)
    train, validation = split(labels, None, (0.7, 0.3), seed=0)
    assert np.bincount(labels[train]).tolist() == [70, 70]
    assert np.bincount(labels[validation]).tolist() == [30, 30]
    parts = split(labels, None, (0.6, 0.2, 0.2), seed=0)
    assert [np.bincount(labels[part]).tolist() for part in parts] == [[60, 60], [20, 20], [20, 20]]


def test_rounding_does_not_add_up_over_classes() -> None:
    """Four of each of five classes at 60 %: 2.4 each, 12 in all and not 10."""
    labels = np.repeat(np.arange(5), 4)
    assert [len(part) for part in split(labels, None, (0.6, 0.4), seed=3)] == [12, 8]


@settings(deadline=None, max_examples=40)
@given(data=grouped(), shares=SHARES, seed=SEEDS)
def test_no_group_is_in_two_parts_and_no_part_is_empty(
    data: tuple[np.ndarray, np.ndarray], shares: tuple[float, ...], seed: int
) -> None:
    labels, groups = data
    parts = split(labels, groups, shares, seed)
    assert whole(parts, len(labels))
    assert sum(len(set(groups[part])) for part in parts) == len(set(groups))
    assert [bool(len(part)) for part in parts] == [share > 0 for share in shares]
    # Groups are dealt until a part is full, so that none has more than its share and one group.
    for part, share in zip(parts, shares, strict=True):
        assert len(part) < share * len(labels) + 5 + sum(s > 0 for s in shares)


@given(labels=CLASSES, seed=SEEDS)
@settings(deadline=None, max_examples=40)
def test_groups_of_one_sample_are_no_groups(labels: np.ndarray, seed: int) -> None:
    alone = [str(number) for number in range(len(labels))]
    for one, other in zip(
        split(labels, None, (0.7, 0.3), seed), split(labels, alone, (0.7, 0.3), seed), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@settings(deadline=None, max_examples=40)
@given(data=grouped(), count=st.integers(2, 4), seed=SEEDS)
def test_folds_hold_every_sample_out_once(
    data: tuple[np.ndarray, np.ndarray], count: int, seed: int
) -> None:
    labels, groups = data
    assume(len(set(groups)) >= count)
    parts = k_folds(labels, groups, count, seed)
    assert len(parts) == count
    assert whole(parts, len(labels))
    assert sum(len(set(groups[part])) for part in parts) == len(set(groups))


def test_folds_have_the_same_classes() -> None:
    labels = np.repeat([0, 1, 2], [20, 10, 5])
    for part in k_folds(labels, None, 5, seed=1):
        assert np.bincount(labels[part]).tolist() == [4, 2, 1]


@pytest.mark.parametrize("with_groups", [False, True])
def test_rare_findings_are_in_every_part_in_their_shares(with_groups: bool) -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((1000, 4)) < (0.5, 0.2, 0.05, 0.01)
    labels[:10, 3], labels[10:, 3] = True, False
    groups = np.arange(1000) // 2 if with_groups else None
    for part, share in zip(
        split(labels, groups, (0.7, 0.1, 0.2), seed=0), (0.7, 0.1, 0.2), strict=True
    ):
        assert len(part) == pytest.approx(share * 1000, abs=2)
        np.testing.assert_allclose(labels[part].sum(axis=0), share * labels.sum(axis=0), atol=3)
        assert labels[part, 3].any()


def test_classes_stay_in_their_shares_where_patients_have_several_scans() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([f"p{n}" for n in range(100)], rng.integers(1, 6, 100))
    labels = (rng.random(len(groups)) < 0.3).astype(int)
    for part, share in zip(split(labels, groups, (0.7, 0.3), seed=0), (0.7, 0.3), strict=True):
        assert len(part) == pytest.approx(share * len(labels), abs=5)
        assert labels[part].mean() == pytest.approx(labels.mean(), abs=0.03)


@pytest.mark.parametrize("seed", range(8))
def test_a_label_of_as_many_groups_as_parts_is_in_each(seed: int) -> None:
    groups = np.repeat(np.arange(30), 3)
    labels = np.zeros((90, 2), bool)
    labels[::2, 0] = True
    labels[[0, 1, 40, 80], 1] = True  # of three patients
    for part in split(labels, groups, (0.7, 0.15, 0.15), seed):
        assert labels[part, 1].any()


def test_targets_have_the_same_range_in_every_part() -> None:
    values = np.random.default_rng(0).exponential(size=(200, 1))
    for part in split(values, None, (0.5, 0.5), seed=0):
        fifths = np.searchsorted(np.quantile(values, (0.2, 0.4, 0.6, 0.8)), values[part, 0])
        assert abs(np.bincount(fifths) - 20).max() <= 1


def test_the_seed_decides() -> None:
    labels = np.repeat([0, 1], 50)
    one, again, other = (split(labels, None, (0.7, 0.3), seed) for seed in (1, 1, 2))
    assert [part.tolist() for part in one] == [part.tolist() for part in again]
    assert one[0].tolist() != other[0].tolist()


@pytest.mark.parametrize(
    ("labels", "groups", "shares", "message"),
    [
        ([0, 1], None, (0.7, 0.2), "1 together"),
        ([0, 1], None, (1.2, -0.2), "0 or more"),
        ([0, 1], None, (0.4, 0.3, 0.3), "at least 3 samples.*received 2"),
        ([0, 1, 0], ["a", "a", "a"], (0.5, 0.5), "at least 2 groups, such as patients"),
    ],
)
def test_what_can_not_be_divided(
    labels: list[int], groups: list[str] | None, shares: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        split(np.array(labels), groups, shares, seed=0)


def test_one_fold_is_none() -> None:
    with pytest.raises(ConfigError, match="2 folds or more, received 1"):
        k_folds(np.array([0, 1]), None, 1, seed=0)
