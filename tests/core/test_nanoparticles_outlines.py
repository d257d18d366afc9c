"""Mask and labels from the posterior: smoothing, outlines, closing, minimum volume, cores, splitting."""

from collections.abc import Sequence

import numpy as np
import pytest
from nanoparticle_scenes import SPACING_NM
from numpy.typing import NDArray
from scipy import ndimage, stats

from spherovem_core.nanoparticles import (
    label_particles,
)
from spherovem_core.nanoparticles.ball_morphology import ball_offsets, close, dilate
from spherovem_core.nanoparticles.evidence_boxes import threshold_boxes
from spherovem_core.nanoparticles.intensity_tables import evidence_table
from spherovem_core.nanoparticles.splitting import split_component
from spherovem_core.parameters import NanoparticleParameters

PARAMETERS = NanoparticleParameters()


def _ball(radius_nm: float, shape: tuple[int, int, int], centre: Sequence[float]) -> NDArray[np.bool_]:
    axes = [np.arange(n) * d - c for n, d, c in zip(shape, SPACING_NM, centre, strict=True)]
    return np.asarray(sum(a**2 for a in np.meshgrid(*axes, indexing="ij")) <= radius_nm**2)


def test_balls_are_round_in_nm() -> None:
    offsets = ball_offsets(100.0, SPACING_NM)
    lengths = np.sqrt(((offsets * np.array(SPACING_NM)) ** 2).sum(axis=1))
    assert lengths.max() <= 100
    assert len(offsets) == _ball(100.0, (5, 21, 21), (100.0, 100.0, 100.0)).sum()
    np.testing.assert_array_equal(np.abs(offsets).max(axis=0), [2, 10, 10])


def test_dilation_and_closing_equal_those_of_scipy() -> None:
    random = np.random.default_rng(0)
    mask = ndimage.gaussian_filter(random.standard_normal((9, 40, 40)), (0.5, 2, 2)) > 0.25
    footprint = _ball(60.0, (3, 13, 13), (50.0, 60.0, 60.0))
    grown = ndimage.binary_dilation(mask, footprint)
    np.testing.assert_array_equal(dilate(mask, 60.0, SPACING_NM), grown)
    shrunk = ndimage.binary_erosion(grown, footprint, border_value=1)
    np.testing.assert_array_equal(close(mask, 60.0, SPACING_NM), shrunk)


def test_closing_fills_a_gap_and_smoothing_drops_a_speck() -> None:
    chance = np.zeros((5, 60, 60))
    chance[1:4, 20:40, 20:29] = chance[1:4, 20:40, 32:40] = 1.0
    chance[2, 5, 5] = 1.0
    plain = NanoparticleParameters(smoothing_nm=0.0, min_volume_nm3=0.0)
    assert label_particles(chance, SPACING_NM, plain).max() == 3
    closing = NanoparticleParameters(smoothing_nm=0.0, min_volume_nm3=0.0, closing_nm=30.0)
    assert label_particles(chance, SPACING_NM, closing).max() == 2
    smoothing = NanoparticleParameters(smoothing_nm=15.0, min_volume_nm3=0.0)
    labels = label_particles(chance, SPACING_NM, smoothing)
    assert labels[2, 5, 5] == 0
    assert labels.max() == 2


def test_coarser_evidence_is_the_mean_of_boxes_in_nm() -> None:
    random = np.random.default_rng(0)
    chance = 1 / (1 + np.exp(-random.normal(0, 1.5, (5, 33, 26))))
    parameters = NanoparticleParameters(
        smoothing_nm=0.0,
        min_volume_nm3=0.0,
        evidence_spacing_nm=95.0,
        posterior_threshold=0.55,
        core_posterior=0.0,
    )
    # 95 nm are closest to two slices of 50 nm and ten voxels of 10 nm (9.5 rounds to even).
    evidence = evidence_table(chance).astype(np.float64)
    expected = np.zeros(chance.shape, bool)
    for z in range(0, 5, 2):
        for y in range(0, 33, 10):
            for x in range(0, 26, 10):
                box = (slice(z, z + 2), slice(y, y + 10), slice(x, x + 10))
                expected[box] = evidence[box].mean() > np.log(0.55 / 0.45)
    np.testing.assert_array_equal(label_particles(chance, SPACING_NM, parameters) > 0, expected)
    assert 0 < expected.mean() < 1


def test_noise_of_box_means_falls_with_the_square_root_of_their_voxels() -> None:
    evidence = np.random.default_rng(0).normal(0.3, 1.0, (40, 120, 120)).astype(np.float32)
    for box in ((1, 2, 2), (2, 3, 4)):
        marked = threshold_boxes(evidence, box, 0.0)[:: box[0], :: box[1], :: box[2]]
        # The mean of n independent normal values is above 0 with the probability cdf(0.3 sqrt(n)); 2e4 boxes or more.
        assert marked.mean() == pytest.approx(stats.norm.cdf(0.3 * np.prod(box) ** 0.5), abs=0.01)


