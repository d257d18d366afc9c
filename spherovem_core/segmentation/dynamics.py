"""Cellpose's dynamics, compiled: each place where flows converge becomes an object.

The method is that of ``cellpose.dynamics.compute_masks`` (Stringer et al. 2021, Nat. Methods 18; Pachitariu et al.
2025, "Cellpose-SAM"), which takes 200 Euler steps for every voxel. Here each voxel takes 8. The map from each
voxel to the end of its 8 steps is then applied to itself five times, which amounts to 256 steps at a fraction of the
cost; positions are rounded to voxels only every 8 steps. It runs on the CPU (numba).
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

STEPS = 8
DOUBLINGS = 5
FLOW_LENGTH = 5.0
"""Length of a unit flow as networks predict it."""

INDEX_LIMIT = 2**31
"""Voxels of a block from which their indices need 64 bits."""

# Radii in voxels and arrivals that cellpose uses, without a name, to find and grow peaks.
PEAK_RADIUS = 2
PEAK_COUNT = 10
GROWTH_RADIUS = 5
GROWTH_COUNT = 2


def follow_flows(flows: NDArray[np.float32], foreground: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Follow the flow of every foreground voxel and number the places where flows converge.

    Parameters
    ----------
    flows : (3, Z, Y, X) ndarray of float32
        (dz, dy, dx) in voxels of this grid, times 5 as networks predict them.
    foreground : (Z, Y, X) ndarray of bool
        Voxels that belong to objects.

    Returns
    -------
    (Z, Y, X) ndarray of uint32
        Number of each voxel's place, not contiguous; 0 in the background and where too few voxels converge.
    """
    if not foreground.any():
        return np.zeros(foreground.shape, np.uint32)
    targets = np.empty(foreground.size, np.int32 if foreground.size < INDEX_LIMIT else np.int64)
    _advance(flows, foreground, np.float32(1.0 / FLOW_LENGTH), targets)
    for _ in range(DOUBLINGS):
        targets = _compose(targets)
    counts = _histogram(targets, foreground.size)
    places = _places(counts, _peaks(counts, foreground.shape), foreground.shape)
    labels: NDArray[np.uint32] = _labels_at(targets, places, foreground)
    return labels


@njit(cache=True, nogil=True, parallel=True, fastmath=True, error_model="numpy")
def _advance(flows, foreground, scale, targets):  # type: ignore[no-untyped-def]
    """Write to `targets` the flat index of the voxel at the end of `STEPS` Euler steps; -1 for background."""
    depth, rows, columns = foreground.shape
    for z0 in prange(depth):
        for y0 in range(rows):
            for x0 in range(columns):
                flat = (z0 * rows + y0) * columns + x0
                if not foreground[z0, y0, x0]:
                    targets[flat] = -1
                    continue
                z, y, x = np.float32(z0), np.float32(y0), np.float32(x0)
                for _ in range(STEPS):
                    i = min(int(z), max(depth - 2, 0))
                    j = min(int(y), max(rows - 2, 0))
                    k = min(int(x), max(columns - 2, 0))
                    tz, ty, tx = z - i, y - j, x - k
                    dz = dy = dx = np.float32(0.0)
                    for a in range(min(2, depth)):
                        wz = tz if a else 1 - tz
                        for b in range(min(2, rows)):
                            wy = wz * (ty if b else 1 - ty)
                            for c in range(min(2, columns)):
                                if foreground[i + a, j + b, k + c]:
                                    w = wy * (tx if c else 1 - tx)
                                    dz += w * flows[0, i + a, j + b, k + c]
                                    dy += w * flows[1, i + a, j + b, k + c]
                                    dx += w * flows[2, i + a, j + b, k + c]
                    z = min(max(z + scale * dz, np.float32(0.0)), np.float32(depth - 1))
                    y = min(max(y + scale * dy, np.float32(0.0)), np.float32(rows - 1))
                    x = min(max(x + scale * dx, np.float32(0.0)), np.float32(columns - 1))
                reached = (int(z + 0.5) * rows + int(y + 0.5)) * columns + int(x + 0.5)
                targets[flat] = reached


@njit(cache=True, nogil=True, parallel=True)
def _compose(targets):  # type: ignore[no-untyped-def]
    """Apply the map of voxels to itself; a voxel led into the background stays there."""
    out = np.empty_like(targets)
    for n in prange(targets.size):
        reached = targets[n]
        if reached >= 0 and targets[reached] >= 0:
            reached = targets[reached]
        out[n] = reached
    return out


@njit(cache=True, nogil=True)
def _histogram(targets, size):  # type: ignore[no-untyped-def]
    counts = np.zeros(size, np.int32)
    for reached in targets:
        if reached >= 0:
            counts[reached] += 1
    return counts


@njit(cache=True, nogil=True)
def _peaks(counts, shape):  # type: ignore[no-untyped-def]
    """Find voxels with the most arrivals within 5 x 5 x 5; return their flat indices, fewest arrivals first."""
    depth, rows, columns = shape
    found = []
    for flat in range(counts.size):
        here = counts[flat]
        if here <= PEAK_COUNT:
            continue
        z, y, x = flat // (rows * columns), flat // columns % rows, flat % columns
        highest = True
        for i in range(max(z - PEAK_RADIUS, 0), min(z + PEAK_RADIUS + 1, depth)):
            for j in range(max(y - PEAK_RADIUS, 0), min(y + PEAK_RADIUS + 1, rows)):
                for k in range(max(x - PEAK_RADIUS, 0), min(x + PEAK_RADIUS + 1, columns)):
                    if counts[(i * rows + j) * columns + k] > here:
                        highest = False
        if highest:
            found.append(flat)
    peaks = np.array(found, dtype=np.int64) if len(found) else np.empty(0, np.int64)
    return peaks[np.argsort(counts[peaks], kind="mergesort")]


@njit(cache=True, nogil=True)
def _places(counts, peaks, shape):  # type: ignore[no-untyped-def]
    """Grow each peak through up to 5 voxels with arrivals; where two meet, the one with more arrivals wins."""
    depth, rows, columns = shape
    places = np.zeros(counts.size, np.uint32)
    for number in range(peaks.size):
        label = np.uint32(number + 1)
        places[peaks[number]] = label
        front = [peaks[number]]
        for _ in range(GROWTH_RADIUS):
            reached = [np.int64(0) for _ in range(0)]
            for flat in front:
                z, y, x = flat // (rows * columns), flat // columns % rows, flat % columns
                for i in range(max(z - 1, 0), min(z + 2, depth)):
                    for j in range(max(y - 1, 0), min(y + 2, rows)):
                        for k in range(max(x - 1, 0), min(x + 2, columns)):
                            other = (i * rows + j) * columns + k
                            if counts[other] > GROWTH_COUNT and places[other] != label:
                                places[other] = label
                                reached.append(other)
            front = reached
    return places


@njit(cache=True, nogil=True, parallel=True)
def _labels_at(targets, places, foreground):  # type: ignore[no-untyped-def]
    labels = np.zeros(targets.size, np.uint32)
    for n in prange(targets.size):
        if targets[n] >= 0:
            labels[n] = places[targets[n]]
    return labels.reshape(foreground.shape)
