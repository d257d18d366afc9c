"""Denoising: PSNR against tuned classical filters, speed and agreement with CAREamics, memory, a real stack.

    python benchmarks/denoising.py [--parts noise quality speed memory real] [--threads 2] [--pictures FOLDER] [--kinds KIND ...]

The part `noise` compares `auto` with Noise2Void and with the classical filters under noise of several kinds, and measures the
contrast that particles of 3 to 6 pixels keep. The part `quality` uses the clean image of a phantom with new noise of its
detector, single and doubled. The strengths of the classical filters are tuned on the truth, which no real acquisition has.
Peak memory is that of a separate process. A real stack has no truth: its slices are compared with the mean of their two
neighbours, whose noise is independent.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from _classical_denoisers import psnr, tuned
from _noise_scenes import KINDS, kept_contrast, noisy_scene
from _peak_memory import peak_mib
from numpy.typing import NDArray
from scipy import ndimage
from skimage.io import imsave

from spherovem_core.blocks import ArrayLike, Block, MemorySink
from spherovem_core.denoising import (
    NoiseModel,
    PosteriorDenoiser,
    SliceDenoiser,
    TrainedModel,
    denoise_stack,
    fit_noise,
    train_model,
)
from spherovem_core.denoising.library_isolation import quiet_libraries
from spherovem_core.denoising.sample_statistics import build_denoiser, measure_sample
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoisingParameters
from spherovem_core.synthetic.phantom import Phantom, make_phantom
from spherovem_core.utils.torch_device import torch_threads

# Parameters of the demo.
QUICK = DenoisingParameters(
    algorithm="n2v",
    training_slices=32,
    validation_slices=4,
    patches_per_slice=32,
    epochs=8,
    batch_size=8,
    network_channels=16,
    learning_rate=2e-3,
)
BRIEF = DenoisingParameters(algorithm="n2v", training_slices=16, patches_per_slice=16, epochs=2, batch_size=8)
REAL = Path(__file__).parents[2] / "shared" / "data" / "fibsem_drosophila" / "slices"
JUDGED = slice(5, 64, 20)


@cache
def noisy_phantom(factor: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the clean image of a phantom, and a copy with its detector noise times a factor."""
    phantom = default_phantom()
    clean = phantom.clean.astype(np.float32)
    noise = np.random.default_rng(8102).standard_normal(clean.shape, dtype=np.float32)
    noise *= factor * np.sqrt(detector_variance(clean))
    return clean, np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)


@cache
def default_phantom() -> Phantom:
    """Make the phantom that all parts use."""
    return make_phantom(seed=8101)


def detector_variance(signal: Any) -> Any:
    """Compute the noise variance of the phantom at a grey value."""
    detector = default_phantom().parameters
    return detector.read_noise**2 + detector.shot_noise**2 * signal / 128


def train(stack: ArrayLike, parameters: DenoisingParameters, execution: Execution) -> TrainedModel:
    """Train in a temporary folder and keep the model in memory."""
    with tempfile.TemporaryDirectory() as folder:
        return train_model(stack, Path(folder), parameters, execution)


def noise(execution: Execution, kinds: Sequence[str], algorithms: Sequence[str]) -> None:
    """Print, for each kind of noise, the best classical filter and the algorithms with the contrast that particles keep."""
    for kind in kinds:
        scene, judged = noisy_scene(kind), slice(2, None, 8)
        truth, noisy = scene.clean[judged], scene.noisy[judged].astype(np.float32)
        best = max(tuned(noisy, truth), key=lambda result: psnr(result[1], truth))
        print(
            f"{kind}: noisy {psnr(noisy, truth):.2f} dB, best filter tuned on the truth ({best[0]}) {psnr(best[1], truth):.2f} dB"
        )
        for algorithm in algorithms:
            parameters = QUICK.model_copy(update={"algorithm": algorithm})
            began = time.process_time()
            model = train(scene.noisy, parameters, execution)
            seconds = time.process_time() - began
            predict = SliceDenoiser(model, workers=execution.workers)
            sample = measure_sample(scene.noisy, predict, parameters)
            denoise = build_denoiser(predict, sample, parameters)
            began = time.process_time()
            image = np.stack([denoise(values) for values in scene.noisy])
            per_slice = (time.process_time() - began) / len(image)
            contrast = kept_contrast(image, scene)
            kept = ", ".join(f"{d} px {area:.2f} / {peak:.2f}" for d, (area, peak) in contrast.items())
            chosen = "" if sample.choice is None else f" ({sample.choice.method})"
            print(
                f"  {algorithm}{chosen}: {psnr(image[judged], truth):.2f} dB, contrast kept {kept}; "
                f"training {seconds:.0f} s CPU, {1000 * per_slice:.0f} ms CPU per slice",
                flush=True,
            )


