"""Common rectangle against brute force, and composition of chains."""

import numpy as np
import pytest
from numpy.typing import NDArray

from spherovem_core.errors import ParameterError, RegistrationError
from spherovem_core.registration import Rectangle, compose_chain, largest_common_rectangle
from spherovem_core.registration.affine import IDENTITY, compose, invert, rotation_matrix, shift_matrix


def jitter(rng: np.random.Generator, count: int, shape: tuple[int, int], size: float) -> NDArray[np.float64]:
    maps = []
    for _ in range(count):
        linear = np.eye(2) + rng.normal(0.0, 0.02 * size, (2, 2))
        shift = rng.normal(0.0, 2.0 * size, 2)
        about = np.concatenate([linear, shift[:, None]], axis=1)
        maps.append(compose(rotation_matrix(rng.normal(0.0, 4.0 * size), shape), about))
    return np.stack(maps)


def inside_all(maps: NDArray[np.float64], shape: tuple[int, int], margin: int) -> NDArray[np.bool_]:
    """Mark the pixels, from -margin on, that every map sends between the outermost pixel centres."""
    y, x = np.mgrid[-margin : shape[0] + margin, -margin : shape[1] + margin]
    seen = np.einsum("nij,jyx->niyx", maps, np.stack([y, x, np.ones_like(y)]).astype(float))
    limit = np.array(shape)[:, None, None] - 1.0
    return ((seen >= -1e-6) & (seen <= limit + 1e-6)).all((0, 1))


def largest_area(mask: NDArray[np.bool_]) -> int:
    """Find the largest all-true rectangle of a mask by trying every pair of rows."""
    best = 0
    for top in range(len(mask)):
        common = np.ones(mask.shape[1], dtype=bool)
        for bottom in range(top, len(mask)):
            common &= mask[bottom]
            padded = np.concatenate([[0], common.astype(int), [0]])
            runs = np.flatnonzero(np.diff(padded) == -1) - np.flatnonzero(np.diff(padded) == 1)
            if runs.size == 0:
                break
            best = max(best, int(runs.max()) * (bottom - top + 1))
    return best


def test_the_crop_equals_brute_force_on_200_random_sets() -> None:
    rng = np.random.default_rng(7)
    compared = 0
    while compared < 200:
        shape = (int(rng.integers(12, 36)), int(rng.integers(12, 36)))
        maps = jitter(rng, int(rng.integers(1, 6)), shape, rng.uniform(0.1, 1.5))
        mask = inside_all(maps, shape, margin=30)
        if not mask.any():
            with pytest.raises(RegistrationError):
                largest_common_rectangle(maps, shape)
            continue
        found = largest_common_rectangle(maps, shape)
        covered = mask[found.y0 + 30 : found.y1 + 30, found.x0 + 30 : found.x1 + 30]
        assert covered.shape == found.shape
        assert covered.all()
        assert covered.size == largest_area(mask)
        compared += 1


def test_slices_that_did_not_move_keep_their_whole_area() -> None:
    assert largest_common_rectangle(np.stack([IDENTITY] * 3), (50, 70)) == Rectangle(0, 50, 0, 70)


def test_shifts_cut_off_exactly_the_uncovered_borders() -> None:
    maps = np.stack([IDENTITY, shift_matrix(3.0, -2.0), shift_matrix(-1.5, 0.25)])
    # A shift by 3 px loses 3 rows at the bottom, one by -1.5 px loses 2 whole rows at the top; likewise for columns.
    assert largest_common_rectangle(maps, (40, 60)) == Rectangle(2, 37, 2, 59)


def test_a_rotation_by_90_degrees_keeps_the_square_in_the_middle() -> None:
    maps = np.stack([IDENTITY, rotation_matrix(90.0, (41, 81))])
    assert largest_common_rectangle(maps, (41, 81)) == Rectangle(0, 41, 20, 61)


def test_no_common_pixel_is_an_error_with_a_remedy() -> None:
    with pytest.raises(RegistrationError, match="name the bad slices"):
        largest_common_rectangle(np.stack([IDENTITY, shift_matrix(0.0, 100.0)]), (50, 70))


def test_a_chain_composes_pairs_in_both_directions() -> None:
    rng = np.random.default_rng(3)
    truth = jitter(rng, 9, (64, 80), 0.5)
    truth[4] = IDENTITY
    pairs = np.stack([compose(truth[z + 1], invert(truth[z])) for z in range(8)])
    np.testing.assert_allclose(compose_chain(pairs, 4), truth, atol=1e-9)


def test_a_chain_without_pairs_is_the_identity() -> None:
    np.testing.assert_array_equal(compose_chain(np.empty((0, 2, 3)), 0), IDENTITY[None])


def test_a_reference_outside_the_stack_is_refused() -> None:
    with pytest.raises(ParameterError, match="0 to 3"):
        compose_chain(np.stack([IDENTITY] * 3), 4)
