"""Spheres and octahedra: geometry, bytes, and what the voxel count gives away."""

import numpy as np
import pytest

from vcam_client.errors import ConfigError
from vcam_training.data.phantoms import solids
from vcam_training.data.phantoms.solids import Solids, generate, matched_counts
from vcam_training.data.sources import SolidsSource

COUNT_OF_SPHERE_3 = 123
"""Voxels within 3 of one; octahedra of radius 3 and 4 have 63 and 129."""
NORM_ORDER = {0: 2, 1: 1}
"""L2 for spheres, L1 for octahedra."""
NEIGHBOURS = 15


@pytest.fixture(scope="module")
def plain() -> Solids:
    return generate(300, seed=3)


@pytest.fixture(scope="module")
def matched() -> Solids:
    return generate(1000, seed=3, volume_matched=True)


def distances(size: int, centre: np.ndarray, label: int) -> np.ndarray:
    """[N, N, N]: distance to the centre in the solid's own norm."""
    offsets = np.stack(np.indices((size,) * 3), axis=-1) - centre
    return np.linalg.norm(offsets, ord=NORM_ORDER[label], axis=-1)


def best_threshold_accuracy(train: Solids, test: Solids) -> float:
    """Of "many voxels: one class, few voxels: the other", fitted on train."""
    best, rule = 0.0, (0, True)
    for threshold in np.unique(train.counts):
        above = train.counts > threshold
        for flip in (False, True):
            share = float(((above ^ flip) == train.labels).mean())
            if share > best:
                best, rule = share, (threshold, flip)
    return float((((test.counts > rule[0]) ^ rule[1]) == test.labels).mean())


def nearest_counts_accuracy(train: Solids, test: Solids) -> float:
    """Of a vote of the training solids with the nearest voxel counts."""
    gaps = np.abs(test.counts[:, None].astype(int) - train.counts[None].astype(int))
    nearest = np.argsort(gaps, axis=1, kind="stable")[:, :NEIGHBOURS]
    vote = train.labels[nearest].mean(axis=1) > 0.5
    return float((vote == test.labels).mean())


def test_a_solid_is_a_ball_of_its_norm_that_fits(plain: Solids) -> None:
    size = plain.volumes.shape[1]
    for volume, label, centre, radius, count in zip(
        plain.volumes, plain.labels, plain.centres, plain.radii, plain.counts, strict=True
    ):
        inside = distances(size, centre, int(label)) <= radius
        np.testing.assert_array_equal(volume > 0, inside)
        assert count == inside.sum()
        assert (centre >= radius).all()
        assert (centre + radius <= size - 1).all()


def test_radii_are_the_integers_from_3_to_7_in_both_classes(plain: Solids) -> None:
    for label in (0, 1):
        assert set(plain.radii[plain.labels == label]) == {3, 4, 5, 6, 7}


def test_values_fill_half_to_one_inside_and_are_zero_outside(plain: Solids) -> None:
    inside = plain.volumes[plain.masks]
    assert inside.min() >= 0.5
    assert inside.max() < 1.0
    assert inside.mean() == pytest.approx(0.75, abs=0.002)
    assert not plain.volumes[~plain.masks].any()
    assert plain.volumes.dtype == np.float32
    assert plain.masks.sum() == plain.counts.sum()


def test_values_stay_below_one_when_they_round_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solids, "INSIDE", (np.nextafter(1.0, 0.0), 1.0))
    made = generate(2, size=15)
    assert made.volumes.max() < 1.0


def test_classes_are_balanced_and_shuffled(plain: Solids) -> None:
    assert np.bincount(plain.labels).tolist() == [150, 150]
    assert 0.3 < (np.diff(plain.labels) != 0).mean() < 0.7
    assert np.bincount(generate(7, size=15).labels).tolist() == [4, 3]


@pytest.mark.parametrize("size", [15, 16, 33, 48])
def test_any_cube_that_holds_the_largest_solid(size: int) -> None:
    made = generate(20, size=size, seed=1)
    assert made.volumes.shape == (20, size, size, size)
    assert (made.counts == made.masks.sum(axis=(1, 2, 3))).all()