def test_minimum_volume_is_in_nm3_and_threshold_applies_to_the_posterior() -> None:
    chance = np.zeros((3, 20, 20))
    chance[1, 2:4, 2:4] = 0.9
    chance[1, 10:15, 10:15] = 0.6
    # 4 and 25 voxels of 5000 nm3.
    for smallest, threshold, expected in ((20_000, 0.5, 2), (20_001, 0.5, 1), (0, 0.8, 1), (0, 0.3, 2)):
        parameters = NanoparticleParameters(
            smoothing_nm=0.0, min_volume_nm3=smallest, posterior_threshold=threshold, core_posterior=0.0
        )
        assert label_particles(chance, SPACING_NM, parameters).max() == expected


def test_particle_without_a_core_is_dropped() -> None:
    chance, contrasts = np.zeros((3, 20, 30)), np.zeros((3, 20, 30), np.float32)
    # 25 voxels each: posterior 1 everywhere, posterior 0.999 in one voxel, 0.98 at most, and 0.98 at most with a bright voxel.
    for x, (level, peak) in zip(
        (1, 8, 15, 22), ((1.0, 1.0), (0.9, 0.999), (0.98, 0.98), (0.98, 0.98)), strict=True
    ):
        chance[1, 5:10, x : x + 5], chance[1, 7, x + 2] = level, peak
    contrasts[1, 7, 24] = 1.0
    contrasts[1, 7, 17] = 0.99
    plain = NanoparticleParameters(smoothing_nm=0.0, edge_reach_nm=0.0, min_volume_nm3=0.0)
    for core, expected in ((0.995, [1, 2, 0, 3]), (0.97, [1, 2, 3, 4]), (0.9995, [1, 0, 0, 2])):
        parameters = plain.model_copy(update={"core_posterior": core})
        labels = label_particles(chance, SPACING_NM, parameters, contrasts)
        assert [labels[1, 6, x] for x in (1, 8, 15, 22)] == expected
    assert label_particles(chance, SPACING_NM, plain).max() == 2


def test_outline_lies_at_the_edge_fraction_of_the_contrast() -> None:
    # The contrast falls from 1 at x = 20 to 0 at x = 40; the thresholded mask ends at x = 23.
    ramp = np.clip((40 - np.arange(60)) / 20, 0, 1)
    contrasts = np.broadcast_to(ramp, (3, 60, 60)).astype(np.float32)
    chance = (contrasts > 0.87).astype(np.float64)
    for fraction, last in ((0.5, 29), (0.25, 34), (0.75, 24)):
        parameters = NanoparticleParameters(smoothing_nm=0.0, edge_reach_nm=150.0, edge_fraction=fraction)
        labels = label_particles(chance, SPACING_NM, parameters, contrasts)
        # The contrast equals the fraction at x = 40 - 20 * fraction; the voxel there stays outside.
        assert np.flatnonzero(labels[1, 30]).max() == last
    short = NanoparticleParameters(smoothing_nm=0.0, edge_reach_nm=30.0, edge_fraction=0.25)
    assert np.flatnonzero(label_particles(chance, SPACING_NM, short, contrasts)[1, 30]).max() == 25
    off = NanoparticleParameters(smoothing_nm=0.0, edge_reach_nm=0.0)
    assert np.flatnonzero(label_particles(chance, SPACING_NM, off, contrasts)[1, 30]).max() == 22


def test_edge_is_relative_to_bright_surroundings() -> None:
    # The same ramp, down to tissue at 0.4 instead of 0: half-way is 0.7, also at x = 30.
    ramp = 0.4 + 0.6 * np.clip((40 - np.arange(80)) / 20, 0, 1)
    contrasts = np.broadcast_to(ramp, (1, 80, 80)).astype(np.float32)
    chance = (contrasts > 0.9).astype(np.float64)
    parameters = NanoparticleParameters(
        smoothing_nm=0.0, edge_reach_nm=200.0, surroundings_nm=150.0, edge_fraction=0.5, core_posterior=0.0
    )
    edge = np.flatnonzero(label_particles(chance, SPACING_NM, parameters, contrasts)[0, 40]).max()
    assert abs(edge - 29) <= 2


def test_touching_balls_are_split_at_the_neck() -> None:
    shape = (9, 40, 70)
    left, right = (_ball(150.0, shape, (200.0, 200.0, x)) for x in (200.0, 470.0))
    pieces = split_component(left | right, SPACING_NM, PARAMETERS)
    assert pieces.max() == 2
    # The neck is at x = 335 nm.
    for ball, side in ((left, slice(0, 33)), (right, slice(35, 70))):
        assert len(np.unique(pieces[:, :, side][(ball & (pieces > 0))[:, :, side]])) == 1
    deep = PARAMETERS.model_copy(update={"split_depth_nm": 120.0})
    assert split_component(left | right, SPACING_NM, deep).max() == 1


def test_evidence_is_log_odds_limited_to_5() -> None:
    np.testing.assert_allclose(
        evidence_table(np.array([0.0, 0.5, 0.75, 1.0])), [-5, 0, np.log(3), 5], atol=1e-3
    )
