"""What is hidden of a scan: blocks, regions, moved shapes, and what goes in their place."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from client.predictions import LAYER

from vcam_client._hiding import CONTROLS, MOST_OVERLAP, Region, blocks_for, elsewhere
from vcam_client._inpaint import inpainted


@pytest.mark.parametrize("shape", [(8, 10, 12), (7, 31, 17), (1, 40, 37), (100, 30, 30)])
@pytest.mark.parametrize("most", [1, 7, 50, 200, 5000])
def test_blocks_cover_the_grid_once(shape: tuple[int, int, int], most: int) -> None:
    layer = dataclasses.replace(LAYER, stride=(1.0, 2.0, 3.0), offset=(0.0, 0.5, 1.0))
    blocks = blocks_for(shape, layer, (3.0, 1.0, 1.0), most)
    assert math.prod(blocks.counts) <= most
    covered = np.zeros(shape, int)
    for index, box in blocks.boxes():
        covered[box] += 1
        sizes = [span.stop - span.start for span in box]
        for axis, (n, size) in enumerate(zip(index, sizes, strict=True)):
            middle = (box[axis].start + box[axis].stop - 1) / 2
            centre = blocks.layer.offset[axis] + blocks.layer.stride[axis] * n
            assert abs(middle - centre) <= 0.5 + 1e-9
            assert size >= min(shape[axis], math.floor(layer.stride[axis]))
    assert (covered == 1).all()
    sums = [covered[box].sum() for _, box in blocks.boxes()]
    np.testing.assert_allclose(blocks.sums(covered), np.reshape(sums, blocks.counts))


def test_blocks_are_about_as_long_as_wide_in_millimetres() -> None:
    layer = dataclasses.replace(LAYER, stride=(1.0, 8.0, 8.0))
    blocks = blocks_for((300, 128, 128), layer, (1.0, 3.0, 3.0), 200)
    sides = [n / m * mm for n, m, mm in zip((300, 128, 128), blocks.counts, (1, 3, 3), strict=True)]
    assert max(sides) / min(sides) < 1.5
    assert math.prod(blocks.counts) > 100


def test_a_shape_is_moved_within_what_was_measured() -> None:
    marked = np.zeros((20, 22, 24), bool)
    marked[4:8, 5:9, 6:10] = True
    marked[4, 5, 6] = False
    real = np.ones(marked.shape, bool)
    real[:, :, 20:] = False
    real &= np.random.default_rng(1).random(real.shape) > 0.03
    marked &= real
    places = elsewhere(marked, real)
    assert len(places) == CONTROLS
    starts = set()
    home = Region.of(marked)
    for place_ in places:
        starts.add(tuple(span.start for span in place_.box))
        mask = np.zeros(marked.shape, bool)
        mask[place_.box] = place_.inside
        assert not (mask & ~real).any()
        assert mask.sum() >= 0.9 * marked.sum()
        assert (mask & marked).sum() <= MOST_OVERLAP * marked.sum()
        assert (place_.inside <= home.inside).all()
    assert len(starts) == CONTROLS
    again = [place_.box for place_ in elsewhere(marked, real)]
    assert again == [place_.box for place_ in places]
    assert elsewhere(np.ones((4, 4, 4), bool), np.ones((4, 4, 4), bool)) == []


def test_regions_hide_their_voxels_alone() -> None:
    mask = np.zeros((4, 5, 6), bool)
    for where in itertools.product((1, 3), (0, 2), (5,)):
        mask[where] = True
    mask[3, 4, 5] = True
    region = Region.of(mask)
    tensor = np.zeros(mask.shape)
    sevens = np.full(region.inside.shape, 7)
    region.hide(tensor, sevens)
    np.testing.assert_array_equal(tensor == 7, mask)
    assert region.slices == [1, 3]
    image = np.zeros((5, 6))
    region.hide_in_slice(image, 3, sevens)
    np.testing.assert_array_equal(image == 7, mask[3])
    assert Region.of(np.zeros((4, 5, 6), bool)).voxels == 0
    assert Region.of(np.zeros((4, 5, 6), bool)).slices == []


def test_a_hole_goes_on_from_what_lies_around() -> None:
    """A lesion in even tissue vanishes; across a slope the slope goes on."""
    slope = np.broadcast_to(np.arange(24.0)[:, None, None], (24, 20, 16))
    known = np.ones(slope.shape, bool)
    known[8:14, 6:12, 5:10] = False
    values = np.where(known, slope, 1e6)
    filled = inpainted(values, known)
    np.testing.assert_array_equal(filled[known], values[known])
    assert np.abs(filled - slope)[~known].max() < 2.5
    even = inpainted(np.where(known, -850.0, 30.0), known)
    np.testing.assert_allclose(even, -850)
    assert not inpainted(values, np.zeros_like(known)).any()


def test_only_measured_voxels_count_as_surroundings() -> None:
    tensor = np.full((10, 10, 10), -850, np.int16)
    tensor[:, :, 6:] = -2000
    real = tensor > -2000
    region = Region(box=(slice(3, 6), slice(3, 6), slice(3, 8)), inside=np.ones((3, 3, 5), bool))
    values, found = region.surroundings(tensor, real, (0, 0, 0))
    assert found
    np.testing.assert_allclose(values, -850)
    everything = Region(box=(slice(0, 10),) * 3, inside=np.ones(tensor.shape, bool))
    assert not everything.surroundings(tensor, real, (0, 0, 0))[1]
    # what is a voxel away along the first axis doesn't count
    tensor[2, 2:7, 2:6] = 900
    near, _ = region.surroundings(tensor, real, (0, 1, 1))
    far, _ = region.surroundings(tensor, real, (1, 1, 1))
    assert near.max() > -800
    np.testing.assert_allclose(far, -850)
