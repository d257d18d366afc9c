"""Chunks of a volume that are not there, told slice by slice."""

from collections import Counter
from collections.abc import Sequence, Set

from spherovem_core.ingest.axes import VolumeAxes

# Volumes with more slices are refused for that.
_MOST = 1_000_001


def absent_chunk_faults(
    present: Set[tuple[int, ...]], shape: Sequence[int], chunks: Sequence[int], axes: VolumeAxes
) -> dict[int, str]:
    """Return a fault for each slice of which a chunk is not there.

    Parameters
    ----------
    present
        Place of each chunk that is there, in the grid of chunks.
    shape, chunks
        Extents of the array and of what is stored in one piece: a chunk or a shard.
    axes
        Axes of the array.

    Returns
    -------
    dict
        Fault by slice.
    """
    z_axis, y_axis, x_axis = axes.order
    fixed = {axis: index // chunks[axis] for axis, index in (axes.fixed or {}).items()}
    per_slice = _count(shape[y_axis], chunks[y_axis]) * _count(shape[x_axis], chunks[x_axis])
    depth = 1 if z_axis is None else chunks[z_axis]
    grid = [_count(side, chunk) for side, chunk in zip(shape, chunks, strict=True)]
    found = Counter(
        0 if z_axis is None else place[z_axis]
        for place in present
        if len(place) == len(grid)
        and all(0 <= n < count for n, count in zip(place, grid, strict=True))
        and all(place[axis] == index for axis, index in fixed.items())
    )
    faults = {}
    for z in range(min(axes.shape[0], _MOST)):
        absent = per_slice - found[z // depth]
        if absent:
            which = (
                f"none of its {per_slice} chunks is"
                if absent == per_slice
                else f"{absent} of its {per_slice} chunks are not"
            )
            faults[z] = (
                f"{which} there; copy or write the volume again, or set absent_chunks = fill if its program leaves out chunks of "
                "the fill value"
            )
    return faults


def _count(side: int, chunk: int) -> int:
    return -(-side // chunk)
