"""Boundaries learned from single slices: what is compared, which axes are known, the same bits in blocks and after a kill."""

import numpy as np
import pytest
import torch

from spherovem_core.errors import LabelsError, NetworkError
from spherovem_core.execution import Execution
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation.boundary_network import BoundaryNetwork
from spherovem_core.segmentation.fine_tuning import boundary_training, merging_training
from spherovem_core.segmentation.fine_tuning.boundary_training import (
    BoundarySlices,
    boundary_slices,
    draw_boundary_crop,
    known_axes,
)
from spherovem_core.segmentation.fine_tuning.training_regions import PlacedSlice, TrainingRegion
from spherovem_core.segmentation.grid import Grid
from spherovem_core.segmentation.learned_boundaries import TILE, LearnedBoundaries
from spherovem_core.segmentation.mask_inputs import MaskInputs

PLAIN = FineTuningParameters(
    kind="cells", network="phantom-compact", scale_range=0, contrast_range=0, noise=0, blur_px=0, elastic_px=0, missing_fraction=0
)  # fmt: skip
SHAPE = (40, 48, 56)


def state_of(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = BoundaryNetwork()
    # After one batch, running averages are not those of a fresh network.
    network.train()(torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(seed)))
    state = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    # So that small differences would be seen.
    state["head.weight"] *= 30
    return state


def inputs_of(image):
    grid = Grid(image.shape, (20.0, 20.0, 20.0))
    return MaskInputs(np.zeros((4, *image.shape), np.float16), grid, grid, image)


def quarters(axis, index, shape=SHAPE):
    """A slice of four objects that touch, and the image, whose grey values are their numbers."""
    places = np.indices([n for a, n in enumerate(shape) if a != axis])
    middle = [n // 2 for a, n in enumerate(shape) if a != axis]
    labels = (1 + 2 * (places[0] >= middle[0]) + (places[1] >= middle[1])).astype(np.uint32)
    region = tuple(slice(index, index + 1) if a == axis else slice(0, n) for a, n in enumerate(shape))
    return PlacedSlice(f"{axis}-{index}", axis, index, region, labels)


def sections(*slices):
    image = np.random.default_rng(0).random(SHAPE, np.float32)
    for one in slices:
        image[one.region] = np.expand_dims(one.labels, one.axis)
    region = TrainingRegion(Grid(SHAPE, (20.0,) * 3), image, np.zeros((4, *SHAPE), np.float16), list(slices))
    return boundary_slices([region], (0.0, 1.0), {one.name for one in slices})


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("alike", [False, True])
def test_what_is_known_is_what_the_image_shows(axis, alike):
    """Grey values are labels here, so that the crop tells what its targets must be, whichever way it was turned."""
    known_along = set()
    for seed in range(12):
        image, different, known = draw_boundary_crop(
            sections(quarters(axis, 20)), PLAIN, alike, np.random.default_rng(seed)
        )
        for along in range(3):
            for number, reach in enumerate((1, 4)):
                seen = known[3 * number + along]
                if not seen.any():
                    continue
                known_along.add(along)
                a, b = (torch.roll(image, shift, along) for shift in (reach, -reach))
                # Between two grey values lie the pixels that the rotation mixed.
                pure = seen & ((a - a.round()).abs() < 1e-3) & ((b - b.round()).abs() < 1e-3)
                assert pure.sum() > 100
                assert torch.equal(different[3 * number + along][pure] > 0, (a.round() != b.round())[pure])
    assert known_along == ({0, 1, 2} if alike else {0, 1, 2} - {axis})


def test_axes_are_those_within_slices_unless_all_look_alike():
    assert known_axes(sections(quarters(0, 20)), alike=False) == (1, 2)
    assert known_axes(sections(quarters(0, 20), quarters(2, 8)), alike=False) == (0, 1, 2)
    assert known_axes(sections(quarters(0, 20)), alike=True) == (0, 1, 2)


def test_slices_without_boundary_are_refused():
    one = quarters(0, 20)
    one.labels[:] = 1
    with pytest.raises(LabelsError, match="no boundary"):
        sections(one)


def test_background_is_known_only_beside_objects():
    labels = np.full((64, 64), 0, np.int32)
    labels[20:40, 20:40] = 1
    image = np.zeros((40, 64, 64), np.float32)
    _, different, known = draw_boundary_crop(
        [BoundarySlices(0, image, {16: labels})], PLAIN, False, np.random.default_rng(0)
    )
    assert different[known].any()
    area = 20 * 20
    assert area < known[1].sum() < 2 * area
    assert not different[4:][known[4:]].any()


def test_killed_training_continues_to_the_same_bits(monkeypatch, tmp_path):
    """Two networks of four steps, killed in the second one after its first two."""
    for name, value in (("DEPTH", 16), ("SIDE", 24)):
        monkeypatch.setattr(boundary_training, name, value)
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
        return merging_training._train_networks(known, PLAIN, True, Execution(progress=progress), path)

    whole = train(None)
    with pytest.raises(KilledError):
        train(tmp_path / "training.pt", kill)
    steps = []
    found = train(tmp_path / "training.pt", lambda done, total: steps.append(done))
    assert steps == [7, 8]
    for one, other in zip(whole, found, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not np.array_equal(whole[0]["head.weight"], whole[1]["head.weight"])


def test_probability_does_not_depend_on_the_region():
    image = np.random.default_rng(1).random((40, TILE + 20, 50), np.float32)
    boundaries = LearnedBoundaries((state_of(0), state_of(1)))
    whole = boundaries.probability(tuple(slice(0, n) for n in image.shape), inputs_of(image), (0.0, 1.0))
    assert whole.std() > 3
    region = (slice(5, 30), slice(TILE - 7, TILE + 9), slice(11, 50))
    assert np.array_equal(
        boundaries.probability(region, inputs_of(image), (0.0, 1.0)), whole[(slice(None), *region)]
    )


def test_axes_that_nobody_learned_decide_nothing():
    image = np.random.default_rng(1).random((24, 32, 40), np.float32)
    region = tuple(slice(0, n) for n in image.shape)
    state = state_of(0)
    # Boundaries along z, which alone is wrong here.
    state["head.bias"][[0, 3]] = 50
    found = LearnedBoundaries((state,), (1, 2)).probability(region, inputs_of(image), (0.0, 1.0))
    assert (found < 255).any()
    assert (LearnedBoundaries((state,)).probability(region, inputs_of(image), (0.0, 1.0)) == 255).all()


def test_arrays_of_another_network_are_refused():
    arrays = LearnedBoundaries((state_of(0),)).arrays("boundary")
    del arrays["boundary.0.head.bias"]
    with pytest.raises(NetworkError, match="no networks of this version"):
        LearnedBoundaries.from_arrays(arrays, "boundary")
