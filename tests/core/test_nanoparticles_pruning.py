"""Patches are left out only if no voxel in them can be above the threshold."""

import numpy as np
import pytest
from nanoparticle_scenes import SPACING_NM
from scipy import ndimage

from spherovem_core.gaussian_filtering import filter_repeating_border
from spherovem_core.nanoparticles.delineation import smoothing_radii, threshold_evidence
from spherovem_core.nanoparticles.pruning import SIDE, possible_patches, sum_patches
from spherovem_core.parameters import NanoparticleParameters


@pytest.mark.parametrize("sigma_nm", [0.0, 12.0, 25.0, 40.0])
@pytest.mark.parametrize("shape", [(1, 100, 90), (7, 130, 70), (12, 17, 150), (4, 1, 60)])
def test_every_patch_above_the_threshold_is_possible(sigma_nm: float, shape: tuple[int, int, int]) -> None:
    parameters = NanoparticleParameters(smoothing_nm=sigma_nm, posterior_threshold=0.6)
    threshold = threshold_evidence(parameters)
    sigma = [sigma_nm / step for step in SPACING_NM]
    evidence = np.linspace(-5, 5, 256).astype(np.float32)
    found_any = False
    for seed in range(12):
        # Specks and blobs of all strengths: some just exceed the threshold, others just miss it.
        random = np.random.default_rng(seed)
        grain = ndimage.gaussian_filter(random.random(shape), random.uniform(0, 1.5, 3))
        grain = np.maximum(grain - np.quantile(grain, random.uniform(0.2, 0.99)), 0) + 1e-6
        image = (255 * np.minimum(random.uniform(0.5, 2) * grain / grain.max(), 1)).astype(np.uint8)
        patches = [sum_patches(plane, evidence, threshold) for plane in image]
        possible = possible_patches(patches, SPACING_NM, parameters)
        smoothed = filter_repeating_border(evidence[image], sigma, smoothing_radii(SPACING_NM, parameters))
        found = np.argwhere((smoothed > threshold).any(axis=0)) // SIDE
        assert possible[found[:, 0], found[:, 1]].all()
        found_any |= len(found) > 0
    assert found_any


def test_patches_of_specks_are_left_out_and_patches_of_blobs_are_kept() -> None:
    parameters = NanoparticleParameters(smoothing_nm=25.0)
    evidence = np.linspace(-5, 5, 256).astype(np.float32)
    image = np.zeros((9, 160, 160), np.uint8)
    image[4, 72, 40] = 255
    image[3:6, 100:110, 100:110] = 255
    patches = [sum_patches(plane, evidence, 0.0) for plane in image]
    possible = possible_patches(patches, SPACING_NM, parameters)
    # The blob lies in the seventh patch along both axes; the patches next to it may be possible too.
    assert possible[6, 6]
    assert not possible[:5].any()
    assert not possible[:, :5].any()


def test_patches_hold_the_sum_and_the_threshold_flag_of_their_voxels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 50)).astype(np.uint8)
    evidence = np.linspace(-5, 5, 256).astype(np.float32)
    patches = sum_patches(image, evidence, 4.9)
    assert patches.hot.shape == (3, 4)
    corner = evidence[image[32:, 48:]]
    assert patches.excess[2, 3] == pytest.approx((corner + 5).sum(), rel=1e-5)
    assert patches.hot[0, 1] == (evidence[image[:16, 16:32]] > 4.9).any()
