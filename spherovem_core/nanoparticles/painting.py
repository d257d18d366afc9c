"""Labels and posterior of the particles, painted block by block."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Block
from spherovem_core.nanoparticles.objects import FoundObject, boxes_of

# Spread of the relative height of a voxel that a particle fills by half.
_EDGE_SPREAD = 0.12
# Particles outlined at one height: as many as this, their sizes in voxels within this factor; fewer than the least are too few.
_CLASS_PARTICLES, _LEAST_PARTICLES = 60, 12
_CLASS_RANGE = 2.0


@dataclass(frozen=True, eq=False)
class PaintedParticles:
    """Voxels of the particles, label 1 first.

    Attributes
    ----------
    order : (N,) ndarray
        Number of each particle in the list it was chosen from.
    voxels
        Voxels (M, 3) of each particle.
    territory, posterior
        Voxels around each particle that may belong to it, and the probability that they do.
    """

    order: NDArray[np.int64]
    voxels: list[NDArray[np.int32]]
    territory: list[NDArray[np.int32]]
    posterior: list[NDArray[np.float16]]

    @cached_property
    def _boxes(self) -> NDArray[np.int64]:
        return boxes_of(self.territory)

    def labels_in(self, block: Block) -> NDArray[np.uint32]:
        """Paint the labels of a block's core."""
        out = np.zeros([s.stop - s.start for s in block.core], np.uint32)
        for n in self._touching(block):
            voxels = self.voxels[n]
            out[_places(voxels[_within(voxels, block)], block)] = n + 1
        return out

    def posterior_in(self, block: Block) -> NDArray[np.float16]:
        """Paint the posterior of a block's core."""
        out = np.zeros([s.stop - s.start for s in block.core], np.float16)
        for n in self._touching(block):
            here = _within(self.territory[n], block)
            places = _places(self.territory[n][here], block)
            out[places] = np.maximum(out[places], self.posterior[n][here])
        return out

    def _touching(self, block: Block) -> NDArray[np.int64]:
        starts, stops = _bounds(block)
        return np.flatnonzero(((self._boxes[:, :3] < stops) & (self._boxes[:, 3:] > starts)).all(axis=1))


def _bounds(block: Block) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.array([s.start for s in block.core]), np.array([s.stop for s in block.core])


def _within(voxels: NDArray[np.int32], block: Block) -> NDArray[np.bool_]:
    """Mark the voxels of the volume that lie in a block's core."""
    starts, stops = _bounds(block)
    return np.asarray(((voxels >= starts) & (voxels < stops)).all(axis=1))


def _places(voxels: NDArray[np.int32], block: Block) -> tuple[NDArray[np.int64], ...]:
    """Turn voxels of the volume into indices of a block's core."""
    return tuple((voxels - _bounds(block)[0]).T)


def choose_voxels(
    particles: Sequence[FoundObject],
    voxel_counts: NDArray[np.int64],
    confidence: NDArray[np.float64],
    shape: Sequence[int],
) -> PaintedParticles:
    """Choose the voxels of each particle, the brightest of its territory.

    Particles of one size are outlined at one height, above which they hold together as many voxels as their volumes: noise
    changes the measured volume of a particle more than the height at its border. A particle with few others of its size, or
    with an outline that follows its surroundings, has as many voxels as its own volume holds. A voxel that two particles
    want goes to the one that it is brighter in.

    Parameters
    ----------
    particles
        The N particles.
    voxel_counts, confidence : (N,) ndarray
        Number of voxels that each one's volume holds, and its probability.
    shape
        Shape of the volume.
    """
    held = _held_voxels(particles, voxel_counts)
    wanted = [entry.voxels[:count] for entry, count in zip(particles, held, strict=True)]
    wanted = _settle_claims(wanted, [entry.height for entry in particles], shape)
    first = [int(np.ravel_multi_index(tuple(v.T), tuple(shape)).min()) if len(v) else -1 for v in wanted]
    order = np.array([n for n in np.argsort(first, kind="stable") if first[n] >= 0], np.int64)
    return PaintedParticles(
        order,
        [wanted[n] for n in order],
        [particles[n].voxels for n in order],
        [_voxel_posterior(particles[n].height, int(held[n]), float(confidence[n])) for n in order],
    )


def _held_voxels(particles: Sequence[FoundObject], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the voxels that each particle holds, outlined at the height of its size."""
    most = [len(entry.height) for entry in particles]
    held = np.clip(counts, 1, most).astype(np.int64)
    free = np.flatnonzero([not entry.outlined for entry in particles])
    order = free[np.argsort(held[free], kind="stable")]
    own = held[order]
    start = 0
    while start < len(order):
        alike = int(np.searchsorted(own, _CLASS_RANGE * own[start], side="right"))
        same = order[start : min(alike, start + _CLASS_PARTICLES)]
        if len(same) >= _LEAST_PARTICLES:
            heights = [particles[n].height for n in same]
            level = np.sort(np.concatenate(heights))[-held[same].sum()]
            held[same] = [max(1, int((height >= level).sum())) for height in heights]
        start += len(same)
    return held


def _settle_claims(
    wanted: list[NDArray[np.int32]], heights: list[NDArray[np.float32]], shape: Sequence[int]
) -> list[NDArray[np.int32]]:
    """Give each voxel to one particle."""
    if not wanted:
        return wanted
    places = [np.ravel_multi_index(tuple(v.T), tuple(shape)) for v in wanted]
    flat = np.concatenate(places)
    owner = np.repeat(np.arange(len(wanted)), [len(p) for p in places])
    height = np.concatenate([h[: len(p)] for h, p in zip(heights, places, strict=True)])
    order = np.lexsort((owner, -height, flat))
    lost = np.zeros(len(flat), np.bool_)
    again = flat[order][1:] == flat[order][:-1]
    lost[order[1:][again]] = True
    if not lost.any():
        return wanted
    bounds = np.cumsum([0, *(len(p) for p in places)])
    return [v[~lost[a:b]] for v, a, b in zip(wanted, bounds[:-1], bounds[1:], strict=True)]


def _voxel_posterior(height: NDArray[np.float32], count: int, confidence: float) -> NDArray[np.float16]:
    """Compute the probability that a voxel is one of the `count` that a particle holds, given falling heights.

    The outline lies where the count ends: for a small particle, whose blurred height is low, below half the contrast.
    """
    from scipy.special import ndtr

    outline = float(height[min(count, len(height)) - 1])
    return np.asarray(confidence * ndtr((height - outline) / _EDGE_SPREAD), np.float16)
