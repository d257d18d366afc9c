"""Selection of slices and drawing of patches."""

from typing import Any

import numpy as np
import pytest

from spherovem_core.denoising.patches import draw_patch_set, draw_patches
from spherovem_core.denoising.slice_selection import split_slices, spread_slices
from spherovem_core.errors import ParameterError
from spherovem_core.parameters import DenoisingParameters


class RecordingSource:
    """Array that can be read one slice at a time only and records which."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shape, self.dtype = values.shape, values.dtype
        self.read: list[int] = []

    def __getitem__(self, index: Any) -> np.ndarray:
        assert isinstance(index, int)
        self.read.append(index)
        return self.values[index]


def coordinates(shape: tuple[int, int, int]) -> np.ndarray:
    """Make an array in which every voxel holds its own flat index."""
    return np.arange(np.prod(shape), dtype=np.uint32).reshape(shape)


def test_slices_are_spread_over_the_whole_stack() -> None:
    assert spread_slices(100, 5) == [10, 30, 50, 70, 90]
    assert spread_slices(4, 100) == [0, 1, 2, 3]


def test_bad_slices_are_never_chosen() -> None:
    bad = {0, 10, 11, 12, 49}
    chosen = spread_slices(50, 45, bad)
    assert len(chosen) == 45
    assert not bad.intersection(chosen)
    assert chosen == sorted(set(chosen))


@pytest.mark.parametrize("depth", [2, 3, 7, 64, 1000])
def test_training_and_validation_share_no_slice(depth: int) -> None:
    training, validation = split_slices(depth, 64, 8, bad_slices=[depth + 5])
    assert not set(training) & set(validation)
    assert training
    assert 1 <= len(validation) <= max(1, depth // 5)
    assert max(training) - min(training) >= depth // 2 - 1


def test_too_few_good_slices_are_an_error_with_a_remedy() -> None:
    with pytest.raises(ParameterError, match=r"stack: 1 of 4.*denoising\.model.*denoising\.algorithm=none"):
        split_slices(4, 10, 2, bad_slices=[0, 2, 3])


def test_patches_are_pieces_of_their_slices_read_one_by_one() -> None:
    source = RecordingSource(coordinates((6, 40, 52)))
    patches = draw_patches(source, [1, 4], side=16, per_slice=5, seed=0)
    assert patches.shape == (10, 16, 16)
    assert source.read == [1, 4]
    corners = patches[:, 0, 0].astype(int)
    z, y, x = np.unravel_index(corners, source.shape)
    assert z.tolist() == [1] * 5 + [4] * 5
    expected = source.values[1, y[0] : y[0] + 16, x[0] : x[0] + 16]
    np.testing.assert_array_equal(patches[0], expected)


def test_a_training_reads_no_bad_slice() -> None:
    source = RecordingSource(coordinates((40, 64, 64)))
    bad = [3, 4, 17, 39]
    parameters = DenoisingParameters(patches_per_slice=2)
    patches = draw_patch_set(source, parameters, bad)
    assert sorted(source.read) == [z for z in range(40) if z not in bad]
    slices = {kind: set(getattr(patches, kind)[:, 0, 0] // 64**2) for kind in ("training", "validation")}
    assert len(slices["training"]) == 29
    assert len(slices["validation"]) == 7
    assert not slices["training"] & slices["validation"]


def test_patches_reach_every_border() -> None:
    patches = draw_patches(coordinates((1, 20, 24)), [0], side=16, per_slice=400, seed=2)
    _, y, x = np.unravel_index(patches[:, 0, 0].astype(int), (1, 20, 24))
    assert set(y) == set(range(5))
    assert set(x) == set(range(9))


def test_patches_of_a_slice_do_not_depend_on_the_other_slices() -> None:
    source = coordinates((6, 40, 52))
    together = draw_patches(source, [1, 4], side=16, per_slice=5, seed=3)
    np.testing.assert_array_equal(together[5:], draw_patches(source, [4], side=16, per_slice=5, seed=3))
    assert not np.array_equal(together, draw_patches(source, [1, 4], side=16, per_slice=5, seed=4))


def test_a_slice_smaller_than_a_patch_is_an_error_that_names_the_largest_size() -> None:
    with pytest.raises(ParameterError, match=r"50 x 90 pixels.*patch_size to 48 or less"):
        draw_patches(coordinates((2, 50, 90)), [0], side=64, per_slice=1, seed=0)
