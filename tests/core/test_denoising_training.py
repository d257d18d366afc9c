"""Small trainings with CAREamics."""

import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoising_scenes import add_noise, psnr, smooth_stack

from spherovem_core.blocks import MemorySink
from spherovem_core.denoising import SliceDenoiser, TrainedModel, denoise_stack, load_model, train_model
from spherovem_core.errors import DeadlineError, ParameterError
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoisingParameters

CPU = Execution(device="cpu")
CLEAN = smooth_stack((12, 64, 72))
NOISY = add_noise(CLEAN)
TINY = DenoisingParameters(
    patch_size=16,
    patches_per_slice=4,
    batch_size=16,
    epochs=1,
    network_depth=1,
    network_channels=8,
)
GOOD = TINY.model_copy(
    update={"patch_size": 32, "patches_per_slice": 16, "batch_size": 8, "epochs": 6, "learning_rate": 4e-3}
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, Path]:
    """A model trained well enough to be judged, and its folder."""
    folder = tmp_path_factory.mktemp("trained")
    return train_model(NOISY, folder, GOOD, CPU), folder


def predict(model: TrainedModel) -> np.ndarray:
    return np.stack([SliceDenoiser(model)(values) for values in NOISY])


def test_denoising_gains_5_db(trained: tuple[TrainedModel, Path]) -> None:
    array = np.zeros(NOISY.shape, np.uint8)
    quality = denoise_stack(NOISY, MemorySink(array), trained[0], GOOD, CPU)
    sample = quality.sample
    denoised = array * ((sample.high - sample.low) / 255) + sample.low
    assert psnr(denoised, CLEAN) > psnr(NOISY, CLEAN) + 5
    # On such a smooth scene the prediction alone is as good; the posterior mean costs at most 2 % of the noise variance.
    alone = np.mean(np.square(predict(trained[0]) - CLEAN))
    assert np.mean(np.square(denoised - CLEAN)) < alone + 0.02 * 25**2
    # The noise has a standard deviation of 25 grey values and no autocorrelation.
    assert sample.noise is not None
    assert sample.noise.variance(np.float32([120]))[0] == pytest.approx(25**2, rel=0.15)
    stds = [measured.residual_std for measured in quality.slices]
    assert np.mean(stds) == pytest.approx(25, rel=0.15)
    assert np.abs(list(sample.autocorrelation.values())).max() < 0.15


def test_the_loss_curve_falls_and_is_kept(trained: tuple[TrainedModel, Path]) -> None:
    model, folder = trained
    assert [entry["epoch"] for entry in model.loss] == [1, 2, 3, 4, 5, 6]
    assert min(e["validation"] for e in model.loss[1:]) < model.loss[0]["validation"]
    assert sorted(p.name for p in folder.iterdir()) == ["loss.json", "n2v.ckpt"]


def test_careamics_predicts_the_same_from_the_checkpoint(
    trained: tuple[TrainedModel, Path], tmp_path: Path
) -> None:
    from careamics import CAREamist

    from spherovem_core.denoising.library_isolation import quiet_libraries

    model, _ = trained
    with quiet_libraries():
        careamist = CAREamist(checkpoint_path=model.path, work_dir=tmp_path, enable_progress_bar=False)
        predictions, _ = careamist.predict(NOISY[:3], axes="SYX", batch_size=1, num_workers=0)
    expected = np.concatenate([np.asarray(p).reshape(-1, 64, 72) for p in predictions])
    full = np.stack([SliceDenoiser(model, "float32")(values) for values in NOISY[:3]])
    np.testing.assert_allclose(full, expected, atol=2e-3)
    assert psnr(predict(model)[:3], CLEAN[:3]) == pytest.approx(psnr(expected, CLEAN[:3]), abs=0.1)


def test_a_finished_training_is_loaded_from_the_folder(trained: tuple[TrainedModel, Path]) -> None:
    model, folder = trained

    def never(done: int, total: int) -> None:
        raise AssertionError("trained again")

    again = train_model(NOISY, folder, GOOD, Execution(device="cpu", progress=never))
    assert (again.digest, again.loss) == (model.digest, model.loss)
    # Parameters that only affect what follows the network do not matter for the training.
    wide = GOOD.model_copy(update={"range_percentiles": (1.0, 99.0), "posterior_mean": False})
    assert train_model(NOISY, folder, wide, Execution(device="cpu", progress=never)).digest == model.digest


