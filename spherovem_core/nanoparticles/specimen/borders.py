"""Border of resin, found at the resolution of the tiles from the grey values on its two sides."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.nanoparticles.specimen.tiles import EVEN, ODD
from spherovem_core.spacing import SpacingNm

REACH_NM = 1500.0
"""Border of resin lies at most so far from its core: the structure of tissue blurs into resin over the window's width."""
LOCAL_NM = 1500.0
"""Grey value of resin is averaged over a Gaussian of this width, in each slice: it follows shading and changes of brightness."""
BINS = 64
COUPLING = 0.6
"""Weight of each of the six neighbours against the evidence of a tile's own grey value."""
STRONGEST = 4.0
"""Largest evidence of one tile, as a logarithm of odds."""
SEED_RADIUS_NM = 300.0
LEAST_GROWTH = 0.002
_PASSES, _ROUNDS = 6, 12

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def grow_regions(tiles: Floats, spacing_nm: SpacingNm, cores: Mask, tissue: Mask) -> Mask:
    """Grow cores of resin to where the grey values become those of tissue.

    Each tile within reach is compared with the distributions of grey values in cores and in tissue, both relative to the resin
    nearby. Neighbours vote (mean-field approximation of a Potts model), so that single tiles do not decide.

    Parameters
    ----------
    tiles : (Z, 3, Y, X) ndarray of float32
    spacing_nm
        Size of a tile.
    cores : (Z, Y, X) ndarray of bool
        Places that are certainly resin.
    tissue : (Z, Y, X) ndarray of bool
        Places that are certainly tissue.

    Returns
    -------
    (Z, Y, X) ndarray of bool
        Resin: the cores and what was grown.
    """
    away = ndimage.distance_transform_edt(~cores, sampling=spacing_nm) > REACH_NM
    tissue = tissue & away if (tissue & away).any() else tissue
    grown = cores
    for _ in range(_PASSES):
        before = np.count_nonzero(grown)
        grown = _grow(tiles, spacing_nm, grown, tissue)
        if np.count_nonzero(grown) < (1 + LEAST_GROWTH) * before:
            break
        grown = cores | _wide_parts(grown, spacing_nm)
    return grown


def _grow(tiles: Floats, spacing_nm: SpacingNm, cores: Mask, tissue: Mask) -> Mask:
    distance = ndimage.distance_transform_edt(~cores, sampling=spacing_nm)
    band = (distance <= REACH_NM) & ~cores
    if not band.any() or not (tissue & ~cores).any():
        return cores
    relative = _relative_greys(tiles, spacing_nm, cores)
    return _vote(_evidence(relative, cores, tissue & ~cores), cores, band)


def _wide_parts(region: Mask, spacing_nm: SpacingNm) -> Mask:
    """Keep the parts of a region where a disc of `SEED_RADIUS_NM` fits, slice by slice: thin leaks into tissue do not grow on."""
    edge = [(0, 0), (1, 1), (1, 1)]
    depth = ndimage.distance_transform_edt(np.pad(region, edge, mode="edge"), sampling=(1e6, *spacing_nm[1:]))
    return np.asarray(depth[:, 1:-1, 1:-1] > SEED_RADIUS_NM)


def _relative_greys(tiles: Floats, spacing_nm: SpacingNm, cores: Mask) -> Floats:
    """Subtract the local grey value of resin, of the same slice."""
    sigma = LOCAL_NM / np.array(spacing_nm[1:])
    greys = np.empty(cores.shape, np.float32)
    known = np.flatnonzero(cores.any(axis=(1, 2)))
    for z, tile in enumerate(tiles):
        mean = (tile[EVEN] + tile[ODD]) / 2
        # A slice without a core takes the place of the core from the nearest slice that has one.
        core = cores[known[np.abs(known - z).argmin()]]
        weight = ndimage.gaussian_filter(core.astype(np.float32), sigma, mode="nearest", truncate=3.0)
        total = ndimage.gaussian_filter(np.where(core, mean, 0), sigma, mode="nearest", truncate=3.0)
        overall = np.float32(mean[core].mean())
        greys[z] = mean - (total + 1e-3 * overall) / (weight + 1e-3)
    return greys


def _evidence(greys: Floats, cores: Mask, tissue: Mask) -> Floats:
    """Compute the logarithm of the odds of resin against tissue from the grey value of each tile."""
    inside, outside = greys[cores], greys[tissue]
    width = max(4 * float(np.std(outside)), 8 * float(np.std(inside)), 1e-3)
    edges = np.linspace(-width, width, BINS + 1)
    densities = []
    for values in (inside, outside):
        counts = np.histogram(np.clip(values, -width, width), edges)[0].astype(float)
        counts = ndimage.gaussian_filter1d(counts, 1.0, mode="nearest")
        densities.append((counts + 0.5) / (counts.sum() + 0.5 * BINS))
    odds = np.clip(np.log(densities[0] / densities[1]), -STRONGEST, STRONGEST)
    grade = np.clip((greys + width) * (BINS / (2 * width)), 0, BINS - 1).astype(np.intp)
    return np.asarray(odds[grade], np.float32)


def _vote(evidence: Floats, cores: Mask, band: Mask) -> Mask:
    """Let neighbours vote; beliefs run from -1 (tissue) to 1 (resin)."""
    box = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in ndimage.find_objects((band | cores).astype(np.uint8))[0])
    odds, core, free = evidence[box], cores[box], band[box]
    belief = np.where(core, np.float32(1), np.where(free, np.tanh(odds / 2), np.float32(-1)))
    for _ in range(_ROUNDS):
        votes = odds.copy()
        for axis in range(3):
            padded = np.pad(belief, [(1, 1) if n == axis else (0, 0) for n in range(3)], mode="edge")
            length = belief.shape[axis]
            votes += COUPLING * (padded.take(range(length), axis) + padded.take(range(2, length + 2), axis))
        belief = np.where(free, np.tanh(votes / 2), belief)
    grown = cores.copy()
    grown[box] = belief > 0
    return grown
