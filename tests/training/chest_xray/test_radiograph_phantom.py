"""Made-up radiographs: what is drawn is where its mask is, and the same seed is the same image."""

import numpy as np
import pytest

from vcam_training.data.radiographs.chest_xray_table import FINDINGS
from vcam_training.data.radiographs.radiograph_findings import PREVALENCE, Radiograph, radiograph
from vcam_training.data.radiographs.radiograph_phantom import draw_anatomy, smooth, smooth_noise

SIZE = 128
NOTHING: frozenset[str] = frozenset()
OF_ANATOMY = {"Cardiomegaly", "Emphysema"}
"""Findings that change the chest itself, not only the pixels of their masks."""


def draw(seed: int, *findings: str) -> Radiograph:
    rng = np.random.default_rng(seed)
    anatomy = draw_anatomy(np.random.default_rng(seed + 1))
    return radiograph(anatomy, frozenset(findings), SIZE, rng)


def test_every_finding_of_the_table_can_be_drawn() -> None:
    assert set(PREVALENCE) == set(FINDINGS)
    assert all(0.1 <= share <= 0.2 for share in PREVALENCE.values())


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, same, other = (draw(seed, *FINDINGS) for seed in (3, 3, 4))
    assert one.image.tobytes() == same.image.tobytes()
    assert all(np.array_equal(one.masks[name], same.masks[name]) for name in FINDINGS)
    assert one.image.tobytes() != other.image.tobytes()


@pytest.mark.parametrize("seed", range(3))
def test_findings_have_masks_and_nothing_has_none(seed: int) -> None:
    assert draw(seed).masks == {}
    everything = draw(seed, *FINDINGS)
    assert set(everything.masks) == set(FINDINGS)
    assert everything.image.shape == (SIZE, SIZE)
    assert everything.image.dtype == np.uint8
    for name, mask in everything.masks.items():
        assert 0 < mask.mean() < 0.6, name


def test_a_chest_looks_like_one() -> None:
    """Dark lungs on both sides of a bright middle, and air around the body."""
    images = np.mean([draw(seed).image.astype(float) for seed in range(6)], axis=0)
    lungs = images[50:70, 30:45].mean(), images[40:60, 85:98].mean()
    middle, corner = images[50:90, 60:68].mean(), images[60:90, :4].mean()
    assert max(lungs) + 50 < middle
    assert corner + 20 < min(lungs)


@pytest.mark.parametrize("name", sorted(set(FINDINGS) - OF_ANATOMY))
def test_a_mark_is_seen_in_its_mask(name: str) -> None:
    """Compared with the mean of plain chests, a mark stands out more inside than outside.

    Each is drawn with the same anatomy as its plain partner; pose and vessels are random.
    """
    inside, outside = [], []
    for seed in range(12):
        shown = draw(seed, name)
        # the anatomy and the pose come first from the stream: they are the partner's, too
        plain = draw(seed)
        apart = np.abs(smooth(shown.image.astype(np.float32)) - smooth(plain.image * 1.0))
        mask = shown.masks[name]
        inside.append(apart[mask].mean())
        outside.append(apart[~mask].mean())
    assert np.mean(inside) > 1.5 * np.mean(outside), (np.mean(inside), np.mean(outside))


def test_cardiomegaly_widens_the_heart() -> None:
    wide = [
        np.ptp(np.flatnonzero(draw(s, "Cardiomegaly").masks["Cardiomegaly"].any(0)))
        for s in range(8)
    ]
    # hearts of plain chests are 0.42 to 0.5 of the lungs' half width
    usual = SIZE / 2 * 2 * 0.5 * 0.78 * 1.07
    assert min(wide) > usual


def test_emphysema_darkens_the_lungs() -> None:
    apart = []
    for seed in range(8):
        shown = draw(seed, "Emphysema")
        mask = shown.masks["Emphysema"]
        apart.append(draw(seed).image[mask].mean() - shown.image[mask].mean())
    assert np.mean(apart) > 10


def test_pneumothorax_is_dark_and_effusion_bright() -> None:
    for name, sign in (("Pneumothorax", -1), ("Effusion", 1)):
        apart = []
        for seed in range(6):
            shown = draw(seed, name)
            mask = shown.masks[name]
            apart.append(shown.image[mask].mean() - float(draw(seed).image[mask].mean()))
        assert sign * np.mean(apart) > 15


def test_noise_has_a_mean_of_none_and_a_deviation_of_one() -> None:
    noise = np.array([smooth_noise(np.random.default_rng(s), 64, 10) for s in range(40)])
    assert abs(noise.mean()) < 0.05
    assert noise.std() == pytest.approx(1, abs=0.05)
