"""Denoising of a whole stack, slice by slice, to uint8 with one map."""

from collections.abc import Collection, Iterator, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, BlockSink, map_blocks, slab_grid
from spherovem_core.denoising.intensities import to_uint8
from spherovem_core.denoising.prediction import SliceDenoiser
from spherovem_core.denoising.quality import DenoisingQuality, SampleStatistics, SliceQuality
from spherovem_core.denoising.sample_statistics import Denoiser, build_denoiser, measure_sample
from spherovem_core.denoising.trained_model import TrainedModel
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoisingParameters

_SAMPLE = "sample"


def denoise_stack(
    source: ArrayLike,
    sink: BlockSink,
    model: TrainedModel,
    parameters: DenoisingParameters,
    execution: Execution,
    bad_slices: Collection[int] = (),
    ledger: MutableMapping[str, Any] | None = None,
) -> DenoisingQuality:
    """Denoise the slices of a stack that the sink does not hold yet, and measure the quality of all slices.

    The noise, the method of `auto` and the map of the denoised intensities to 8 bits are found on a sample first and are
    the same for every slice. So contrast does not change from slice to slice, and no float copy of the stack is written.
    The next slice is read and the last one written while the network computes.

    Parameters
    ----------
    source : (Z, Y, X) array-like
        The acquisition.
    sink
        Takes uint8 slices, as blocks of `slab_grid` of depth 1.
    model
        Model trained on this or a similar acquisition.
    parameters
        Parameters of the stage; of those of the training, only the numbers of slices and the seed are used.
    execution
        Threads, progress and deadline; the device is that of the model.
    bad_slices
        Slices to leave out of the sample; they are denoised like the others.
    ledger
        Keeps the sample statistics and the quality of finished slices, so that a resumed run does not measure them again.

    Raises
    ------
    ParameterError
        If no slice is good.
    DeadlineError
        If the deadline passes; finished slices stay in the sink.
    """
    ledger = {} if ledger is None else ledger
    predict = SliceDenoiser(model, workers=execution.workers)
    blocks = slab_grid(source.shape, 1)
    missing = {block.key for block in sink.pending(blocks)}
    with _BackgroundWriter(sink) as writer:
        if _SAMPLE not in ledger:
            ledger[_SAMPLE] = measure_sample(source, predict, parameters, bad_slices).model_dump(mode="json")
        sample = SampleStatistics.model_validate(ledger[_SAMPLE])
        denoise = build_denoiser(predict, sample, parameters)
        todo = [block for block in blocks if block.key in missing or _slice_key(block) not in ledger]
        for block, noisy in _read_ahead(source, todo):
            values, quality = _denoise_slice(block, noisy, denoise, sample)
            ledger[_slice_key(block)] = quality.model_dump(mode="json")
            if block.key in missing:
                writer.write(block, values)
            missing.discard(block.key)
            execution.report(len(blocks) - len(missing), len(blocks))
    slices = tuple(SliceQuality.model_validate(ledger[_slice_key(block)]) for block in blocks)
    return DenoisingQuality(
        algorithm=model.algorithm if sample.choice is None else sample.choice.method,
        precision=predict.precision,
        sample=sample,
        clipped_fraction=float(np.mean([s.clipped_fraction for s in slices])),
        slices=slices,
        loss=tuple(dict(epoch) for epoch in model.loss),
    )


def _denoise_slice(
    block: Block, noisy: NDArray[Any], denoise: Denoiser, sample: SampleStatistics
) -> tuple[NDArray[np.uint8], SliceQuality]:
    denoised = denoise(noisy)
    values, clipped = to_uint8(denoised, sample.grey_map)
    residual = np.subtract(noisy, denoised, out=denoised)
    quality = SliceQuality(
        z=block.core[0].start,
        residual_mean=float(residual.mean(dtype=np.float64)),
        residual_std=float(residual.std(dtype=np.float64)),
        clipped_fraction=clipped,
    )
    return values[np.newaxis], quality


def _slice_key(block: Block) -> str:
    return f"z{block.core[0].start}"


def _read_ahead(source: ArrayLike, blocks: Sequence[Block]) -> Iterator[tuple[Block, NDArray[Any]]]:
    """Yield each block with its slice, and read the next slice in the background."""

    def read(block: Block) -> NDArray[Any]:
        return np.asarray(source[block.core[0].start])

    with ThreadPoolExecutor(1, thread_name_prefix="read-slices") as reader:
        yield from map_blocks(read, blocks, executor=reader, ahead=2)


class _BackgroundWriter:
    """Writer of a block while the next is computed; an error while writing is raised with the next block or at the end."""

    def __init__(self, sink: BlockSink) -> None:
        self._sink = sink
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="write-slices")
        self._last: Future[None] | None = None

    def write(self, block: Block, values: NDArray[Any]) -> None:
        """Wait until the previous block is written, then start to write this one."""
        self._finish()
        self._last = self._executor.submit(self._sink.write, block, values)

    def _finish(self) -> None:
        if self._last is not None:
            self._last.result()
            self._last = None

    def __enter__(self) -> "_BackgroundWriter":
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._finish()
        finally:
            self._executor.shutdown()