def test_changed_bad_slices_or_a_damaged_checkpoint_train_again(tmp_path: Path) -> None:
    epochs: list[int] = []
    execution = Execution(device="cpu", progress=lambda done, _: epochs.append(done))
    train_model(NOISY, tmp_path, TINY, execution)
    (tmp_path / "n2v.ckpt").write_bytes(b"torn")
    (tmp_path / ".training-left-by-a-kill").mkdir()
    train_model(NOISY, tmp_path, TINY, execution)
    train_model(NOISY, tmp_path, TINY, execution, bad_slices=[3])
    assert epochs == [1, 1, 1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["loss.json", "n2v.ckpt"]


def test_equal_seeds_give_equal_bytes_for_any_number_of_workers(tmp_path: Path) -> None:
    one = predict(train_model(NOISY, tmp_path / "one", TINY, CPU))
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    two = predict(train_model(NOISY, tmp_path / "two", TINY, Execution(device="cpu", workers=2)))
    other = predict(train_model(NOISY, tmp_path / "other", TINY.model_copy(update={"seed": 1}), CPU))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("algorithm", ["n2v2", "structn2v"])
def test_variants_are_trained_and_recognised(tmp_path: Path, algorithm: Any) -> None:
    parameters = TINY.model_copy(update={"algorithm": algorithm, "scan_lines": "vertical"})
    model = train_model(NOISY, tmp_path, parameters, CPU)
    assert model.algorithm == algorithm
    assert np.isfinite(SliceDenoiser(model)(NOISY[0])).all()


def test_a_training_changes_nothing_outside_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Train in a worker thread, as in a flow: no output, no other file, random states as before."""
    import torch

    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    environment = dict(os.environ)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    threads = torch.get_num_threads()
    thread = threading.Thread(target=train_model, args=(NOISY, tmp_path / "model", TINY, CPU))
    thread.start()
    thread.join()
    load_model(tmp_path / "model" / "n2v.ckpt", "cpu")
    assert not list(Path.cwd().iterdir())
    assert dict(os.environ) == environment
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert torch.get_num_threads() == threads
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_a_training_past_its_deadline_leaves_no_file(tmp_path: Path) -> None:
    long = TINY.model_copy(update={"epochs": 50})
    with pytest.raises(DeadlineError, match="after 1 of 50"):
        train_model(NOISY, tmp_path, long, Execution(device="cpu", deadline=0.0))
    assert not list(tmp_path.iterdir())


def test_a_terminated_training_exits_with_143_and_leaves_no_file(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        execution = Execution(device="cpu", progress=lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(SystemExit) as exit_:
            train_model(NOISY, tmp_path, TINY.model_copy(update={"epochs": 50}), execution)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert exit_.value.code == 143
    assert not list(tmp_path.iterdir())


def test_early_stopping_ends_a_training_that_does_not_improve(tmp_path: Path) -> None:
    stuck = TINY.model_copy(update={"epochs": 50, "patience": 1, "learning_rate": 1e-12})
    assert len(train_model(NOISY, tmp_path, stuck, CPU).loss) < 50


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"patch_size": 24, "network_depth": 4}, r"patch_size 24 is not a multiple of 16.*set it to 32"),
        ({"masked_percent": 0.1}, r"masked_percent 0\.1 hides 0\.26 pixels of a patch of 16 x 16"),
        ({"patch_size": 128}, r"64 x 72 pixels.*patch_size to 64 or less"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(tmp_path: Path, update: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        train_model(NOISY, tmp_path, TINY.model_copy(update=update), CPU)
    assert not list(tmp_path.iterdir())


def test_the_span_of_a_scan_line_must_be_odd() -> None:
    with pytest.raises(ValueError, match="scan_line_span 4 must be odd"):
        DenoisingParameters(scan_line_span=4)