def quality(execution: Execution) -> None:
    for factor, algorithms in ((1.0, ("n2v", "n2v2")), (2.0, ("n2v",))):
        clean, noisy = noisy_phantom(factor)
        truth, judged = clean[JUDGED], noisy[JUDGED].astype(np.float32)
        slope = np.hypot(*(ndimage.sobel(truth, axis) for axis in (1, 2)))
        edges = slope > np.percentile(slope, 95)
        print(f"noise times {factor:g}: PSNR in dB over all pixels, and over the steepest 5 %")
        show_psnr("noisy", judged, truth, edges)
        for name, result in tuned(judged, truth):
            show_psnr(name, result, truth, edges)
        for algorithm in algorithms:
            began = time.perf_counter(), time.process_time()
            model = train(noisy, QUICK.model_copy(update={"algorithm": algorithm}), execution)
            seconds = time.perf_counter() - began[0], time.process_time() - began[1]
            denoise = with_noise(SliceDenoiser(model, workers=execution.workers), noisy)
            print(f"  {algorithm}: trained in {seconds[0]:.0f} s ({seconds[1]:.0f} s CPU)")
            alone = np.stack([denoise.predict(values) for values in noisy[JUDGED]])
            show_psnr(f"{algorithm}, the network alone", alone, truth, edges)
            result = np.stack([denoise(values) for values in noisy[JUDGED]])
            show_psnr(f"{algorithm}, posterior mean", result, truth, edges)
            show_noise(denoise.noise, factor)


