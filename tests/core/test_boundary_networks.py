"""Boundaries learned from single slices: what is compared, which planes count, the same bits in blocks and after a kill."""

import numba
import numpy as np
import pytest
import torch

from spherovem_core.errors import LabelsError, NetworkError
from spherovem_core.execution import Execution
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation import boundary_networks
from spherovem_core.segmentation.boundary_networks import TILE, BoundaryNetworks
from spherovem_core.segmentation.compact_network import CompactNetwork
from spherovem_core.segmentation.fine_tuning import boundary_training, merging_training
from spherovem_core.segmentation.fine_tuning.boundary_training import (
    boundary_sections,
    compare,
    draw_boundary_crop,
)
from spherovem_core.segmentation.fine_tuning.training_regions import PlacedSlice, TrainingRegion
from spherovem_core.segmentation.grid import Grid
from spherovem_core.segmentation.mask_inputs import MaskInputs

PLAIN = FineTuningParameters(
    kind="cells", network="phantom-compact", scale_range=0, contrast_range=0, noise=0, blur_px=0, elastic_px=0, missing_fraction=0
)  # fmt: skip
SHAPE = (40, 48, 56)


def state_of(seed, fixed=None):
    """Random weights; with `fixed`, four probabilities: of rows and columns, beside a pixel and farther away."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CompactNetwork(4)
    state = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    # So that small differences would be seen.
    state["head.weight"] *= 30 if fixed is None else 0
    if fixed is not None:
        state["head.bias"][:] = np.log(np.array(fixed) / (1 - np.array(fixed)))
    return state


def inputs_of(image):
    grid = Grid(image.shape, (20.0, 20.0, 20.0))
    return MaskInputs(np.zeros((4, *image.shape), np.float16), grid, grid, image)


def whole(image):
    return tuple(slice(0, n) for n in image.shape)


def quarters(axis, index):
    """A slice of four objects that touch."""
    across = [n for a, n in enumerate(SHAPE) if a != axis]
    places = np.indices(across)
    labels = (1 + 2 * (places[0] >= across[0] // 2) + (places[1] >= across[1] // 2)).astype(np.uint32)
    region = tuple(slice(index, index + 1) if a == axis else slice(0, n) for a, n in enumerate(SHAPE))
    return PlacedSlice(f"{axis}-{index}", axis, index, region, labels)


def sections(*slices):
    """Sections whose grey values are their labels."""
    image = np.zeros(SHAPE, np.float32)
    for one in slices:
        image[one.region] = np.expand_dims(one.labels, one.axis)
    region = TrainingRegion(Grid(SHAPE, (20.0,) * 3), image, np.zeros((4, *SHAPE), np.float16), list(slices))
    return boundary_sections([region], (0.0, 1.0), {one.name for one in slices})


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_targets_are_turned_with_the_image(axis):
    (section,) = sections(quarters(axis, 20))
    for seed in range(4):
        image, different, known = draw_boundary_crop([section], PLAIN, np.random.default_rng(seed))
        for number, reach in enumerate((1, 4)):
            for along in (0, 1):
                a, b = (torch.roll(image, shift, along) for shift in (reach, -reach))
                # Between two grey values lie the pixels that the rotation mixed.
                pure = (known[2 * number + along] > 0) & ((a - a.round()).abs() < 1e-3)
                pure &= (b - b.round()).abs() < 1e-3
                assert pure.sum() > 100
                assert torch.equal(different[2 * number + along][pure] > 0, (a.round() != b.round())[pure])


def test_pixels_on_both_sides_are_compared_where_they_are_known():
    labels = torch.zeros(1, 24)
    labels[0, 4:10], labels[0, 10:20] = 1, 2
    known = torch.zeros(1, 24, dtype=torch.bool)
    known[0, 2:22] = True
    different, seen = compare(labels.expand(9, 24), known.expand(9, 24))
    assert np.flatnonzero(different[1, 4] * seen[1, 4]).tolist() == [3, 4, 9, 10, 19, 20]
    assert np.flatnonzero(seen[1, 4]).tolist() == list(range(3, 21))
    assert np.flatnonzero(different[3, 4] * seen[3, 4]).tolist() == [6, 7, *range(8, 14), 16, 17]
    assert not different[[0, 2]][seen[[0, 2]] > 0].any()


def test_slices_without_boundary_are_refused():
    one = quarters(0, 20)
    one.labels[:] = 1
    with pytest.raises(LabelsError, match="no boundary"):
        sections(one)


def test_killed_training_continues_to_the_same_bits(monkeypatch, tmp_path):
    """Two networks of four steps, killed in the second one after its first two."""
    monkeypatch.setattr(boundary_training, "SIDE", 32)
    for name, value in (("STEPS", 4), ("KEPT_STEPS", 2)):
        monkeypatch.setattr(merging_training, name, value)
    known = [sections(quarters(0, 20)), sections(quarters(1, 12))]

    class KilledError(Exception):
        pass

    def kill(done, total):
        assert total == 8
        if done == 7:
            raise KilledError

    def train(path, progress=None):
        return merging_training._train_networks(known, PLAIN, Execution(progress=progress), path)

    at_once = train(None)
    with pytest.raises(KilledError):
        train(tmp_path / "training.pt", kill)
    steps = []
    found = train(tmp_path / "training.pt", lambda done, total: steps.append(done))
    assert steps == [7, 8]
    for one, other in zip(at_once, found, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not np.array_equal(at_once[0]["head.weight"], at_once[1]["head.weight"])


def test_probability_does_not_depend_on_the_region():
    image = np.random.default_rng(1).random((40, TILE + 20, 50), np.float32)
    boundaries = BoundaryNetworks((state_of(0), state_of(1)))
    found = boundaries.probability(whole(image), inputs_of(image), (0.0, 1.0))
    assert found.std() > 3
    region = (slice(5, 30), slice(TILE - 7, TILE + 9), slice(11, 50))
    part = boundaries.probability(region, inputs_of(image), (0.0, 1.0))
    assert np.array_equal(part, found[(slice(None), *region)])


def test_probability_does_not_depend_on_threads():
    image = np.random.default_rng(2).random((24, 40, 50), np.float32)
    boundaries = BoundaryNetworks((state_of(0),))
    before, found = numba.get_num_threads(), []
    try:
        for count in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(count)
            found.append(boundaries.probability(whole(image), inputs_of(image), (0.0, 1.0)))
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(*found)


@pytest.mark.parametrize(("across", "axes"), [(0, (1, 2)), (1, (0, 2)), (2, (0, 1))])
def test_each_plane_tells_of_the_axes_within_it(across, axes):
    image = np.zeros((24, 32, 40), np.float32)
    boundaries = BoundaryNetworks((state_of(0, [0.2, 0.8, 0.4, 0.1]),))
    found = boundary_networks._in_planes(
        boundaries.networks(), across, whole(image), inputs_of(image), (0.0, 1.0)
    )
    expected = np.zeros((2, 3))
    expected[:, axes] = [[0.2, 0.8], [0.4, 0.1]]
    assert np.allclose(found, expected[..., None, None, None], atol=1e-5)


def test_probability_is_that_of_the_axis_where_it_is_largest():
    image = np.zeros((24, 32, 40), np.float32)
    for planes in ((0,), (0, 1, 2)):
        # x is the column of xy and xz, z the row of xz and yz.
        boundaries = BoundaryNetworks((state_of(0, [0.2, 0.8, 0.4, 0.1]),), planes)
        found = boundaries.probability(whole(image), inputs_of(image), (0.0, 1.0))
        assert (found[0] == 204).all()
        assert (found[1] == 102).all()
    assert not BoundaryNetworks().probability(whole(image), inputs_of(image), (0.0, 1.0)).any()


def test_arrays_of_another_network_are_refused():
    arrays = BoundaryNetworks((state_of(0),)).arrays("boundary")
    del arrays["boundary.0.head.bias"]
    with pytest.raises(NetworkError, match="no networks of this version"):
        BoundaryNetworks.from_arrays(arrays, "boundary")
