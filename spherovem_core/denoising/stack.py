"""Denoising of a whole stack, slice by slice, to uint8 by one range."""

from collections.abc import Collection, Iterator, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, BlockSink, map_blocks, slab_grid
from spherovem_core.denoising.figures import DenoiseReport, SliceFigures, Survey
from spherovem_core.denoising.intensities import to_uint8
from spherovem_core.denoising.network import TrainedModel
from spherovem_core.denoising.posterior import PosteriorDenoiser
from spherovem_core.denoising.prediction import SliceDenoiser
from spherovem_core.denoising.sample_statistics import survey_stack
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoiseParameters

_SURVEY = "survey"


def denoise_stack(
    source: ArrayLike,
    sink: BlockSink,
    model: TrainedModel,
    parameters: DenoiseParameters,
    execution: Execution,
    bad_slices: Collection[int] = (),
    figures: MutableMapping[str, Any] | None = None,
) -> DenoiseReport:
    """Denoise those slices of a stack that the sink still lacks, and tell what was removed from all of them.

    The noise's variance and the range of the denoised intensities are found on a sample before the pass and are
    the same for every slice, so that no slice's contrast changes against the next and no float copy of the stack is ever
    written. Reading the next slice and writing the last overlap with the network.

    Parameters
    ----------
    source : (Z, Y, X) array-like
        The acquisition.
    sink
        Takes uint8 slices, as blocks of `slab_grid` of depth 1.
    model
        Trained on this or a similar acquisition.
    parameters
        Settings of the stage; here only the posterior mean and the percentiles of the range matter.
    execution
        Threads, progress and deadline; the device is the model's.
    bad_slices
        Slices that do not count for the range; they are denoised like the others.
    figures
        Keeps the figures of finished slices, such as a `Ledger`; a resumed pass computes those that are not there anew.

    Raises
    ------
    ParameterError
        If no slice is sound.
    DeadlineError
        If the deadline passes; finished slices stay in the sink.
    """
    figures = {} if figures is None else figures
    predict = SliceDenoiser(model, workers=execution.workers)
    blocks = slab_grid(source.shape, 1)
    lacking = {block.key for block in sink.pending(blocks)}
    with _LateWriter(sink) as writer:
        if _SURVEY not in figures:
            figures[_SURVEY] = survey_stack(source, predict, parameters, bad_slices).model_dump(mode="json")
        survey = Survey.model_validate(figures[_SURVEY])
        denoise = PosteriorDenoiser(predict, survey.noise)
        todo = [block for block in blocks if block.key in lacking or _slice_key(block) not in figures]
        for block, noisy in _read_ahead(source, todo):
            values, measured = _denoise_slice(block, noisy, denoise, survey)
            figures[_slice_key(block)] = measured.model_dump(mode="json")
            if block.key in lacking:
                writer.write(block, values)
            lacking.discard(block.key)
            execution.report(len(blocks) - len(lacking), len(blocks))
    slices = tuple(SliceFigures.model_validate(figures[_slice_key(block)]) for block in blocks)
    return DenoiseReport(
        algorithm=model.algorithm,
        precision=predict.precision,
        survey=survey,
        clipped_share=float(np.mean([s.clipped_share for s in slices])),
        slices=slices,
        loss=tuple(dict(epoch) for epoch in model.loss),
    )


def intensity_range(
    source: ArrayLike,
    model: TrainedModel,
    parameters: DenoiseParameters,
    execution: Execution,
    bad_slices: Collection[int] = (),
) -> tuple[float, float]:
    """Robust range of the denoised intensities on a sample of slices, as `denoise_stack` uses it."""
    predict = SliceDenoiser(model, workers=execution.workers)
    survey = survey_stack(source, predict, parameters, bad_slices)
    return survey.low, survey.high


def _denoise_slice(
    block: Block, noisy: NDArray[Any], denoise: PosteriorDenoiser, survey: Survey
) -> tuple[NDArray[np.uint8], SliceFigures]:
    denoised = denoise(noisy)
    values, clipped = to_uint8(denoised, survey.low, survey.high)
    residual = np.subtract(noisy, denoised, out=denoised)
    figures = SliceFigures(
        z=block.core[0].start,
        residual_mean=float(residual.mean(dtype=np.float64)),
        residual_std=float(residual.std(dtype=np.float64)),
        clipped_share=clipped,
    )
    return values[np.newaxis], figures


def _slice_key(block: Block) -> str:
    return f"z{block.core[0].start}"


def _read_ahead(source: ArrayLike, blocks: Sequence[Block]) -> Iterator[tuple[Block, NDArray[Any]]]:
    """Yield blocks with their slice, reading the next one meanwhile."""

    def read(block: Block) -> NDArray[Any]:
        return np.asarray(source[block.core[0].start])

    with ThreadPoolExecutor(1, thread_name_prefix="read-slices") as reader:
        yield from map_blocks(read, blocks, executor=reader, ahead=2)


class _LateWriter:
    """Writes a block while the next is computed; an error of the writing surfaces with the next block or at the end."""

    def __init__(self, sink: BlockSink) -> None:
        self._sink = sink
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="write-slices")
        self._last: Future[None] | None = None

    def write(self, block: Block, values: NDArray[Any]) -> None:
        """Start to write a block once the one before is written."""
        self._finish()
        self._last = self._executor.submit(self._sink.write, block, values)

    def _finish(self) -> None:
        if self._last is not None:
            self._last.result()
            self._last = None

    def __enter__(self) -> "_LateWriter":
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._finish()
        finally:
            self._executor.shutdown()