def with_noise(predict: SliceDenoiser, stack: NDArray[Any]) -> PosteriorDenoiser:
    """Fit the noise to four slices, as the stage does."""
    few = stack[:: len(stack) // 4]
    return PosteriorDenoiser(predict, fit_noise((values, predict(values)) for values in few))


def show_noise(noise: NoiseModel | None, factor: float) -> None:
    assert noise is not None
    levels = np.array([100, 128, 150], np.float32)
    found, true = np.sqrt(noise.variance(levels)), factor * np.sqrt(detector_variance(levels))
    pairs = ", ".join(f"{f:.2f} ({t:.2f})" for f, t in zip(found, true, strict=True))
    print(f"    noise estimated (true) at grey values of 100, 128 and 150: {pairs}")


def show_psnr(
    name: str, image: NDArray[np.float32], truth: NDArray[np.float32], edges: NDArray[np.bool_]
) -> None:
    print(f"  {name:55s} {psnr(image, truth):6.2f} {psnr(image, truth, edges):6.2f}")


def speed(execution: Execution) -> None:
    clean, noisy = noisy_phantom(1.0)
    model_folder = tempfile.TemporaryDirectory()
    with model_folder as folder:
        model = train_model(noisy, Path(folder), BRIEF, execution)
        for side in (512, 1024):
            tiles = (1, side // 512, side // 512)
            stack, truth = np.tile(noisy[:2], tiles), np.tile(clean[:2], tiles)
            print(f"2 slices of {side}², network of {model.channels} channels, {execution.workers} threads")
            plain, plain_seconds = careamics_prediction(model, stack, Path(folder), execution.workers)
            print(f"  CAREamist.predict: {plain_seconds:.2f} s per slice, PSNR {psnr(plain, truth):.3f} dB")
            for precision in ("float32", "bfloat16"):
                predict = SliceDenoiser(model, precision, workers=execution.workers)
                for name, denoise in (
                    ("the network alone", predict),
                    ("posterior mean", with_noise(predict, noisy)),
                ):
                    result, seconds = timed(
                        lambda d=denoise, s=stack: np.stack([d(v) for v in s]), len(stack)
                    )
                    print(
                        f"  {precision}, {name}: {seconds:.3f} s per slice, {plain_seconds / seconds:.1f} times as fast, "
                        f"PSNR {psnr(result, truth):.3f} dB, rms difference {np.sqrt(np.mean((result - plain) ** 2)):.3f}"
                    )


def careamics_prediction(
    model: TrainedModel, stack: NDArray[np.uint8], folder: Path, threads: int
) -> tuple[NDArray[np.float32], float]:
    """Predict with CAREamics from the checkpoint, without tiles; also return the seconds per slice."""
    with quiet_libraries(), torch_threads(threads):
        from careamics import CAREamist

        careamist = CAREamist(
            checkpoint_path=model.path, work_dir=folder / "careamics", enable_progress_bar=False
        )
        found, seconds = timed(
            lambda: careamist.predict(stack, axes="SYX", batch_size=1, num_workers=0)[0], len(stack)
        )
    return np.concatenate([np.asarray(p).reshape(-1, *stack.shape[1:]) for p in found]), seconds


def timed(function: Callable[[], Any], items: int) -> tuple[Any, float]:
    """Return the result and the seconds per item: the best of three calls after one to warm up."""
    result = function()
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return result, min(seconds) / items


class RandomStack:
    """Stack whose slices are generated when they are read."""

    dtype = np.dtype(np.uint8)

    def __init__(self, depth: int, side: int) -> None:
        self.shape = (depth, side, side)

    def __getitem__(self, z: int) -> NDArray[np.uint8]:
        return np.random.default_rng(z).integers(60, 190, self.shape[1:], dtype=np.uint8)


class DroppingSink:
    """Sink that keeps no block."""

    def pending(self, blocks: Sequence[Block]) -> list[Block]:
        """Return all blocks."""
        return list(blocks)

    def write(self, block: Block, values: NDArray[Any]) -> None:
        """Drop the block."""


def memory(execution: Execution) -> None:
    for depth in (30, 300):
        command = [sys.executable, __file__, "--parts", f"pass-{depth}", "--threads", str(execution.workers)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


def measure_pass(depth: int, side: int, execution: Execution) -> None:
    """Train and denoise in this process, and print its peak memory."""
    stack = RandomStack(depth, side)
    parameters = BRIEF.model_copy(update={"epochs": 1, "training_slices": 24, "network_channels": 8})
    began = time.perf_counter()
    model = train(stack, parameters, execution)
    trained = peak_mib()
    denoise_stack(stack, DroppingSink(), model, parameters, execution)
    print(
        f"{depth} slices of {side}²: peak {peak_mib():.0f} MB, {trained:.0f} MB after the training, "
        f"{time.perf_counter() - began:.0f} s"
    )


def real(execution: Execution, pictures: Path | None) -> None:
    if not REAL.is_dir():
        print(f"no real stack at {REAL}: skipped")
        return
    stack = np.stack([tifffile.imread(path) for path in sorted(REAL.glob("*.tif"))])
    for algorithm in ("n2v", "n2v2", "structn2v"):
        model = train(
            stack, QUICK.model_copy(update={"algorithm": algorithm, "learning_rate": 1e-3}), execution
        )
        for posterior in (False, True):
            parameters = QUICK.model_copy(update={"posterior_mean": posterior})
            sink = MemorySink(np.zeros_like(stack))
            quality = denoise_stack(stack, sink, model, parameters, execution)
            sample = quality.sample
            residual = np.mean([measured.residual_std for measured in quality.slices])
            lags = {axis: [round(v, 2) for v in values] for axis, values in sample.autocorrelation.items()}
            denoised = sample.low + sink.array * np.float32((sample.high - sample.low) / 255)
            print(
                f"FIB-SEM, {algorithm}, {'posterior mean' if posterior else 'the network alone'}: "
                f"residual {residual:.2f} grey values, autocorrelation at lags 1 to 3 {lags}, "
                f"clipped {quality.clipped_fraction:.2%}, mean square distance to neighbours falls by "
                f"{distance_gain(denoised, stack):.1f} squared grey values"
            )
            if pictures is not None:
                name = f"fibsem-{algorithm}-{'posterior' if posterior else 'alone'}.png"
                picture(stack[125], denoised[125], pictures / name)


def distance_gain(denoised: NDArray[np.float32], noisy: NDArray[np.uint8]) -> float:
    """Compute how much denoising lowers the mean square distance of slices to the mean of their two neighbours.

    The noise of neighbours is independent of that of the slice, so this is the noise variance minus the remaining error.
    Blur makes a slice more like its blurred neighbours, so its error is not counted in full.
    """
    neighbours = (noisy[:-2].astype(np.float32) + noisy[2:]) / 2
    before, after = (np.mean(np.square(image[1:-1] - neighbours)) for image in (noisy, denoised))
    return float(before - after)


def picture(noisy: NDArray[np.uint8], denoised: NDArray[np.float32], path: Path) -> None:
    """Write noisy, denoised and four times their difference next to each other."""
    panels = np.hstack([noisy, denoised, 128 + 4 * (noisy - denoised)])
    imsave(
        path, np.repeat(np.repeat(np.clip(panels, 0, 255).astype(np.uint8), 2, 0), 2, 1), check_contrast=False
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=["noise", "quality", "speed", "memory", "real"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=1024, help="side of a slice in the memory part")
    parser.add_argument("--pictures", type=Path, help="existing folder for pictures of the real stack")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), help="kinds of noise in the noise part")
    parser.add_argument(
        "--algorithms", nargs="+", default=["auto", "n2v"], help="algorithms in the noise part"
    )
    settings = parser.parse_args()
    execution = Execution(device="cpu", workers=settings.threads)
    parts: dict[str, Callable[[], None]] = {
        "noise": lambda: noise(execution, settings.kinds, settings.algorithms),
        "quality": lambda: quality(execution),
        "speed": lambda: speed(execution),
        "memory": lambda: memory(execution),
        "real": lambda: real(execution, settings.pictures),
        "pass-30": lambda: measure_pass(30, settings.side, execution),
        "pass-300": lambda: measure_pass(300, settings.side, execution),
    }
    for part in settings.parts:
        parts[part]()


if __name__ == "__main__":
    main()
