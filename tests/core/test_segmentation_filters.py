"""Filters of flows and probability, on fields and images with a known result."""

import numpy as np
import pytest
from scipy import ndimage
from segmentation_scenes import EVERYTHING, SPACING, ideal, packed_cells, segment

from spherovem_core.segmentation import MaskInputs, match_labels
from spherovem_core.segmentation.curl import remove_curl
from spherovem_core.segmentation.filters import (
    filter_margin,
    filter_probability,
    filter_vectors,
    guided_filter,
)
from spherovem_core.segmentation.grid import Grid, flow_grid

# A Gaussian of 2.4 voxels along z and 12 along y and x. The sampling along z cuts its spectrum off at 3e-4 of its
# height, and the border cuts the Gaussian off at 5e-5.
WIDTH_NM = 120.0
TOLERANCE = 1e-3


def bump(shape: tuple[int, int, int] = (24, 110, 124)) -> tuple[np.ndarray, ...]:
    """Return coordinates in nm around the middle, and the bump."""
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, SPACING, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z, y, x, np.exp(-(z**2 + y**2 + x**2) / (2 * WIDTH_NM**2))


def gradient() -> np.ndarray:
    """Return the gradient of the bump, times the width squared."""
    z, y, x, height = bump()
    return np.stack([-z * height, -y * height, -x * height]).astype(np.float32)


def rotation() -> np.ndarray:
    """Return a rotation about a tilted axis that fades with the bump, which has no divergence."""
    z, y, x, height = bump()
    return (np.stack([2 * y + 3 * x, -2 * z + x, -3 * z - y]) * height).astype(np.float32)


def test_a_gradient_field_is_kept() -> None:
    field = gradient()
    assert np.abs(remove_curl(field, SPACING) - field).max() < TOLERANCE * np.abs(field).max()
    # With the spacing of other axes it is not a gradient.
    assert np.abs(remove_curl(field, SPACING[::-1]) - field).max() > 0.1 * np.abs(field).max()


def test_a_solenoidal_field_is_removed() -> None:
    field = rotation()
    assert np.abs(remove_curl(field, SPACING)).max() < TOLERANCE * np.abs(field).max()


def test_the_gradient_is_kept_of_a_sum_of_both() -> None:
    both = gradient() + rotation()
    assert np.abs(remove_curl(both, SPACING) - gradient()).max() < TOLERANCE * np.abs(both).max()


def test_a_second_projection_changes_little_inside() -> None:
    field = np.random.default_rng(0).normal(size=(3, 20, 24, 28)).astype(np.float32)
    field[:, :6], field[:, -6:] = 0, 0
    field[:, :, :6], field[:, :, -6:] = 0, 0
    field[..., :6], field[..., -6:] = 0, 0
    once = remove_curl(field)
    # The first projection leaves 7 % beyond the border, which the second does not see.
    assert np.abs(remove_curl(once) - once).mean() < 0.1 * np.abs(once).mean()


def test_curl_free_finds_objects_in_rotating_flows() -> None:
    cells = packed_cells((40, 48, 56), 12, seed=5)
    grid = Grid(cells.shape, (20.0, 20.0, 20.0))
    flows = ideal(cells)
    # A rotation is added within each object, twice as strong as the flows to its centre.
    for label in range(1, int(cells.max()) + 1):
        mask = cells == label
        if not mask.any():
            continue
        away = np.indices(cells.shape)[:, mask] - np.argwhere(mask).mean(axis=0)[:, None]
        rotating = np.stack([np.zeros(mask.sum()), away[2], -away[1]])
        flows[:3, mask] += 10 * rotating / np.maximum(np.linalg.norm(rotating, axis=0), 1)
    smooth = EVERYTHING.model_copy(update={"flow_smoothing": 1.0})
    scores = [
        match_labels(
            cells, segment(flows, grid, grid, smooth.model_copy(update={"curl_free": on}))[0], iou=0.7
        )
        for on in (False, True)
    ]
    assert scores[1].f1 > scores[0].f1 + 0.2


def test_median_filter_drops_specks_and_keeps_a_straight_border() -> None:
    logit = np.where(np.arange(40) < 17, 5.0, -5.0) * np.ones((12, 30, 1))
    noisy = logit.copy()
    noisy[np.random.default_rng(0).random(logit.shape) < 0.1] *= -1
    for radius in (1, 2):
        parameters = EVERYTHING.model_copy(
            update={"probability_filter": "median", "probability_filter_voxels": radius}
        )
        assert np.array_equal(filter_probability(logit, parameters), logit)
        assert np.array_equal(
            filter_probability(noisy, parameters), ndimage.median_filter(noisy, 2 * radius + 1)
        )
    # Of the 125 voxels around one, 12 are wrong on average and at least half nowhere: errors remain only at the border.
    assert (filter_probability(noisy, parameters) != logit).mean() < 0.02


