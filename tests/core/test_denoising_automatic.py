"""The automatic denoiser: what it measures and chooses for each kind of noise, extreme grey values, determinism."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from denoising_scenes import random_checkpoint
from noisy_scenes import Image, as_uint8, correlated, independent, photons, textured_tissue
from scipy import ndimage

from spherovem_core.denoising import (
    AutomaticDenoiser,
    Denoised,
    MeasuredNoise,
    SliceDenoiser,
    choose_method,
    denoise_volume,
    load_model,
    measure_noise,
)
from spherovem_core.denoising.recorruption import STRENGTH, Recorruption, recorrupt
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoisingParameters

CPU = Execution(device="cpu")
SHAPE = (8, 128, 136)
TRUTH = textured_tissue(SHAPE)
BRIEF = DenoisingParameters(
    patch_size=32,
    patches_per_slice=48,
    batch_size=8,
    epochs=6,
    network_depth=2,
    network_channels=16,
    learning_rate=4e-3,
)
UNTRAINED = DenoisingParameters(
    patch_size=16, patches_per_slice=1, batch_size=4, epochs=1, network_depth=1, network_channels=8
)
KINDS: dict[str, Callable[[Image], Image]] = {
    "independent": lambda truth: independent(truth, 20.0),
    "along x": lambda truth: correlated(truth, 15.0, (0.0, 1.0)),
    "along y": lambda truth: correlated(truth, 15.0, (1.0, 0.0)),
    "Poisson": lambda truth: photons(truth, 3.0),
}


def error(image: Image, truth: Image = TRUTH) -> float:
    return float(np.mean(np.square(np.asarray(image, float) - truth)))


def grey_values(found: Denoised) -> np.ndarray:
    return found.quality.sample.grey_map.values(found.image)


SLOW = {"independent", "along y"}


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=pytest.mark.slow) if kind in SLOW else kind for kind in KINDS],
)
def denoised(request: pytest.FixtureRequest) -> tuple[str, np.ndarray, Denoised]:
    noisy = as_uint8(KINDS[request.param](TRUTH))
    return request.param, noisy, denoise_volume(noisy, BRIEF, execution=CPU)


def test_noise_of_every_kind_is_removed_as_well_as_by_the_gaussian_that_the_truth_prefers(
    denoised: tuple[str, np.ndarray, Denoised],
) -> None:
    kind, noisy, found = denoised
    sample = found.quality.sample
    assert found.quality.algorithm == sample.choice.method
    assert sample.choice.errors["r2r"] < 0.6 * sample.choice.errors["unchanged"]
    assert {axis for axis, lags in sample.measured.correlation.items() if lags[0] > 0.5} == {
        "independent": set(),
        "along x": {"x"},
        "along y": {"y"},
        "Poisson": set(),
    }[kind]
    filtered = [ndimage.gaussian_filter(noisy.astype(float), (0, s, s)) for s in (0.5, 0.7, 1, 1.3, 1.7)]
    # 0.3 dB; after two seconds of training the network is as good as a filter in tissue that is nearly a Gaussian random field.
    assert error(grey_values(found)) < 1.07 * min(error(each) for each in filtered)


def test_the_estimated_error_is_that_against_the_truth(
    denoised: tuple[str, np.ndarray, Denoised],
) -> None:
    _, noisy, found = denoised
    sample = found.quality.sample
    # The error is estimated at a quarter more noise than the image has, and holds the error of the measured variance.
    variance = float(sample.measured.variance.variance(TRUTH.astype(np.float32)).mean())
    assert sample.choice.errors["r2r"] == pytest.approx(error(grey_values(found)), abs=0.15 * variance)
    assert sample.choice.errors["unchanged"] == pytest.approx((1 + STRENGTH**2) * error(noisy), rel=0.15)


def test_a_network_that_learned_nothing_is_not_used() -> None:
    found = denoise_volume(as_uint8(independent(TRUTH, 10.0)), UNTRAINED, execution=CPU)
    choice = found.quality.sample.choice
    assert choice.method == found.quality.algorithm == "gaussian"
    assert choice.errors[f"gaussian {choice.width:g}"] == min(choice.errors.values())
    assert error(grey_values(found)) < 0.5 * 10**2


def test_sharp_edges_under_little_noise_are_left_as_they_are() -> None:
    chessboard = np.indices(SHAPE)[1:].sum(0) // 24 % 2
    truth = as_uint8(independent(80.0 + 90.0 * chessboard, 0.4))
    found = denoise_volume(truth, UNTRAINED, execution=CPU)
    assert found.quality.algorithm == "unchanged"
    half_a_level = (found.quality.sample.high - found.quality.sample.low) / 255 / 2
    inside = (truth > found.quality.sample.low) & (truth < found.quality.sample.high)
    assert np.abs(grey_values(found) - truth)[inside].max() <= half_a_level + 1e-3


def test_equal_seeds_give_equal_results_for_any_number_of_workers() -> None:
    noisy = as_uint8(independent(TRUTH, 20.0))
    tiny = BRIEF.model_copy(update={"epochs": 1})
    one = denoise_volume(noisy, tiny, execution=CPU)
    two = denoise_volume(noisy, tiny, execution=Execution(device="cpu", workers=2))
    np.testing.assert_array_equal(one.image, two.image)
    assert one.quality == two.quality
    assert type(one.quality).model_validate_json(one.quality.model_dump_json()) == one.quality


def test_rare_very_bright_particles_in_16_bits_leave_the_tissue_six_bits_and_stay_bright() -> None:
    truth = 40 * TRUTH
    truth[:, 60:63, 60:63] = 60_000
    noisy = np.clip(np.rint(truth + independent(np.zeros(SHAPE), 400.0)), 0, 65535).astype(np.uint16)
    found = denoise_volume(noisy, BRIEF.model_copy(update={"epochs": 3}), execution=CPU)
    tissue = np.percentile(found.image, (1, 99))
    assert np.ptp(tissue) >= 64
    particle = grey_values(found)[:, 60:63, 60:63]
    assert particle.mean() == pytest.approx(60_000, rel=0.05)
    beside = np.ones(SHAPE, bool)
    beside[:, 57:66, 57:66] = False
    assert error(grey_values(found)[beside], truth[beside]) < 0.5 * 400**2


def test_a_recorrupted_pair_has_independent_noise_of_the_measured_covariance() -> None:
    noisy = as_uint8(correlated(np.full(SHAPE, 120.0), 12.0, (0.0, 1.0)))
    noise = measure_noise(noisy)
    pairs = [
        recorrupt(values.astype(np.float32), noise, np.random.default_rng(z))
        for z, values in enumerate(noisy)
    ]
    given, target = (np.stack(each) - 120 for each in zip(*pairs, strict=True))
    assert given.var() == pytest.approx(144 * (1 + STRENGTH**2), rel=0.06)
    assert target.var() == pytest.approx(144 * (1 + STRENGTH**-2), rel=0.06)
    for lag in (0, 1, 2):
        moved = np.mean(given[:, :, lag:] * target[:, :, : SHAPE[2] - lag])
        assert abs(moved) < 0.06 * 144


def test_the_noise_of_the_training_is_that_of_the_comparison() -> None:
    import torch

    noise = measure_noise(as_uint8(photons(TRUTH, 2.0)))
    flat = np.full((4, 1, 96, 96), 150.0, np.float32)
    recorruption = Recorruption(noise, 120.0, 30.0, 1, torch.device("cpu"))
    given, target, mask = recorruption(torch.from_numpy((flat - 120) / 30))
    variance = float(noise.variance.variance(flat[0, 0])[0, 0]) / 30**2
    assert float((given - 1).var()) == pytest.approx(variance * STRENGTH**2, rel=0.05)
    assert float((target - 1).var()) == pytest.approx(variance / STRENGTH**2, rel=0.05)
    assert mask.min() == 1
    expected, _ = recorrupt(flat[0, 0], noise, np.random.default_rng(0))
    assert expected.var() / 30**2 == pytest.approx(float((given - 1).var()), rel=0.05)


@pytest.fixture
def network(tmp_path: Path) -> SliceDenoiser:
    return SliceDenoiser(load_model(random_checkpoint(tmp_path / "model.ckpt", depth=1), "cpu"))


def noise_of(values: np.ndarray) -> MeasuredNoise:
    return measure_noise(values)


def test_grey_values_beyond_the_tissue_are_cut_off_before_the_network_and_added_after(
    network: SliceDenoiser,
) -> None:
    noisy = independent(TRUTH, 10.0).astype(np.float32)
    denoiser = AutomaticDenoiser(network, noise_of(noisy), restore=False)
    bright = noisy[0].copy()
    bright[20:23, 30:33] = 5_000
    low, high = denoiser.noise.tissue
    expected = network(np.clip(bright, low, high)) + (bright - np.clip(bright, low, high))
    np.testing.assert_allclose(denoiser(bright), expected, rtol=1e-5)
    np.testing.assert_array_equal(denoiser(noisy[0]), network(noisy[0]))


def test_the_choice_does_not_depend_on_slices_that_are_not_compared(network: SliceDenoiser) -> None:
    noisy = as_uint8(independent(TRUTH, 10.0))
    noise = noise_of(noisy)
    spoilt = noisy.copy()
    spoilt[0] = 0
    chosen = [choose_method(stack, network, noise, [2, 5], True, 0) for stack in (noisy, spoilt)]
    assert chosen[0] == chosen[1]
