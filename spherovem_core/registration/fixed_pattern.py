"""Pattern that is the same in all slices of a stack and stays in the frame, such as that of a detector."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration.affine import IDENTITY, Matrix, invert, rms_displacement, to_level
from spherovem_core.registration.intraop_threads import intraop_threads
from spherovem_core.registration.pairs import PairResult
from spherovem_core.registration.portable_slices import PortableSlices
from spherovem_core.registration.pyramid import bin_slices, remove_mean
from spherovem_core.registration.series_noise import NORMAL_MAD
from spherovem_core.registration.warped_sampling import overlap_mask, sample_linear
from spherovem_core.utils.torch_device import torch_device

PAIRS = 40
LEAST_PAIRS = 5
LEAST_SHIFT_PX = 0.5
ITERATIONS = 10
OUTLIER_SIGMAS = 3.0
SAMPLED = 4
WHOLE = 0.999
# Correlation of the patterns of both halves of the pairs, and their power over that of the slices, from which there is one.
LEAST_CORRELATION = 0.15
LEAST_POWER = 0.002

T = TypeVar("T")
Pair = tuple[int, int]
Difference = tuple[NDArray[np.float32], NDArray[np.float32], float]


def measure_fixed_pattern(
    source: ArrayLike,
    results: Mapping[Pair, PairResult],
    good: list[int],
    parameters: RegistrationParameters,
    execution: Execution,
    hidden: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32] | None:
    """Measure what is added to all slices at the same place of the frame.

    Two slices that are aligned on their tissue differ by the pattern and its displaced copy. Averaged over pairs that are
    displaced differently, this gives the pattern by the iteration of Kuhn, Lin and Loranz (1991) for flat fields. Tissue that
    does not move is never taken for a pattern, because nothing is displaced. Up to 40 pairs of neighbours from the whole
    stack are used, none of which share a slice. The pattern counts if two halves of the pairs agree on it.

    Parameters
    ----------
    source : (Z, Y, X) array-like
    results
        Pairs that are registered.
    good
        Good slices in rising order.
    parameters, execution
        As in `register_stack`. The result is the same for any executor.
    hidden : (Y', X') ndarray of bool, optional
        Where something hides the tissue (`find_hidden_areas`), at the working resolution; nothing is measured there.

    Returns
    -------
    (Y', X') ndarray of float32, optional
        In grey values at the working resolution, without its slow part; None if there is no pattern, or if too few slices
        are displaced against each other to find one.
    """
    pairs = _displaced_pairs(results, good, (int(source.shape[1]), int(source.shape[2])))
    if len(pairs) < LEAST_PAIRS:
        return None
    device = str(torch_device(execution.device))
    items = [(results[pair].matrix, pair, PortableSlices.of(source, pair)) for pair in pairs]
    halves: list[list[NDArray[np.float32]]] = [[], []]
    power = 0.0
    found = map_blocks(
        _difference,
        items,
        parameters.working_pixels,
        device,
        hidden,
        executor=execution.executor,
        ahead=2 * execution.workers + 2,
    )
    for k, (_, (total, count, variance)) in enumerate(found):
        if not halves[k % 2]:
            halves[k % 2] = [np.zeros_like(total), np.zeros_like(count)]
        halves[k % 2][0] += total
        halves[k % 2][1] += count
        power += variance / len(pairs)
    one, other = (total / np.maximum(count, 1.0) for total, count in halves)
    shared = float((one * other).mean())
    correlation = shared / max(float(np.sqrt((one * one).mean() * (other * other).mean())), 1e-12)
    if correlation < LEAST_CORRELATION or shared < LEAST_POWER * power:
        return None
    # Both halves together, less the part that they do not share.
    certain = 2.0 * correlation / (1.0 + correlation)
    factor = round(source.shape[1] / one.shape[0])
    maps = to_level(np.stack([results[pair].matrix for pair in pairs]), factor)
    with intraop_threads(1):
        return _without_copies((0.5 * certain * (one + other)).astype(np.float32), maps)


def mean_in_the_frame(
    source: ArrayLike, good: list[int], parameters: RegistrationParameters, execution: Execution
) -> NDArray[np.float32]:
    """Average up to 40 slices without their slow part: the pattern, and what of the tissue does not move.

    It serves to look for motion that a strong pattern hides, not as a pattern: in a stack without motion it is the tissue.
    """
    chosen = choose_evenly(good, PAIRS)
    items = [PortableSlices.of(source, [z]) for z in chosen]
    averaged = map_blocks(
        _without_mean,
        list(zip(chosen, items, strict=True)),
        parameters.working_pixels,
        str(torch_device(execution.device)),
        executor=execution.executor,
        ahead=2 * execution.workers + 2,
    )
    total = np.zeros((), np.float32)
    for _, image in averaged:
        total = total + image / np.float32(len(chosen))
    return total


def _without_mean(item: tuple[int, PortableSlices], working_pixels: int, device: str) -> NDArray[np.float32]:
    import torch

    z, slices = item
    with intraop_threads(1):
        binned, _ = bin_slices(slices.read(z)[None], working_pixels)
        flat: NDArray[np.float32] = remove_mean(torch.from_numpy(binned).to(device))[0].cpu().numpy()
    return flat


def is_still(results: Mapping[Pair, PairResult], good: list[int], shape: tuple[int, int]) -> bool:
    """Tell whether too few neighbours are displaced against each other to measure a pattern."""
    return len(_displaced_pairs(results, good, shape)) < LEAST_PAIRS <= len(good) // 2


def _displaced_pairs(
    results: Mapping[Pair, PairResult], good: list[int], shape: tuple[int, int]
) -> list[Pair]:
    """Choose pairs of neighbours without common slices that are trusted and displaced, evenly over the stack."""
    chosen: list[Pair] = []
    for pair in displaced_neighbours(results, good, shape, LEAST_SHIFT_PX):
        if not chosen or chosen[-1][1] != pair[0]:
            chosen.append(pair)
    return choose_evenly(chosen, PAIRS)


def displaced_neighbours(
    results: Mapping[Pair, PairResult], good: list[int], shape: tuple[int, int], least_px: float
) -> list[Pair]:
    """Return the pairs of neighbours that are trusted and displaced by so many pixels or more, in rising order."""
    return [
        pair
        for pair in itertools.pairwise(good)
        if pair in results
        and results[pair].trusted
        and rms_displacement(results[pair].matrix - IDENTITY, shape) >= least_px
    ]


def choose_evenly(items: Sequence[T], most: int) -> list[T]:
    """Choose at most so many items, evenly from the first to the last."""
    if len(items) <= most:
        return list(items)
    return [items[k] for k in np.linspace(0, len(items) - 1, most).round().astype(int)]


def _difference(
    item: tuple[Matrix, Pair, PortableSlices],
    working_pixels: int,
    device: str,
    hidden: NDArray[np.bool_] | None,
) -> Difference:
    """Sum the differences of a pair in both directions, the number of them at each pixel, and the power of a slice."""
    import torch

    matrix, pair, slices = item
    with intraop_threads(1):
        binned = [bin_slices(slices.read(z)[None], working_pixels) for z in pair]
        factor = binned[0][1]
        seen = None if hidden is None else torch.from_numpy((~hidden)[None].astype(np.float32)).to(device)
        images = [remove_mean(torch.from_numpy(image).to(device), seen) for image, _ in binned]
        deviations = [float(image.double().std().clamp_min(1e-6)) for image in images]
        there = to_level(matrix[None], factor)
        total, count = torch.zeros_like(images[0]), torch.zeros_like(images[0])
        for k, m in ((0, there), (1, invert(there))):
            warped = sample_linear(images[1 - k], m) * (deviations[k] / deviations[1 - k])
            mask = overlap_mask(m, torch.empty_like(total), torch.empty_like(total))
            if seen is not None:
                mask = mask * seen * (sample_linear(seen, m) > WHOLE)
            difference = images[k] - warped
            # The median of all pixels would take more time than the rest.
            sampled = difference[:, ::SAMPLED, ::SAMPLED][mask[:, ::SAMPLED, ::SAMPLED] > 0.0]
            limit = OUTLIER_SIGMAS * NORMAL_MAD * float(sampled.abs().median()) + 1e-6
            total += difference.clamp_(-limit, limit) * mask
            count += mask
    return total[0].cpu().numpy(), count[0].cpu().numpy(), deviations[0] * deviations[1]


def _without_copies(mean: NDArray[np.float32], maps: Matrix) -> NDArray[np.float32]:
    """Find the pattern whose mean difference from its displaced copies is the one measured."""
    import torch

    measured = torch.from_numpy(mean)[None]
    pattern = measured
    mask, spare = torch.empty_like(measured), torch.empty_like(measured)
    for _ in range(ITERATIONS):
        copies, seen = torch.zeros_like(measured), torch.zeros_like(measured)
        for there in maps[:, None]:
            for m in (there, invert(there)):
                overlap_mask(m, mask, spare)
                copies += sample_linear(pattern, m) * mask
                seen += mask
        pattern = remove_mean(measured + copies / seen.clamp_min(1.0))
    result: NDArray[np.float32] = pattern[0].numpy()
    return result