def test_guided_filter_averages_where_the_guide_is_flat() -> None:
    values = np.random.default_rng(0).normal(size=(14, 16, 18)).astype(np.float32)
    flat = np.full(values.shape, 0.5, np.float32)
    twice = ndimage.uniform_filter(ndimage.uniform_filter(values, 5, mode="nearest"), 5, mode="nearest")
    assert np.allclose(guided_filter(values, flat, (2, 2, 2), 0.1), twice, atol=1e-5)


def test_guided_filter_keeps_a_linear_function_of_the_guide() -> None:
    guide = np.random.default_rng(0).normal(0, 5, (14, 16, 18)).astype(np.float32)
    # The guide varies far more than the contrast: the values are kept to (contrast / deviation)² = 4e-4.
    values = 3 * guide - 2
    found = guided_filter(values, guide, (2, 2, 2), 0.1)
    assert np.abs(found - values).max() < 2e-3 * np.abs(values).max()


def test_guided_probability_follows_the_image() -> None:
    shape = (12, 36, 60)
    inside = np.arange(60) < 31
    image = np.where(inside, 200, 60).astype(np.uint8) * np.ones(shape, np.uint8)
    generator = np.random.default_rng(0)
    logit = np.where(inside, 3.0, -3.0) * np.ones(shape) + generator.normal(0, 4, shape)
    grid = Grid(shape, (30.0, 30.0, 30.0))
    flows = np.concatenate([np.zeros((3, *shape)), logit[None]]).astype(np.float32)
    wrong = []
    for kind in ("none", "guided"):
        parameters = EVERYTHING.model_copy(update={"probability_filter": kind})
        inputs = MaskInputs(flows, grid, grid, image)
        found = inputs.upsampled_logit(tuple(slice(0, n) for n in shape), parameters) > 0
        wrong.append((found != inside).mean())
    # Noise flips 23 % of the voxels; the image shows the border to the voxel.
    assert wrong[0] == pytest.approx(0.227, abs=0.01)
    assert wrong[1] < 0.001


@pytest.mark.parametrize("kind", ["none", "median", "guided"])
def test_filtered_blocks_equal_the_filtered_volume(kind: str) -> None:
    target = Grid((20, 66, 58), (60.0, 25.0, 25.0))
    parameters = EVERYTHING.model_copy(
        update={"flow_spacing_nm": 50.0, "probability_filter": kind, "flow_smoothing": 1.3}
    )
    grid = flow_grid(target.shape, target.spacing_nm, parameters)
    generator = np.random.default_rng(0)
    flows = generator.normal(size=(4, *grid.shape)).astype(np.float16)
    image = generator.integers(0, 255, target.shape).astype(np.uint8)
    inputs = MaskInputs(flows, grid, target, image)
    whole = tuple(slice(0, n) for n in target.shape)
    part = (slice(7, 16), slice(20, 47), slice(31, 52))
    assert np.allclose(
        inputs.upsampled_flows(whole, parameters)[(slice(None), *part)],
        inputs.upsampled_flows(part, parameters),
        atol=1e-5,
    )
    assert np.allclose(
        inputs.upsampled_logit(whole, parameters)[part], inputs.upsampled_logit(part, parameters), atol=1e-5
    )
    logit = inputs.upsampled_logit(whole, parameters)
    assert np.array_equal(
        inputs.boundary_evidence(whole, logit, parameters)[(slice(None), *part)],
        inputs.boundary_evidence(part, logit[part], parameters),
    )


def test_projection_of_a_block_is_nearly_that_of_the_volume() -> None:
    cells = packed_cells((60, 70, 80), 30, seed=2)
    vectors = ideal(cells)[:3]
    parameters = EVERYTHING.model_copy(update={"curl_free": True})
    margin = filter_margin(parameters)
    core = (slice(20, 40), slice(22, 48), slice(20, 60))
    outer = tuple(slice(s.start - margin, s.stop + margin) for s in core)
    whole = filter_vectors(vectors, parameters)[(slice(None), *core)]
    block = filter_vectors(vectors[(slice(None), *outer)], parameters)
    inner = tuple(slice(margin, -margin) for _ in range(3))
    # Of vectors of length 5; voxels at a distance of 16 and more hardly count.
    assert np.quantile(np.abs(block[(slice(None), *inner)] - whole), 0.99) < 0.5
