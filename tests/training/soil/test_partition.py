"""Phases: every voxel in exactly one, edges as the graph has them."""

import itertools

import keras
import numpy as np
import pytest

from vcam_client.errors import ConfigError
from vcam_training.intensity import Bands
from vcam_training.phases.partition import Partition, partition

KINDS = {
    "uint8": lambda rng: rng.integers(0, 256, (5, 7, 9)).astype(np.uint8),
    "int16": lambda rng: rng.integers(-1024, 3072, (5, 7, 9)).astype(np.int16),
    "float": lambda rng: rng.normal(0.3, 1e-3, (5, 7, 9)).astype(np.float32),
    "coarse": lambda rng: rng.integers(0, 13, (5, 7, 9)).astype(np.float32),
}


@pytest.fixture(params=list(KINDS))
def values(request: pytest.FixtureRequest) -> np.ndarray:
    return KINDS[request.param](np.random.default_rng(1)).astype(np.float32)


def test_every_voxel_is_in_exactly_one_phase(values: np.ndarray) -> None:
    phases = partition(values)
    edges = np.array(phases.edges, np.float32)
    inside = np.stack(
        [
            (values >= low) & ((values < high) | ((number == 5) & (values == high)))
            for number, (low, high) in enumerate(itertools.pairwise(edges))
        ]
    )
    np.testing.assert_array_equal(inside.sum(axis=0), 1)
    np.testing.assert_array_equal(phases.phase_of(values), inside.argmax(axis=0) + 1)
    counts = phases.counts(values)
    assert counts.shape == (5, 6)
    np.testing.assert_array_equal(counts.sum(axis=1), 7 * 9)
    np.testing.assert_array_equal(counts, inside.sum(axis=(2, 3)).T)
    np.testing.assert_allclose(phases.fractions(values).sum(axis=1), 1, rtol=0, atol=1e-15)


def test_edges_are_equally_far_apart_and_span_the_range(values: np.ndarray) -> None:
    edges = np.array(partition(values).edges)
    assert edges[0] == values.min()
    assert edges[-1] == values.max()
    width = (edges[-1] - edges[0]) / 6
    np.testing.assert_allclose(np.diff(edges), width, rtol=1e-3)


def test_a_value_on_an_edge_is_in_the_brighter_phase_but_for_the_brightest() -> None:
    phases = partition(np.array([0.0, 12.0], np.float32))
    assert phases.edges == (0, 2, 4, 6, 8, 10, 12)
    on_edges = np.arange(0, 14, 2, dtype=np.float32)
    np.testing.assert_array_equal(phases.phase_of(on_edges), [1, 2, 3, 4, 5, 6, 6])
    below = np.nextafter(on_edges[1:], np.float32(-1))
    np.testing.assert_array_equal(phases.phase_of(below), [1, 2, 3, 4, 5, 6])


def test_bands_of_the_graph_are_the_same_phases(values: np.ndarray) -> None:
    phases = partition(values)
    seen = keras.ops.convert_to_numpy(Bands(phases.edges)(values[..., None]))
    np.testing.assert_array_equal(seen.sum(axis=-1), 1)
    np.testing.assert_array_equal(seen.argmax(axis=-1) + 1, phases.phase_of(values))


@pytest.mark.parametrize("outside", [-0.1, 12.1, np.nan])
def test_values_outside_are_refused(outside: float) -> None:
    phases = partition(np.array([0.0, 12.0], np.float32))
    with pytest.raises(ConfigError, match="1 voxels outside"):
        phases.phase_of(np.array([3.0, outside]))


def test_volumes_that_cannot_be_cut_are_refused() -> None:
    with pytest.raises(ConfigError, match="ascending edges"):
        partition(np.full((2, 3, 4), 7.0))
    with pytest.raises(ConfigError, match="at least one phase"):
        partition(np.arange(4.0), 0)
    with pytest.raises(ConfigError, match="ascending edges"):
        Partition(edges=(0.0, 1.0, 1.0 + 1e-12))


@pytest.mark.parametrize("phases", [(), (0,), (7,), (1, 9)])
def test_phases_that_do_not_exist_are_refused(phases: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="phases from 1 to 6"):
        partition(np.arange(10.0)).check(phases)