@pytest.mark.parametrize(("size", "volume_matched", "least"), [(14, False, 15), (20, True, 21)])
def test_a_cube_too_small_is_refused(size: int, volume_matched: bool, least: int) -> None:
    with pytest.raises(ConfigError, match=f"at least {least} voxels.*received size={size}"):
        generate(2, size=size, volume_matched=volume_matched)
    assert len(generate(2, size=least, volume_matched=volume_matched).labels) == 2


@pytest.mark.parametrize("volume_matched", [False, True])
def test_the_same_seed_gives_the_same_bytes(volume_matched: bool) -> None:
    one, again, other = (
        generate(10, size=24, seed=seed, volume_matched=volume_matched) for seed in (5, 5, 6)
    )
    for field in ("volumes", "labels", "centres", "radii", "counts"):
        assert getattr(one, field).tobytes() == getattr(again, field).tobytes()
    assert one.volumes.tobytes() != other.volumes.tobytes()


def test_matched_solids_are_the_nearest_voxels(matched: Solids) -> None:
    size = matched.volumes.shape[1]
    for volume, label, centre, radius, count in zip(
        matched.volumes, matched.labels, matched.centres, matched.radii, matched.counts, strict=True
    ):
        distance = distances(size, centre, int(label))
        inside = volume > 0
        assert inside.sum() == count
        assert distance[inside].max() <= distance[~inside].min()
        assert distance[inside].max() == pytest.approx(radius)


def test_matched_classes_draw_from_one_list_of_counts(matched: Solids) -> None:
    spheres, octahedra = (set(matched.counts[matched.labels == label]) for label in (0, 1))
    assert spheres == octahedra == set(matched_counts())
    assert len(matched_counts()) == 10


def test_matched_counts_are_those_of_the_plain_solids(plain: Solids) -> None:
    assert set(plain.counts) == set(matched_counts())


def test_ties_are_broken_at_random(matched: Solids) -> None:
    """A sphere's count ends within a shell of the octahedron; which voxels of it is drawn."""
    chosen = np.flatnonzero((matched.labels == 1) & (matched.counts == COUNT_OF_SPHERE_3))[:20]
    shapes = {tuple(map(tuple, np.argwhere(matched.masks[i]) - matched.centres[i])) for i in chosen}
    assert len(shapes) > 1


@pytest.mark.parametrize("classifier", [best_threshold_accuracy, nearest_counts_accuracy])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_count_alone_does_not_tell_matched_classes_apart(classifier, seed: int) -> None:
    train = generate(700, size=21, seed=2 * seed, volume_matched=True)
    test = generate(300, size=21, seed=2 * seed + 1, volume_matched=True)
    assert classifier(train, test) <= 0.60


def test_the_count_gives_plain_classes_away(plain: Solids) -> None:
    """So the classifiers above would notice."""
    train = generate(700, size=21, seed=8)
    assert nearest_counts_accuracy(train, plain) > 0.95


def test_the_source_makes_splits_that_share_no_solid(tmp_path) -> None:
    lines: list[str] = []
    data = SolidsSource(size=15, train=40, validation=10, test=20).load(tmp_path, lines.append)
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [30, 10, 20]
    contents = [{volume.tobytes() for volume in split.volumes} for split in splits]
    assert len(set.union(*contents)) == 60
    assert lines == ["Making 60 solids of 15³ voxels"]
    assert not any(tmp_path.iterdir())


def test_the_source_hashes_what_it_made(tmp_path) -> None:
    def digest(**settings: object) -> str:
        source = SolidsSource(**{"size": 21, "train": 8, "validation": 4, "test": 4} | settings)
        return source.load(tmp_path, lambda line: None).sha256

    assert digest() == digest()
    assert len({digest(), digest(seed=1), digest(volume_matched=True)}) == 3


def test_sizes_that_leave_no_split_are_refused() -> None:
    with pytest.raises(ConfigError, match="validation < train"):
        SolidsSource(train=10, validation=10)
