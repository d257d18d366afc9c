"""Denoising of whole stacks with random weights: range, quality, resuming, errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoising_scenes import add_noise, random_checkpoint, smooth_stack

from spherovem_core.blocks import Block, MemorySink, slab_grid
from spherovem_core.denoising import (
    PosteriorDenoiser,
    SliceDenoiser,
    TrainedModel,
    denoise_stack,
    load_model,
    obtain_model,
)
from spherovem_core.denoising.models import check_intensities
from spherovem_core.denoising.sample_statistics import measure_sample
from spherovem_core.errors import DeadlineError, NetworkError, ParameterError
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoisingParameters
from spherovem_core.store import Ledger

CPU = Execution(device="cpu")
PARAMETERS = DenoisingParameters()
NOISY = add_noise(smooth_stack((14, 40, 52)))


class Killed(BaseException):
    """End of the process."""


class FragileSink(MemorySink):
    """Sink that raises `error` after this many writes."""

    def __init__(self, array: np.ndarray, after: int, error: BaseException) -> None:
        super().__init__(array)
        self.after, self.error = after, error

    def write(self, block: Block, values: np.ndarray) -> None:
        if self.after == 0:
            raise self.error
        self.after -= 1
        super().write(block, values)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    path = random_checkpoint(tmp_path_factory.mktemp("model") / "model.ckpt", depth=1)
    return load_model(path, "cpu", loss=({"epoch": 1, "training": 0.5, "validation": 0.6},))


def run(model: TrainedModel, sink: MemorySink, **options: Any) -> Any:
    return denoise_stack(NOISY, sink, model, PARAMETERS, CPU, **options)


@pytest.fixture(scope="module")
def whole(model: TrainedModel) -> tuple[np.ndarray, Any]:
    """Image and quality of an uninterrupted run."""
    array = np.zeros(NOISY.shape, np.uint8)
    return array, run(model, MemorySink(array))


def test_every_slice_is_converted_with_the_same_range(
    model: TrainedModel, whole: tuple[np.ndarray, Any]
) -> None:
    array, quality = whole
    low, high = quality.sample.low, quality.sample.high
    denoise = PosteriorDenoiser(SliceDenoiser(model), quality.sample.noise)
    for z in range(len(NOISY)):
        expected = np.clip((denoise(NOISY[z]) - low) / (high - low) * 255, 0, 255)
        # Half a step of the rounding, and float32.
        np.testing.assert_allclose(array[z], expected, atol=0.501)


def test_without_the_posterior_mean_the_prediction_alone_is_used(model: TrainedModel) -> None:
    alone = DenoisingParameters(posterior_mean=False, range_percentiles=(0.0, 100.0))
    array = np.zeros(NOISY.shape, np.uint8)
    sample = denoise_stack(NOISY, MemorySink(array), model, alone, CPU).sample
    assert sample.noise is None
    expected = np.clip(
        (SliceDenoiser(model)(NOISY[5]) - sample.low) / (sample.high - sample.low) * 255, 0, 255
    )
    np.testing.assert_allclose(array[5], expected, atol=0.501)


def test_the_clipped_fraction_is_that_outside_the_percentiles(
    model: TrainedModel, whole: tuple[np.ndarray, Any]
) -> None:
    narrow = DenoisingParameters(range_percentiles=(10.0, 90.0))
    clipped = denoise_stack(NOISY, MemorySink(np.zeros(NOISY.shape, np.uint8)), model, narrow, CPU)
    # Four of the fourteen slices are the sample.
    assert clipped.clipped_fraction == pytest.approx(0.2, abs=0.03)
    assert whole[1].clipped_fraction < 0.005
    assert measure_sample(NOISY, SliceDenoiser(model), narrow) == clipped.sample


def test_the_quality_of_a_slice_describes_its_residual(
    model: TrainedModel, whole: tuple[np.ndarray, Any]
) -> None:
    _, quality = whole
    denoise = PosteriorDenoiser(SliceDenoiser(model), quality.sample.noise)
    residual = NOISY[3] - denoise(NOISY[3]).astype(np.float64)
    assert [measured.z for measured in quality.slices] == list(range(14))
    assert quality.slices[3].residual_mean == pytest.approx(residual.mean(), abs=1e-3)
    assert quality.slices[3].residual_std == pytest.approx(residual.std(), abs=1e-3)
    assert [len(quality.sample.autocorrelation[axis]) for axis in "yx"] == [3, 3]
    assert quality.loss[0]["validation"] == 0.6


@pytest.mark.parametrize("keep_ledger", [True, False])
def test_a_killed_run_resumes_and_gives_the_same_result(
    tmp_path: Path, model: TrainedModel, whole: tuple[np.ndarray, Any], keep_ledger: bool
) -> None:
    array = np.zeros(NOISY.shape, np.uint8)
    sink = FragileSink(array, after=5, error=Killed())
    path = tmp_path / "ledger"
    with pytest.raises(Killed):
        run(model, sink, ledger=Ledger(path, "one") if keep_ledger else None)
    sink.after = -1
    written = {block.key for block in slab_grid(NOISY.shape, 1)} - {
        block.key for block in sink.pending(slab_grid(NOISY.shape, 1))
    }
    assert len(written) == 5
    quality = run(model, sink, ledger=Ledger(path, "one") if keep_ledger else None)
    np.testing.assert_array_equal(array, whole[0])
    assert quality.model_dump() == whole[1].model_dump()


def test_finished_slices_are_neither_read_nor_written_again(tmp_path: Path, model: TrainedModel) -> None:
    ledger = Ledger(tmp_path / "ledger", "one")
    sink = MemorySink(np.zeros(NOISY.shape, np.uint8))
    first = run(model, sink, ledger=ledger)
    sink.array[:] = 0
    again = denoise_stack(Unreadable(), sink, model, PARAMETERS, CPU, ledger=ledger)
    assert not sink.array.any()
    assert again == first


class Unreadable:
    """Source that must not be read."""

    shape, dtype = NOISY.shape, NOISY.dtype

    def __getitem__(self, region: Any) -> Any:
        raise AssertionError(f"{region} was read")


def test_an_error_while_writing_is_raised(model: TrainedModel) -> None:
    for after in (0, 13):
        sink = FragileSink(np.zeros(NOISY.shape, np.uint8), after=after, error=OSError("disk full"))
        with pytest.raises(OSError, match="disk full"):
            run(model, sink)


def test_the_deadline_is_checked_between_slices(model: TrainedModel) -> None:
    sink = MemorySink(np.zeros(NOISY.shape, np.uint8))
    with pytest.raises(DeadlineError, match="after 1 of 14 blocks"):
        denoise_stack(NOISY, sink, model, PARAMETERS, Execution(device="cpu", deadline=0.0))
    assert len(sink.pending(slab_grid(NOISY.shape, 1))) == 13


def test_progress_counts_the_slices_of_the_stack(model: TrainedModel) -> None:
    seen: list[tuple[int, int]] = []
    execution = Execution(device="cpu", progress=lambda done, total: seen.append((done, total)))
    denoise_stack(NOISY, MemorySink(np.zeros(NOISY.shape, np.uint8)), model, PARAMETERS, execution)
    assert seen == [(n, 14) for n in range(1, 15)]


def test_bad_slices_are_denoised_but_do_not_change_the_range(
    model: TrainedModel, whole: tuple[np.ndarray, Any]
) -> None:
    _, quality = whole
    bad = list(quality.sample.slices)
    spoilt = NOISY.copy()
    spoilt[bad] = 255
    array = np.zeros(NOISY.shape, np.uint8)
    found = denoise_stack(spoilt, MemorySink(array), model, PARAMETERS, CPU, bad_slices=bad)
    assert not set(found.sample.slices) & set(bad)
    assert found.sample.high < quality.sample.high + 30
    assert array[bad].any()
    with pytest.raises(ParameterError, match="none of the stack's 14 slices is good"):
        measure_sample(NOISY, SliceDenoiser(model), PARAMETERS, bad_slices=range(14))


def test_the_quality_survives_json(whole: tuple[np.ndarray, Any]) -> None:
    quality = whole[1]
    assert type(quality).model_validate_json(quality.model_dump_json()) == quality


def test_a_model_of_another_bit_depth_is_refused(tmp_path: Path, model: TrainedModel) -> None:
    sixteen_bit = NOISY.astype(np.uint16) * 257
    with pytest.raises(
        NetworkError, match=r"trained on intensities of 120\.0 ± 30\.0.*denoising\.model empty"
    ):
        obtain_model(
            sixteen_bit, tmp_path, DenoisingParameters(model=str(model.path)), Execution(device="cpu")
        )
    assert not list(tmp_path.iterdir())


def test_a_model_of_the_same_intensities_is_used(tmp_path: Path, model: TrainedModel) -> None:
    found = obtain_model(NOISY, tmp_path, DenoisingParameters(model=str(model.path)), CPU)
    assert found.digest == model.digest
    check_intensities(NOISY, found)
