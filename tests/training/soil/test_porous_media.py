"""Synthetic media: their fractions, their grey values, their neighbourhood."""

import numpy as np
import pytest

from vcam_client.errors import ConfigError
from vcam_training.data.soil.porous_media import MATERIALS, PorousCube, PorousMedium, generate

MEDIUM = PorousMedium(shape=(200, 64, 64))


@pytest.fixture(scope="module")
def made() -> PorousCube:
    return generate(MEDIUM, seed=5)


def fractions(materials: np.ndarray) -> np.ndarray:
    return np.stack([(materials == at).mean(axis=(1, 2)) for at in range(len(MATERIALS))], axis=1)


def test_the_same_seed_gives_the_same_bytes(made: PorousCube) -> None:
    again, other = generate(MEDIUM, seed=5), generate(MEDIUM, seed=6)
    assert made.grey.tobytes() == again.grey.tobytes()
    assert made.materials.tobytes() == again.materials.tobytes()
    assert made.grey.tobytes() != other.grey.tobytes()


def test_slices_have_the_fractions_of_their_profiles(made: PorousCube) -> None:
    np.testing.assert_allclose(made.fractions.sum(axis=1), 1)
    found = fractions(made.materials)
    # what a slice of 64² voxels has of its own, for structures of 2 voxels
    np.testing.assert_allclose(found.mean(axis=0), made.fractions.mean(axis=0), atol=0.01)
    assert np.abs(found - made.fractions).mean() < 0.03
    assert made.fractions.std(axis=0).min() > 0.02


def test_profiles_are_slow(made: PorousCube) -> None:
    centred = made.fractions - made.fractions.mean(axis=0)
    next_one = (centred[:-1] * centred[1:]).mean(axis=0) / centred.var(axis=0)
    assert next_one.min() > 0.95


def test_neighbouring_slices_are_alike_and_distant_ones_are_not(made: PorousCube) -> None:
    grey = made.grey.astype(float) - made.grey.mean(axis=(1, 2), keepdims=True)

    def alike(lag: int) -> float:
        return float((grey[:-lag] * grey[lag:]).mean() / (grey**2).mean())

    assert alike(1) > 0.8
    assert abs(alike(12)) < 0.1


def test_without_optics_and_noise_grey_values_are_those_of_the_materials() -> None:
    made = generate(PorousMedium(shape=(20, 16, 16), blur=0, noise=0), seed=0)
    middles = np.rint((np.arange(6) + 0.5) * 255 / 6)
    np.testing.assert_array_equal(made.grey, middles[made.materials])


def test_noise_is_as_strong_as_it_is_said_to_be() -> None:
    quiet = generate(PorousMedium(shape=(40, 32, 32), noise=0), seed=3)
    noisy = generate(PorousMedium(shape=(40, 32, 32), noise=10), seed=3)
    middle = (quiet.materials > 1) & (quiet.materials < 4)  # far from saturation
    spread = (noisy.grey.astype(float) - quiet.grey)[middle].std()
    assert spread == pytest.approx(10, rel=0.03)


@pytest.mark.parametrize(
    "settings",
    [{"shape": (1, 8, 8)}, {"structure": 0}, {"profile": 0}, {"noise": -1}, {"blur": -1}],
)
def test_media_that_cannot_be_are_refused(settings: dict) -> None:
    with pytest.raises(ConfigError):
        PorousMedium(**settings)
