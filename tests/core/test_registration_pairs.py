"""Pairs of slices: known motions, motion models, changes of appearance, verdicts."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import ndimage

from spherovem_core.errors import ShapeMismatchError
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import register_pair
from spherovem_core.registration.affine import (
    IDENTITY,
    compose,
    invert,
    rms_displacement,
    rotation_matrix,
    shift_matrix,
    slice_centre,
)
from spherovem_core.registration.pairs import PairResult, prepare_slices, register_prepared
from spherovem_core.synthetic.slice_pairs import Appearance, TextureScene, texture_pair

SHAPE = (320, 384)
CLEAR = Appearance(change=0.0, noise=8.0)
# With noise of 8 grey values and a contrast of 45 the error is 0.02 to 0.04 px at this size (benchmarks/registration.py).
TOLERANCE_PX = 0.1


@pytest.fixture(scope="module")
def scene() -> TextureScene:
    return TextureScene((512, 576), seed=3)


def motion(
    shift: tuple[float, float],
    degrees: float = 0.0,
    stretch: Sequence[float] = (0.0, 0.0),
    shear: float = 0.0,
) -> NDArray[np.float64]:
    linear = np.diag(1.0 + np.asarray(stretch)) + np.array([[0.0, shear], [0.0, 0.0]])
    centre = slice_centre(SHAPE)
    about_centre = np.concatenate([linear, (centre - linear @ centre)[:, None]], axis=1)
    return compose(shift_matrix(*shift), compose(rotation_matrix(degrees, SHAPE), about_centre))


def error_px(result: PairResult, truth: NDArray[np.float64], shape: Sequence[int] = SHAPE) -> float:
    return float(rms_displacement(result.matrix - truth, shape))


@pytest.mark.parametrize(
    "truth",
    [
        motion((0.0, 0.0)),
        motion((0.4, -0.3)),
        motion((-17.3, 21.6)),
        motion((5.5, -3.25), degrees=1.0, stretch=(0.01, -0.008), shear=0.006),
        motion((-41.2, 52.7), degrees=-0.8, stretch=(-0.01, 0.01)),
    ],
    ids=["still", "subpixel", "shift", "affine", "far"],
)
def test_affine_motion_is_recovered_on_a_rectangular_slice(
    scene: TextureScene, truth: NDArray[np.float64]
) -> None:
    fixed, moving = texture_pair(scene, truth, SHAPE, CLEAR, seed=1)
    result = register_pair(fixed, moving)
    assert error_px(result, truth) < TOLERANCE_PX
    assert result.trusted
    assert result.reason == ""


@pytest.mark.parametrize("shift", [(0.0, 190.4), (-158.7, 0.0), (110.3, -135.6)])
def test_a_shift_of_half_the_slice_is_found(scene: TextureScene, shift: tuple[float, float]) -> None:
    fixed, moving = texture_pair(scene, motion(shift), SHAPE, CLEAR, seed=2)
    result = register_pair(fixed, moving)
    # A third of the area is left to fit six elements, and the error covers the whole slice.
    assert error_px(result, motion(shift)) < 3 * TOLERANCE_PX
    assert result.trusted
    assert result.overlap < 0.52


def test_a_rotation_of_five_degrees_is_found_by_the_rotation_search(scene: TextureScene) -> None:
    truth = motion((12.0, -9.0), degrees=5.0)
    fixed, moving = texture_pair(scene, truth, SHAPE, CLEAR, seed=3)
    assert error_px(register_pair(fixed, moving), truth) < TOLERANCE_PX


@pytest.mark.parametrize(
    ("model", "truth"),
    [
        ("translation", motion((7.3, -4.6))),
        ("rigid", motion((7.3, -4.6), degrees=0.9)),
        ("similarity", motion((7.3, -4.6), degrees=0.9, stretch=(0.01, 0.01))),
    ],
)
def test_each_model_recovers_its_own_motion_and_stays_within_it(
    scene: TextureScene, model: str, truth: NDArray[np.float64]
) -> None:
    fixed, moving = texture_pair(scene, truth, SHAPE, CLEAR, seed=4)
    result = register_pair(fixed, moving, RegistrationParameters(model=model))  # type: ignore[arg-type]
    linear = result.matrix[:, :2]
    gram = linear.T @ linear
    assert error_px(result, truth) < TOLERANCE_PX
    if model == "translation":
        np.testing.assert_array_equal(linear, np.eye(2))
    elif model == "rigid":
        np.testing.assert_allclose(gram, np.eye(2), atol=1e-9)
    else:
        np.testing.assert_allclose(gram, np.eye(2) * gram[0, 0], atol=1e-6)


@pytest.mark.parametrize(
    "appearance",
    [
        replace(CLEAR, gain=0.5, offset=40.0),
        replace(CLEAR, shading=80.0),
        replace(CLEAR, noise=30.0),
    ],
    ids=["contrast", "shading", "noise"],
)
def test_contrast_shading_and_noise_do_not_change_the_motion(
    scene: TextureScene, appearance: Appearance
) -> None:
    truth = motion((6.4, -11.8), degrees=0.5)
    fixed, moving = texture_pair(scene, truth, SHAPE, appearance, seed=5)
    result = register_pair(fixed, moving)
    # Noise of 30 is two thirds of the contrast, and four times the noise of the other cases.
    assert error_px(result, truth) < (TOLERANCE_PX if appearance.noise < 10 else 3 * TOLERANCE_PX)


def test_inverted_contrast_is_not_trusted(scene: TextureScene) -> None:
    inverted = replace(CLEAR, gain=-1.0)
    fixed, moving = texture_pair(scene, motion((6.4, -11.8), degrees=0.5), SHAPE, inverted, seed=5)
    assert not register_pair(fixed, moving).trusted


def charged(moving: NDArray[np.uint8]) -> None:
    moving[40:130, 60:190] = 255


def folded(moving: NDArray[np.uint8]) -> None:
    moving[:, 300:306] = 20


def with_particles(moving: NDArray[np.uint8]) -> None:
    for y, x in np.random.default_rng(0).integers(200, 290, (30, 2)):
        moving[y : y + 8, x : x + 8] = 250


def with_all_damages(moving: NDArray[np.uint8]) -> None:
    charged(moving)
    folded(moving)
    with_particles(moving)


def cut_off(moving: NDArray[np.uint8]) -> None:
    moving[:, -round(0.3 * SHAPE[1]) :] = 0


@pytest.mark.parametrize("damage", [charged, folded, with_particles, with_all_damages, cut_off])
@pytest.mark.parametrize("seed", [6, 40, 41])
def test_content_of_one_slice_alone_does_not_change_the_motion(
    scene: TextureScene, damage: Callable[[NDArray[np.uint8]], None], seed: int
) -> None:
    truth = motion((4.3, 3.9), degrees=-0.4)
    fixed, moving = texture_pair(scene, truth, SHAPE, CLEAR, seed=seed)
    damage(moving)
    result = register_pair(fixed, moving)
    assert error_px(result, truth) < TOLERANCE_PX
    assert result.trusted


def test_motion_is_recovered_on_an_overlap_of_70_percent(scene: TextureScene) -> None:
    truth = motion((-31.4, 88.6), degrees=0.7, stretch=(0.006, -0.004))
    fixed, moving = texture_pair(scene, truth, SHAPE, CLEAR, seed=17)
    result = register_pair(fixed, moving)
    assert error_px(result, truth) < TOLERANCE_PX
    assert 0.65 < result.overlap < 0.71


def test_a_small_expected_strain_leaves_shift_and_rotation_free(scene: TextureScene) -> None:
    truth = motion((6.0, -7.0), degrees=1.5, stretch=(0.02, -0.01))
    fixed, moving = texture_pair(scene, truth, SHAPE, CLEAR, seed=16)
    stiff, loose = (register_pair(fixed, moving, RegistrationParameters(usual_strain=s)) for s in (1e-4, 1.0))
    unstretched = motion((6.0, -7.0), degrees=1.5)
    strain = np.linalg.svd(stiff.matrix[:, :2], compute_uv=False) - 1.0
    assert np.abs(strain).max() < 1e-3
    # The stretch of 2 % that is not fitted moves pixels by 1.5 px; it changes the rest by a small fraction of that.
    assert error_px(stiff, unstretched) < 0.3
    assert error_px(loose, truth) < TOLERANCE_PX


def test_registering_backwards_gives_the_inverse(scene: TextureScene) -> None:
    truth = motion((9.1, -6.2), degrees=0.7, stretch=(0.008, 0.0))
    fixed, moving = texture_pair(scene, truth, SHAPE, CLEAR, seed=7)
    there, back = register_pair(fixed, moving), register_pair(moving, fixed)
    assert float(rms_displacement(compose(back.matrix, there.matrix) - IDENTITY, SHAPE)) < TOLERANCE_PX


def test_scaling_the_grey_values_changes_the_map_by_less_than_0_002_px(scene: TextureScene) -> None:
    fixed, moving = texture_pair(scene, motion((3.2, 1.1)), SHAPE, CLEAR, seed=8)
    plain = register_pair(fixed, moving)
    scaled = register_pair(fixed.astype(np.uint16) * 256, moving.astype(np.float32) / 8.0)
    assert float(rms_displacement(plain.matrix - scaled.matrix, SHAPE)) < 2e-3


def test_a_batch_gives_the_maps_of_single_pairs(scene: TextureScene) -> None:
    parameters = RegistrationParameters()
    motions = [motion((2.0, 5.0)), motion((-8.0, 1.5), degrees=0.6), motion((30.0, -20.0))]
    pairs = [texture_pair(scene, m, SHAPE, CLEAR, seed=20 + k) for k, m in enumerate(motions)]
    fixed, moving = (np.stack([pair[i] for pair in pairs]) for i in range(2))
    batch = register_prepared(
        prepare_slices(fixed, parameters, "cpu"), prepare_slices(moving, parameters, "cpu"), parameters
    )
    for k, result in enumerate(batch):
        single = register_pair(fixed[k], moving[k], parameters)
        assert float(rms_displacement(result.matrix - single.matrix, SHAPE)) < 1e-3
        assert result.trusted


def test_binning_a_large_slice_keeps_full_resolution_coordinates(scene: TextureScene) -> None:
    truth = motion((8.6, -5.4), degrees=0.3)
    fixed, moving = texture_pair(scene, truth, SHAPE, CLEAR, seed=9)
    result = register_pair(fixed, moving, RegistrationParameters(working_pixels=32_000))
    assert error_px(result, truth) < TOLERANCE_PX


def test_the_uncertainty_is_within_a_factor_of_two_of_the_error(scene: TextureScene) -> None:
    truth = motion((2.7, 3.3))
    noisy = Appearance(change=0.0, noise=25.0)
    results = [register_pair(*texture_pair(scene, truth, SHAPE, noisy, seed=30 + k)) for k in range(6)]
    error = np.sqrt(np.mean([error_px(result, truth) ** 2 for result in results]))
    claimed = np.mean([result.uncertainty_px for result in results])
    # Six draws of a six-dimensional error agree with the estimate within a factor of two.
    assert 0.5 < error / claimed < 2.0


def test_similarity_rises_with_the_motion_and_falls_with_noise(scene: TextureScene) -> None:
    truth = motion((9.0, 9.0))
    clear = register_pair(*texture_pair(scene, truth, SHAPE, CLEAR, seed=10))
    noisy = register_pair(*texture_pair(scene, truth, SHAPE, replace(CLEAR, noise=40.0), seed=10))
    assert clear.similarity > 0.9 > noisy.similarity > 0.2
    assert clear.initial_similarity < 0.5


@pytest.mark.parametrize("kind", ["blank", "saturated", "noise", "other"])
def test_slices_that_do_not_match_are_not_trusted(scene: TextureScene, kind: str) -> None:
    fixed = scene.sample(IDENTITY, SHAPE, CLEAR, seed=11)
    rng = np.random.default_rng(1)
    moving = {
        "blank": np.zeros(SHAPE, np.uint8),
        "saturated": np.full(SHAPE, 255, np.uint8),
        "noise": rng.integers(0, 256, SHAPE).astype(np.uint8),
        "other": TextureScene((512, 576), seed=4).sample(IDENTITY, SHAPE, CLEAR, seed=12),
    }[kind]
    result = register_pair(fixed, moving)
    assert not result.trusted
    assert result.reason
    assert np.isfinite(result.matrix).all()


def test_a_record_survives_json_bit_by_bit(scene: TextureScene) -> None:
    result = register_pair(*texture_pair(scene, motion((1.2, 3.4)), SHAPE, CLEAR, seed=13))
    again = PairResult.from_record(json.loads(json.dumps(result.to_record())))
    np.testing.assert_array_equal(again.matrix, result.matrix)
    np.testing.assert_array_equal(again.covariance, result.covariance)
    assert again.to_record() == result.to_record()


def test_inverse_and_composition_of_maps_are_exact() -> None:
    a, b = motion((3.0, -2.0), 20.0), motion((-5.0, 1.0), -7.0, (0.1, 0.2))
    point = np.array([17.0, 42.0, 1.0])
    expected = a @ np.append(b @ point, 1.0)
    np.testing.assert_allclose(compose(a, b) @ point, expected)
    np.testing.assert_allclose(compose(a, invert(a)), IDENTITY, atol=1e-12)


def test_rms_displacement_equals_the_sum_over_pixels() -> None:
    difference = np.random.default_rng(2).normal(size=(2, 3))
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    moved = np.einsum("ij,jyx->iyx", difference, np.stack([y, x, np.ones_like(y)]))
    assert float(rms_displacement(difference, SHAPE)) == pytest.approx(np.sqrt((moved**2).sum(0).mean()))


def test_slices_of_two_shapes_are_refused() -> None:
    with pytest.raises(ShapeMismatchError, match="crop or pad"):
        register_pair(np.zeros((64, 64)), np.zeros((64, 65)))


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ValidationError, match="translation"):
        RegistrationParameters(model="elastic")  # type: ignore[arg-type]


def spots(rng: np.random.Generator, noise: float, at: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
    """Draw a slice of few round spots, which match those of another slice somewhere."""
    image = np.zeros((340, 340))
    image[tuple(rng.integers(0, 340, (2, 30)) if at is None else at)] = 1
    image = ndimage.gaussian_filter(image, 8.0)
    image = 120 + 60 * image / image.max() + rng.normal(0, noise, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def test_slices_that_match_by_chance_are_not_trusted() -> None:
    rng = np.random.default_rng(0)
    found = [register_pair(spots(rng, 3.0), spots(rng, 3.0)) for _ in range(12)]
    assert sum("what chance gives" in one.reason for one in found) >= 4
    assert sum(one.trusted for one in found) <= 2


def test_a_weak_match_that_stands_out_is_trusted() -> None:
    rng = np.random.default_rng(1)
    at = rng.integers(20, 320, (2, 30))
    found = register_pair(spots(rng, 22.0, at), spots(rng, 22.0, at + np.array([[3], [-4]])))
    assert found.similarity < 0.3
    assert found.trusted
