"""Border of resin, found at the resolution of the tiles from the grey values on its two sides."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.gaussian_filtering import filter_repeating_border
from spherovem_core.nanoparticles.specimen.structure import MOST_SAMPLES, average
from spherovem_core.nanoparticles.specimen.tiles import EVEN, ODD
from spherovem_core.spacing import SpacingNm

REACH_NM = 1500.0
"""Border of resin lies at most so far from its core: the structure of tissue blurs into resin over the window's width."""
LOCAL_NM = 1500.0
"""Grey value of resin is averaged over a Gaussian of this width, in each slice: it follows shading and changes of brightness."""
BINS = 64
COUPLING = 1.2
"""Weight of each of the six neighbours against the evidence of a tile's own grey value."""
STRONGEST, FLATNESS = 4.0, 2.0
"""Largest evidence of one tile from its grey value and from its structure, as logarithms of odds. Structure counts less, because
a step of the grey value at the border looks like structure too: with 4 for both, resin of grey 145 lost 10 % to tissue."""
NARROW_NM = 250.0
"""Width of the window in which structure near the border is measured, and of the search for the flattest place near a tile."""
SEED_DEPTH_NM = 380.0
CLEAR_CONTRAST = 2.0
"""Difference between the grey values of resin and tissue, in spreads, from which they alone decide, also far from cores."""
LEAST_GROWTH = 0.005
_PASSES, _ROUNDS = 6, 12

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def grow_regions(tiles: Floats, products: Floats, spacing_nm: SpacingNm, cores: Mask, tissue: Mask) -> Mask:
    """Grow cores of resin to where the grey values become those of tissue.

    Each tile within reach is compared with the distributions of grey values in cores and in tissue, both relative to the resin
    nearby. Neighbours vote (mean-field approximation of a Potts model), so that single tiles do not decide.

    Parameters
    ----------
    tiles : (Z, 3, Y, X) ndarray of float32
    products : (Z, Y, X) ndarray of float32
        Products of structure (`structure_products`).
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
    near = _near(cores, spacing_nm)
    samples = tissue & ~near if (tissue & ~near).any() else tissue & ~cores
    if not samples.any():
        return cores
    grown = seeds = cores
    flatness = _flatness(products, spacing_nm)
    for _ in range(_PASSES):
        greys = _relative_greys(tiles, spacing_nm, seeds)
        evidence, free = _evidence(greys, seeds, samples), np.ones_like(cores)
        doubt = 1 - _grey_contrast(greys, seeds, samples) / CLEAR_CONTRAST
        if doubt > 0:
            free = _near(seeds, spacing_nm)
            evidence += doubt * np.clip(_evidence(flatness, cores, samples), -FLATNESS, FLATNESS)
        before, grown = grown, _vote(evidence, cores, free & ~cores)
        if np.count_nonzero(grown ^ before) < LEAST_GROWTH * np.count_nonzero(grown):
            break
        seeds = cores | _wide_parts(grown, spacing_nm)
    return grown


def _flatness(products: Floats, spacing_nm: SpacingNm) -> Floats:
    """Measure the least structure within `NARROW_NM`: resin is flat on one side at least up to its border."""
    reach = [1 + 2 * round(NARROW_NM / step) for step in spacing_nm]
    least = ndimage.minimum_filter(average(products, spacing_nm, NARROW_NM), reach, mode="nearest")
    return np.sqrt(np.maximum(least, 0))


def _near(region: Mask, spacing_nm: SpacingNm) -> Mask:
    """Widen a region by a box of `REACH_NM` on each side."""
    sides = [1 + 2 * round(REACH_NM / step) for step in spacing_nm]
    return np.asarray(ndimage.maximum_filter(region, sides, mode="nearest"))


def _grey_contrast(greys: Floats, resin: Mask, tissue: Mask) -> float:
    """Measure how far the grey values of resin and tissue lie apart, in spreads.

    Medians are taken, because resin that is not yet found is among the tissue.
    """
    inside, outside = _sample(greys, resin), _sample(greys, tissue)
    centre = float(np.median(outside))
    spread = 1.4826 * float(np.median(np.abs(outside - centre))) + float(np.std(inside))
    return abs(centre - float(np.median(inside))) / max(spread, 1e-3)


def _sample(measure: Floats, places: Mask) -> Floats:
    values = measure[places]
    return values[:: 1 + values.size // MOST_SAMPLES]


def _wide_parts(region: Mask, spacing_nm: SpacingNm) -> Mask:
    """Keep what is deeper in a region than `SEED_DEPTH_NM`, slice by slice: thin leaks into tissue do not grow on."""
    sides = [1, *(1 + 2 * round(SEED_DEPTH_NM / step) for step in spacing_nm[1:])]
    return np.asarray(ndimage.minimum_filter(region, sides, mode="nearest"))


def _relative_greys(tiles: Floats, spacing_nm: SpacingNm, cores: Mask) -> Floats:
    """Subtract the local grey value of resin, of the same slice."""
    known = np.flatnonzero(cores.any(axis=(1, 2)))
    # A slice without a core takes the place of the core from the nearest slice that has one.
    places = cores[known[np.abs(known[:, None] - np.arange(len(cores))).argmin(axis=0)]]
    means = (tiles[:, EVEN] + tiles[:, ODD]) / 2
    own = [float(mean[place].mean()) for mean, place in zip(means, places, strict=True)]
    means -= np.array(own, np.float32)[:, None, None]
    sigma = [0.0, *(LOCAL_NM / step for step in spacing_nm[1:])]
    radius = [int(3 * s + 0.5) for s in sigma]
    weight = filter_repeating_border(places.astype(np.float32), sigma, radius)
    total = filter_repeating_border(np.where(places, means, np.float32(0)), sigma, radius)
    return np.asarray(means - total / (weight + np.float32(1e-3)), np.float32)


def _evidence(measure: Floats, resin: Mask, tissue: Mask) -> Floats:
    """Compute the logarithm of the odds of resin against tissue from a measure of each tile."""
    inside, outside = _sample(measure, resin), _sample(measure, tissue)
    low, high = (np.quantile(np.concatenate([inside, outside]), q) for q in (0.001, 0.999))
    low, high = min(low, float(inside.min())), max(high, float(inside.max()), low + 1e-3)
    edges = np.linspace(low, high, BINS + 1)
    densities = []
    for values in (inside, outside):
        counts = np.histogram(np.clip(values, low, high), edges)[0].astype(float)
        counts = ndimage.gaussian_filter1d(counts, 1.0, mode="nearest")
        densities.append((counts + 0.5) / (counts.sum() + 0.5 * BINS))
    odds = np.clip(np.log(densities[0] / densities[1]), -STRONGEST, STRONGEST)
    grade = np.clip((measure - low) * (BINS / (high - low)), 0, BINS - 1).astype(np.intp)
    return np.asarray(odds[grade], np.float32)


def _vote(evidence: Floats, cores: Mask, band: Mask) -> Mask:
    """Let neighbours vote; beliefs run from -1 (tissue) to 1 (resin)."""
    box = tuple(
        slice(max(0, s.start - 1), s.stop + 1)
        for s in ndimage.find_objects((band | cores).astype(np.uint8))[0]
    )
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
