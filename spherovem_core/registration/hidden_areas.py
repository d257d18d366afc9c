"""Areas where something fixed to the frame hides the tissue in all slices, such as a databar or dust on the detector."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.blocks import ArrayLike, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration.affine import Matrix, invert, to_level
from spherovem_core.registration.fixed_pattern import (
    LEAST_PAIRS,
    PAIRS,
    choose_evenly,
    displaced_neighbours,
    measure_fixed_pattern,
)
from spherovem_core.registration.intraop_threads import intraop_threads
from spherovem_core.registration.pairs import PairResult, prepare_slices
from spherovem_core.registration.portable_slices import PortableSlices
from spherovem_core.registration.warped_sampling import overlap_mask, sample_linear
from spherovem_core.utils.torch_device import torch_device

LEAST_SHIFT_PX = 0.25
# Mean square difference without motion over that at the motion below which an area is fixed, and below which it is beside one.
# In 12 stacks of textures and FIB-SEM slices without such areas the smallest was 0.79; a databar had 0.0 to 0.6.
FIXED_BELOW, BESIDE_BELOW = 0.5, 0.9
LEAST_LIKENESS = 0.75
NEIGHBOURHOOD = 1.0 / 85.0
"""Standard deviation of the neighbourhoods that are compared, as a fraction of the longer side."""
MOST_HIDDEN = 0.8

Pair = tuple[int, int]
Sums = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def measure_what_is_fixed(
    source: ArrayLike,
    results: Mapping[Pair, PairResult],
    good: list[int],
    parameters: RegistrationParameters,
    execution: Execution,
    before: NDArray[np.float32] | None = None,
) -> NDArray[np.float32] | None:
    """Measure the pattern that all slices share, NaN where something hides the tissue; None if there is neither.

    Parameters are those of `find_hidden_areas`; `before` is what was found with worse maps, whose pattern is subtracted to
    look for hidden areas.
    """
    hidden = find_hidden_areas(source, results, good, parameters, execution, before)
    pattern = measure_fixed_pattern(source, results, good, parameters, execution, hidden)
    if hidden is None:
        return pattern
    found = np.zeros(hidden.shape, np.float32) if pattern is None else pattern
    return np.where(hidden, np.float32(np.nan), found)


def find_hidden_areas(
    source: ArrayLike,
    results: Mapping[Pair, PairResult],
    good: list[int],
    parameters: RegistrationParameters,
    execution: Execution,
    pattern: NDArray[np.float32] | None = None,
) -> NDArray[np.bool_] | None:
    """Find the areas that differ less between slices as acquired than between slices aligned by their motion.

    Tissue differs less at the motion. Differences are summed over up to 40 pairs of neighbours from the whole stack, so that
    motions of a fraction of a pixel, which tell little in one pair, are enough. Nothing is found where nothing moves.

    Parameters
    ----------
    source : (Z, Y, X) array-like
    results
        Pairs that are registered.
    good
        Good slices in rising order.
    parameters, execution
        As in `register_stack`. The result is the same for any executor.
    pattern : (Y', X') ndarray of float32, optional
        Pattern found before, which is subtracted. Areas found before (NaN) are looked at again.

    Returns
    -------
    (Y', X') ndarray of bool, optional
        At the working resolution; None if no area is hidden, or too few slices are displaced to tell.
    """
    shape = (int(source.shape[1]), int(source.shape[2]))
    pairs = choose_evenly(displaced_neighbours(results, good, shape, LEAST_SHIFT_PX), PAIRS)
    if len(pairs) < LEAST_PAIRS:
        return None
    items = [(results[pair].matrix, pair, PortableSlices.of(source, pair)) for pair in pairs]
    compared = map_blocks(
        _compare,
        items,
        parameters,
        str(torch_device(execution.device)),
        None if pattern is None else np.nan_to_num(pattern),
        executor=execution.executor,
        ahead=2 * execution.workers + 2,
    )
    still, aligned, power = (np.zeros((), np.float32) for _ in range(3))
    for _, sums in compared:
        still, aligned, power = still + sums[0], aligned + sums[1], power + sums[2]
    return _fixed(still, aligned, power)


def _compare(
    item: tuple[Matrix, Pair, PortableSlices],
    parameters: RegistrationParameters,
    device: str,
    pattern: NDArray[np.float32] | None,
) -> Sums:
    """Sum the squares of differences without motion and at the motion, in both directions, and those of the slices."""
    import torch

    matrix, pair, slices = item
    with intraop_threads(1):
        levels = [prepare_slices(slices.read(z)[None], parameters, device, pattern)[0] for z in pair]
        images, there = [level.image for level in levels], to_level(matrix[None], levels[0].factor)
        still, aligned, power = (torch.zeros_like(images[0]) for _ in range(3))
        unmoved = (images[0] - images[1]) ** 2
        for k, m in ((0, there), (1, invert(there))):
            warped = sample_linear(images[1 - k], m)
            mask = overlap_mask(m, torch.empty_like(still), torch.empty_like(still))
            still += unmoved * mask
            aligned += (images[k] - warped) ** 2 * mask
            power += (images[k] ** 2 + images[1 - k] ** 2) * mask
    still, aligned, power = (total[0].cpu().numpy() for total in (still, aligned, power))
    return still, aligned, power


def _fixed(
    still: NDArray[np.float32], aligned: NDArray[np.float32], power: NDArray[np.float32]
) -> NDArray[np.bool_] | None:
    """Decide from the summed squares which neighbourhoods are fixed, with those beside them that are fixed in part."""
    spread = NEIGHBOURHOOD * max(still.shape)
    still, aligned, power = (ndimage.gaussian_filter(total, spread) for total in (still, aligned, power))
    floor = 1e-3 * float(power.mean()) + 1e-12
    ratio = still / (aligned + floor)
    alike = 1.0 - still / (power + floor) > LEAST_LIKENESS
    beside = alike & (ratio < BESIDE_BELOW)
    certain = alike & (ratio < FIXED_BELOW)
    if not certain.any():
        return None
    hidden: NDArray[np.bool_] = ndimage.binary_propagation(certain, mask=beside)
    hidden = ndimage.binary_fill_holes(ndimage.gaussian_filter(hidden.astype(np.float32), spread) > 0.1)
    return hidden if hidden.mean() < MOST_HIDDEN else None
