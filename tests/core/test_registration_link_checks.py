"""Checks of links against each other, on chains of shifts with known errors."""

import numpy as np
import pytest

from spherovem_core.registration.affine import compose, invert, rms_displacement, shift_matrix
from spherovem_core.registration.link_checks import position_uncertainties, reject_wrong_links
from spherovem_core.registration.links import Links

SHAPE = (200, 260)
COUNT = 20


def make_links(seed: int, spreads: tuple[float, ...] = (0.3, 0.5, 0.8)) -> tuple[Links, np.ndarray]:
    """Links over 1, 2 and 3 slices whose shifts have errors of the stated spread."""
    rng = np.random.default_rng(seed)
    truth = np.stack([shift_matrix(*rng.normal(0.0, 4.0, 2)) for _ in range(COUNT)])
    pairs = np.array([(a, a + d) for d in range(1, len(spreads) + 1) for a in range(COUNT - d)])
    spread = np.array([spreads[b - a - 1] for a, b in pairs])
    matrices = np.stack([compose(truth[b], invert(truth[a])) for a, b in pairs])
    matrices[:, :, 2] += rng.normal(0.0, 1.0, (len(pairs), 2)) * spread[:, None] / np.sqrt(2.0)
    return Links(pairs[:, 0], pairs[:, 1], matrices, spread), truth


@pytest.mark.parametrize("seed", range(4))
def test_links_with_errors_of_their_spread_are_kept(seed: int) -> None:
    links, _ = make_links(seed)
    _, weights, contradiction = reject_wrong_links(links, COUNT, 10, SHAPE)
    assert not contradiction.any()
    assert weights.min() > 0.2


@pytest.mark.parametrize("wrong", [4, 11])
def test_a_precise_link_that_is_wrong_by_2_px_is_left_out(wrong: int) -> None:
    links, truth = make_links(1, (0.2, 0.3, 0.4))
    links.matrices[wrong, :, 2] += (1.6, -1.2)
    solved, weights, contradiction = reject_wrong_links(links, COUNT, 10, SHAPE)
    assert list(np.flatnonzero(contradiction)) == [wrong]
    assert contradiction[wrong] == pytest.approx(2.0, abs=0.6)
    assert weights[wrong] == 0.0
    error = solved - compose(truth, invert(truth[10]))
    assert rms_displacement(error - error.mean(0), SHAPE).max() < 0.6


def test_a_single_chain_cannot_contradict_itself() -> None:
    links, _ = make_links(2, (0.3,))
    links.matrices[7, :, 2] += 30.0
    _, weights, contradiction = reject_wrong_links(links, COUNT, 10, SHAPE)
    assert not contradiction.any()
    assert weights.min() > 0.99


def test_the_uncertainty_of_a_place_is_that_of_repeated_draws() -> None:
    spreads = (0.3, 0.5, 0.8)
    bends = []
    for seed in range(60):
        links, truth = make_links(seed, spreads)
        solved, weights, _ = reject_wrong_links(links, COUNT, 10, SHAPE)
        error = (solved - compose(truth, invert(truth[10])))[:, :, 2]
        bends.append(((error[1:-1] - 0.5 * (error[:-2] + error[2:])) ** 2).sum(-1))
    stated = position_uncertainties(links, weights, COUNT)
    np.testing.assert_allclose(stated[3:-3], np.sqrt(np.mean(bends, 0))[2:-2], rtol=0.3)


def test_a_slice_without_links_has_no_certain_place() -> None:
    links, _ = make_links(3, (0.3, 0.5))
    apart = (links.fixed != 6) & (links.moving != 6)
    kept = Links(links.fixed[apart], links.moving[apart], links.matrices[apart], links.spread_px[apart])
    stated = position_uncertainties(kept, np.ones(apart.sum()), COUNT)
    assert list(np.flatnonzero(~np.isfinite(stated))) == [5, 6, 7]


def test_parts_that_no_link_joins_keep_their_shape_and_stay_where_they_were() -> None:
    links, truth = make_links(3)
    crossing = (links.fixed < 12) & (links.moving >= 12)
    apart = Links(*(values[~crossing] for values in vars(links).values()))
    solved, weights, contradiction = reject_wrong_links(apart, COUNT, 5, SHAPE)
    assert weights.shape == apart.fixed.shape
    assert not contradiction.any()
    error = solved - compose(truth, invert(truth[5]))
    for part in (slice(0, 12), slice(12, COUNT)):
        # Without the joining link, this part shrank to a point, and its maps reached 10 000 px.
        assert rms_displacement(error[part] - error[part].mean(0), SHAPE).max() < 1.5
    np.testing.assert_allclose(solved[12], solved[11], atol=1e-6)
