"""Measures of single objects against closed forms: signal, contrast, blur, response."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from nanoparticle_scenes import COARSE_NM, Kind, ball_cover, make_scene
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.nanoparticles import find_particles, local_contrast
from spherovem_core.nanoparticles.ball_response import ball_response, render_ball
from spherovem_core.nanoparticles.bodies import body_surroundings, find_bodies
from spherovem_core.nanoparticles.crop_intensities import crop_intensities
from spherovem_core.nanoparticles.local_contrast import (
    contrast_filters,
    intensity_unit,
    measure_contrast,
    smooth_slice,
    to_intensity,
)
from spherovem_core.nanoparticles.piece_measures import PieceMeasures, measure_pieces
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

CONTRAST = 100.0


def ball(
    diameter_nm: float, spacing_nm: SpacingNm, blur_px: float, offset: float = 0.3
) -> NDArray[np.float32]:
    """Draw a ball of contrast 100 on 50, somewhere within the middle voxel."""
    shape = tuple(2 * int(np.ceil((diameter_nm / 2 + 300) / step)) + 1 for step in spacing_nm)
    image = np.zeros(shape)
    centre = (np.array(shape) // 2 + np.array([0.2, offset, -offset])) * spacing_nm
    box, cover = ball_cover(shape, centre, diameter_nm, spacing_nm)
    image[box] = CONTRAST * cover
    return np.asarray(50 + ndimage.gaussian_filter(image, (0, blur_px, blur_px)), np.float32)


def measured(image: NDArray[np.float32], spacing_nm: SpacingNm) -> PieceMeasures:
    smooth = ndimage.gaussian_filter(image, (0, 0.6, 0.6))
    inside = np.zeros((3, 2), bool)
    body = find_bodies(smooth, smooth > 70, inside, 10.0, body_surroundings(spacing_nm), smooth)[0]
    return measure_pieces(image, smooth, body, [body.voxels], (0, 0, 0), image.shape, spacing_nm)[0]


@pytest.mark.parametrize("blur_px", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("spacing", [COARSE_NM, (50.0, 20.0, 20.0), (20.0, 20.0, 20.0)])
def test_signal_over_contrast_is_the_volume_whatever_blur_and_slices(
    spacing: SpacingNm, blur_px: float
) -> None:
    diameter = 8 * spacing[1]
    entry = measured(ball(diameter, spacing, blur_px), spacing)
    assert entry.surroundings == pytest.approx(50, abs=2)
    # Blur carries a part of the signal beyond the rim of the body: 8 % at one pixel.
    assert entry.signal / CONTRAST == pytest.approx(np.pi / 6 * diameter**3, rel=0.05 if blur_px < 1 else 0.1)
    assert not entry.cut
    assert entry.isolated


def test_level_centre_and_shape_are_those_of_the_ball() -> None:
    spacing = (20.0, 20.0, 20.0)
    image = ball(240.0, spacing, 0.5)
    entry = measured(image, spacing)
    assert entry.level - entry.surroundings == pytest.approx(CONTRAST, rel=0.03)
    middle = np.array(image.shape) // 2
    np.testing.assert_allclose(entry.centroid, middle + np.array([0.2, 0.3, -0.3]), atol=0.1)
    # Largest cross-section, one voxel more or less all around.
    assert entry.section_nm == pytest.approx(240.0, abs=20.0)
    assert entry.lateral == pytest.approx(1.0, abs=0.05)
    assert entry.axial == pytest.approx(1.0, abs=0.15)
    assert entry.fill == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("stretch", "column", "value"), [((1, 1, 2), "lateral", 2.0), ((2, 1, 1), "axial", 2.0)]
)
def test_axes_of_an_ellipsoid_are_measured(stretch: tuple[int, ...], column: str, value: float) -> None:
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in (41, 41, 61)), indexing="ij")
    away = np.sqrt((z / stretch[0]) ** 2 + (y / stretch[1]) ** 2 + (x / stretch[2]) ** 2)
    image = (50 + CONTRAST * np.clip(7.5 - away, 0, 1)).astype(np.float32)
    entry = measured(image, (20.0, 20.0, 20.0))
    assert getattr(entry, column) == pytest.approx(value, rel=0.08)


def test_thin_part_of_a_bright_body_is_measured() -> None:
    # Below a quarter of the contrast of its body, which once left no weight for the centre.
    image = np.full((5, 30, 40), 50, np.float32)
    image[:, :, :16] = 250
    image[2, 14:16, 20:38] = 80
    around = body_surroundings(COARSE_NM)
    body = find_bodies(image, image > 240, np.zeros((3, 2), bool), 10.0, around, image)[0]
    thin = np.argwhere(image == 80).astype(np.int32)
    body = replace(body, voxels=thin)
    entry = measure_pieces(image, image, body, [thin], (0, 0, 0), image.shape, COARSE_NM)[0]
    np.testing.assert_allclose(entry.centroid, (2, 14.5, 28.5))


def _contrast(image: NDArray[np.uint8], parameters: NanoparticleParameters) -> NDArray[np.float64]:
    filters = contrast_filters(COARSE_NM, parameters)
    return np.max(measure_contrast(to_intensity(image, "bright"), filters), axis=0) / 128


def test_local_contrast_of_a_disc_wider_than_any_particle_is_0() -> None:
    y, x = np.ogrid[:200, :200]
    away = np.hypot(y - 100, x - 100)
    parameters = NanoparticleParameters(max_diameter_nm=600.0)
    # 600 nm are 15 pixels: a disc of 60 is its own surroundings, one of 8 has its full contrast in the middle.
    for diameter, expected in ((60, 0.0), (8, 90.0)):
        image = np.where(away < diameter / 2, 210, 120).astype(np.uint8)
        inside = _contrast(image, parameters)[away < 1.5]
        np.testing.assert_allclose(inside, expected, atol=2.0)


def test_local_contrast_does_not_depend_on_the_parts_in_which_it_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 131), np.uint8)
    filters = contrast_filters(COARSE_NM, NanoparticleParameters())
    whole = measure_contrast(to_intensity(image, "bright"), filters)
    assert len(whole) > 1
    monkeypatch.setattr(local_contrast, "_PART", 32)
    np.testing.assert_array_equal(measure_contrast(to_intensity(image, "bright"), filters), whole)


@pytest.mark.parametrize("polarity", ["bright", "dark"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_crops_have_the_intensities_of_slices(kind: type, polarity: Literal["bright", "dark"]) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, np.iinfo(kind).max, (70, 15, 12), kind, endpoint=True)
    maps = np.stack([random.uniform(0.8, 1.2, 70), random.uniform(-20, 20, 70)], axis=1)
    filters = contrast_filters(COARSE_NM, NanoparticleParameters())
    intensity, smooth = crop_intensities(images, maps, polarity, filters)
    unit = intensity_unit(images.dtype)
    for image, entry, sharp, soft in zip(images, maps, intensity, smooth, strict=True):
        plane = to_intensity(image, polarity, *entry)
        np.testing.assert_array_equal(sharp, plane.astype(np.float32) / unit)
        np.testing.assert_array_equal(soft, smooth_slice(plane, filters).astype(np.float32) / unit)


def test_local_contrast_of_a_flat_slice_is_0() -> None:
    assert not _contrast(np.full((90, 70), 140, np.uint8), NanoparticleParameters()).any()


def test_gap_between_dark_membranes_is_no_island() -> None:
    image = np.full((160, 160), 150, np.uint8)
    image[70:72], image[78:80] = 60, 60
    assert _contrast(image, NanoparticleParameters()).max() < 3.0


@pytest.mark.parametrize("blur_px", [0.6, 0.8, 1.0])
def test_blur_is_measured_within_10_percent(blur_px: float) -> None:
    scene = make_scene((20, 176, 176), (Kind(25, 360.0),), COARSE_NM, noise=3.0, blur_px=blur_px)
    found = find_particles(scene.image, COARSE_NM).mixture
    assert found.blur_nm == pytest.approx(40 * blur_px, rel=0.1)
    assert found.blur_objects > 10


def test_rendered_ball_holds_its_volume_and_contrast() -> None:
    for depth in (0.0, 120.0):
        acquired, smoothed = render_ball(
            320.0, np.array([0.1, 0.2, -0.3]), COARSE_NM, depth, 30.0, (24.0, 24.0)
        )
        if depth:
            volume = np.pi / 6 * 320.0**3 / np.prod(COARSE_NM)
            np.testing.assert_allclose([acquired.sum(), smoothed.sum()], 100 * volume, rtol=0.01)
        assert acquired.max() == pytest.approx(100, rel=0.02)


def test_response_rises_with_the_diameter_to_the_whole_contrast() -> None:
    found = ball_response(COARSE_NM, 120.0, 24.0, (24.0, 24.0), 600.0)
    assert (np.diff(found.contrast) >= 0).all()
    small, large = found.contrast_of(np.array([80.0, 600.0]))
    assert small < 0.5
    assert large == pytest.approx(1.0, abs=0.02)
    # In thin slices, where only blur lowers the contrast, more is left of a small ball.
    thin = ball_response((40.0, 40.0, 40.0), 40.0, 24.0, (24.0, 24.0), 600.0)
    assert thin.contrast_of(np.array([120.0]))[0] > found.contrast_of(np.array([120.0]))[0] + 0.1
