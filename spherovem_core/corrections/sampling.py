"""Recognition of the voxels that another program took when it made labels coarser."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.corrections.inner_points import fitting_shape
from spherovem_core.corrections.renumbering import Renumbering

PROBED_VOXELS = 2**21
"""Voxels of the volume in each of the eight places where samplings are compared."""
ROUNDS = 2

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class _Probe:
    """A place where samplings are compared: its first imported voxel, the wanted labels, and those of the volume around it."""

    start: tuple[int, ...]
    wanted: NDArray[np.int64]
    corner: tuple[int, ...]
    labels: NDArray[np.int64]


def find_sampling(
    present: ArrayLike,
    imported: ArrayLike,
    goes: Renumbering,
    numbers: Renumbering,
    centres: Sequence[Indices],
) -> tuple[Indices, ...]:
    """Find the voxels of which imported labels are most probably samples.

    Programs take the first, the middle or another voxel in each coarse voxel, the same everywhere, or spread the coarse voxels
    from the first voxel of the volume to the last. The sampling that agrees with most imported voxels in eight places is taken,
    axis by axis.

    Parameters
    ----------
    present : (Z, Y, X) array-like of integers
        Labels at full resolution.
    imported : array-like of integers
        Labels of the coarser grid.
    goes, numbers
        Numbers of the wanted objects for labels of `present` and of `imported`.
    centres
        Per axis, the voxel of the volume at the centre of each imported voxel.

    Returns
    -------
    tuple of (N,) ndarray of int64
        Per axis, the voxel of the volume for each imported voxel.
    """
    candidates = [_candidates(axis, extent) for axis, extent in zip(centres, present.shape, strict=True)]
    probes = [
        _probe(place, present, imported, goes, numbers, candidates)
        for place in product((0.25, 0.75), repeat=3)
    ]
    best = list(centres)
    for _ in range(ROUNDS):
        for axis in range(3):
            scores = [
                sum(_agreement(probe, [*best[:axis], indices, *best[axis + 1 :]]) for probe in probes)
                for indices in candidates[axis]
            ]
            best[axis] = candidates[axis][int(np.argmax(scores))]
    return best[0], best[1], best[2]


def _candidates(centres: Indices, extent: int) -> list[Indices]:
    """Return samplings along an axis, the centres first."""
    if len(centres) < 2 or (np.diff(centres) <= 1).all():
        return [centres]
    reach = int(np.diff(centres).max() // 2) + 1
    shifts = sorted(range(-reach, reach + 1), key=abs)
    spread = np.round(np.linspace(0, extent - 1, len(centres))).astype(np.int64)
    return [*(np.clip(centres + shift, 0, extent - 1) for shift in shifts), spread]


def _probe(
    place: Sequence[float],
    present: ArrayLike,
    imported: ArrayLike,
    goes: Renumbering,
    numbers: Renumbering,
    candidates: Sequence[Sequence[Indices]],
) -> _Probe:
    factors = [max(1, round(extent / n)) for extent, n in zip(present.shape, imported.shape, strict=True)]
    shape = fitting_shape(
        [min(n, 64) for n in imported.shape], max(1, PROBED_VOXELS // int(np.prod(factors)))
    )
    start = tuple(round(part * (n - own)) for part, n, own in zip(place, imported.shape, shape, strict=True))
    box = tuple(slice(first, first + own) for first, own in zip(start, shape, strict=True))
    low = [min(int(own[part].min()) for own in axis) for axis, part in zip(candidates, box, strict=True)]
    high = [max(int(own[part].max()) for own in axis) + 1 for axis, part in zip(candidates, box, strict=True)]
    labels = np.asarray(present[tuple(map(slice, low, high))])
    return _Probe(start, numbers.apply(np.asarray(imported[box])), tuple(low), goes.apply(labels))


def _agreement(probe: _Probe, indices: Sequence[Indices]) -> int:
    own = [
        axis[first : first + n] - corner
        for axis, first, n, corner in zip(indices, probe.start, probe.wanted.shape, probe.corner, strict=True)
    ]
    return int(np.count_nonzero(probe.labels[np.ix_(*own)] == probe.wanted))
