"""Slices that are denoised already: kept as they are, in 8 bits."""

from collections.abc import Collection, MutableMapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, BlockSink, map_blocks, slab_grid
from spherovem_core.denoising.grey_map import GreyMap, linear_map
from spherovem_core.denoising.intensities import subsample, to_uint8
from spherovem_core.errors import ParameterError
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoisingParameters
from spherovem_core.utils.slice_choice import good_slices, spread_evenly

_MAP = "map of slices taken as given"


def write_given(
    source: ArrayLike,
    sink: BlockSink,
    parameters: DenoisingParameters,
    execution: Execution,
    bad_slices: Collection[int] = (),
    ledger: MutableMapping[str, Any] | None = None,
) -> tuple[pd.DataFrame, GreyMap]:
    """Copy slices that need no denoising.

    Slices of 8 bits keep their values. Others are mapped to 8 bits linearly; `range_percentiles` of a sample of slices become 0
    and 255, the same for the whole stack.

    Parameters
    ----------
    source : (Z, Y, X) array-like of uint8 or uint16
    sink
        Takes uint8 slices, as blocks of `slab_grid` of depth 1.
    parameters
        ``training_slices`` is the size of the sample.
    execution
        Executor, progress and deadline.
    bad_slices
        Slices to leave out of the sample.
    ledger
        Keeps the map and the figures of finished slices for a resumed run.

    Returns
    -------
    DataFrame
        One row per slice: ``z``, ``residual_mean`` and ``residual_std``, which are NaN, and ``clipped_fraction``.
    GreyMap
        The map to 8 bits.

    Raises
    ------
    ParameterError
        If no slice is good.
    """
    ledger = {} if ledger is None else ledger
    if _MAP not in ledger:
        ledger[_MAP] = _choose_map(source, parameters, bad_slices).model_dump(mode="json")
    grey_map = GreyMap.model_validate(ledger[_MAP])
    blocks = slab_grid(source.shape, 1)
    missing = {block.key for block in sink.pending(blocks)}
    todo = [block for block in blocks if block.key in missing or block.key not in ledger]
    for done, (block, (values, clipped)) in enumerate(
        map_blocks(_slice, todo, source, grey_map, executor=execution.executor), len(blocks) - len(todo) + 1
    ):
        ledger[block.key] = clipped
        if block.key in missing:
            sink.write(block, values)
        execution.report(done, len(blocks))
    table = pd.DataFrame(
        {
            "z": range(len(blocks)),
            "residual_mean": np.nan,
            "residual_std": np.nan,
            "clipped_fraction": [float(ledger[block.key]) for block in blocks],
        }
    )
    return table, grey_map


def _slice(block: Block, source: ArrayLike, grey_map: GreyMap) -> tuple[NDArray[np.uint8], float]:
    values = np.asarray(source[block.core])
    if values.dtype == np.uint8:
        return values, 0.0
    mapped, clipped = to_uint8(values[0].astype(np.float32), grey_map)
    return mapped[np.newaxis], clipped


def _choose_map(source: ArrayLike, parameters: DenoisingParameters, bad_slices: Collection[int]) -> GreyMap:
    """Choose the map to 8 bits; 8 bits stay as they are."""
    if np.dtype(source.dtype) == np.uint8:
        return linear_map(0.0, 255.0)
    good = good_slices(source.shape[0], bad_slices)
    if not good:
        raise ParameterError(f"all {source.shape[0]} slices are bad, so their grey values are unknown")
    chosen = spread_evenly(good, parameters.training_slices)
    sample = np.concatenate(
        [subsample(np.asarray(source[z]).astype(np.float32), len(chosen)) for z in chosen]
    )
    low, high = (float(value) for value in np.percentile(sample, parameters.range_percentiles))
    return linear_map(low, high if high > low else low + 1.0)
