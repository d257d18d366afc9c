"""Regions of resin: where structure is missing, wide enough, outside of the specimen or enclosed by it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.nanoparticles.specimen.borders import grow_regions
from spherovem_core.nanoparticles.specimen.codes import LUMEN, OUTSIDE, SPECIMEN
from spherovem_core.nanoparticles.specimen.structure import (
    MOST_SAMPLES,
    average,
    structure_products,
    tissue_structure,
)
from spherovem_core.nanoparticles.specimen.tiles import EVEN, ODD
from spherovem_core.parameters.specimen import SpecimenParameters
from spherovem_core.spacing import SpacingNm

TISSUE_STRUCTURE = 0.3
"""Tiles with more than this fraction of the tissue's median structure are taken as samples of tissue."""
MOST_TISSUE = 0.5
"""Resin that takes more of the samples of tissue has no border: nothing stands out, and all is specimen."""
DISTINCT_STRUCTURE, DISTINCT_SPREADS, DISTINCT_WINDOW_NM = 0.3, 3.0, 250.0
"""A place is also a core where a narrow window has less than this fraction of the tissue's structure, and its grey value is
so many spreads from the tissue's median."""

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Evidence:
    """Structure that decided.

    Attributes
    ----------
    tissue, resin
        Median structure in tissue and in resin, in squared grey values; NaN without resin.
    """

    tissue: float
    resin: float


def find_regions(
    tiles: Floats, spacing_nm: SpacingNm, parameters: SpecimenParameters
) -> tuple[NDArray[np.uint8], Evidence]:
    """Find outside and lumina; returns the codes and the structure that decided.

    Parameters
    ----------
    tiles : (Z, 3, Y, X) ndarray of float32
        Without gaps (`fill_gaps`).
    spacing_nm
        Size of a tile.
    """
    products = structure_products(tiles, spacing_nm)
    structure = average(products, spacing_nm)
    typical = tissue_structure(structure)
    codes = np.full(structure.shape, SPECIMEN, np.uint8)
    flat = structure < parameters.max_resin_structure * typical
    tissue = structure > TISSUE_STRUCTURE * typical
    cores = flat | find_distinct(tiles, products, spacing_nm, tissue, typical)
    if typical <= 0 or not cores.any():
        return codes, Evidence(typical, float("nan"))
    resin = grow_regions(tiles, products, spacing_nm, cores, tissue & ~cores)
    if np.count_nonzero(resin & tissue) > MOST_TISSUE * np.count_nonzero(tissue):
        return codes, Evidence(typical, float("nan"))
    resin = fill_islands(resin, spacing_nm, parameters.min_resin_width_nm)
    labels, _ = ndimage.label(resin)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        region = labels[box] == label
        if not (region & cores[box]).any():
            continue
        outside = touches_sides(box, labels.shape)
        certain = outside and bool((region & flat[box]).any())
        wanted = parameters.min_resin_width_nm if certain else parameters.min_lumen_width_nm
        if region_width(region, box, labels.shape, spacing_nm) >= wanted:
            codes[box][region] = OUTSIDE if outside else LUMEN
    found = cores & (codes != SPECIMEN)
    return codes, Evidence(typical, float(np.median(structure[found])) if found.any() else float("nan"))


def find_distinct(
    tiles: Floats, products: Floats, spacing_nm: SpacingNm, tissue: Mask, typical: float
) -> Mask:
    """Find places of little structure whose grey value is not that of tissue, such as narrow lumina with a texture.

    A narrower window than that of cores sees less of the steep border. Droplets of up to 2 µm are no such places: they differ
    from the mean over 500 nm.
    """
    if not tissue.any():
        return np.zeros_like(tissue)
    structure = average(products, spacing_nm, DISTINCT_WINDOW_NM)
    greys = average((tiles[:, EVEN] + tiles[:, ODD]) / np.float32(2), spacing_nm, DISTINCT_WINDOW_NM)
    sample = greys[tissue]
    sample = sample[:: 1 + sample.size // MOST_SAMPLES]
    centre = float(np.median(sample))
    spread = 1.4826 * float(np.median(np.abs(sample - centre)))
    away = np.abs(greys - centre) > DISTINCT_SPREADS * spread
    return np.asarray(away & (structure < DISTINCT_STRUCTURE * typical))


def fill_islands(resin: Mask, spacing_nm: SpacingNm, width_nm: float) -> Mask:
    """Turn islands of tissue into resin that are smaller than a ball of the given width, such as single particles in resin."""
    labels, count = ndimage.label(~resin)
    if count == 0:
        return resin
    smallest = np.pi / 6 * width_nm**3 / np.prod(spacing_nm)
    return resin | (np.bincount(labels.ravel(), minlength=count + 1) < smallest)[labels] & (labels > 0)


def touches_sides(box: tuple[slice, ...], shape: tuple[int, ...]) -> bool:
    """Tell whether a box reaches the image's border along y or x."""
    return any(s.start == 0 or s.stop == n for s, n in zip(box[1:], shape[1:], strict=True))


def region_width(
    region: Mask, box: tuple[slice, ...], shape: tuple[int, ...], spacing_nm: SpacingNm
) -> float:
    """Measure the diameter in nm of the largest disc in a slice of a region, which continues beyond the image's border."""
    reach = [
        (region.shape[n] * (s.start == 0) or 1, region.shape[n] * (s.stop == length) or 1)
        for n, (s, length) in enumerate(zip(box, shape, strict=True))
    ][1:]
    widest = 0.0
    for plane in region:
        if not plane.any():
            continue
        padded = _extend(plane, reach)
        distance = ndimage.distance_transform_edt(padded, sampling=spacing_nm[1:])
        widest = max(widest, 2 * float(distance.max()) - min(spacing_nm[1:]))
    return widest


def _extend(plane: Mask, reach: list[tuple[int, int]]) -> Mask:
    """Continue a region beyond the border of the image; on sides inside the image it ends."""
    for axis, sides in enumerate(reach):
        for side, length in enumerate(sides):
            pads = [(0, 0), (0, 0)]
            pads[axis] = (length, 0) if side == 0 else (0, length)
            plane = np.pad(plane, pads, mode="edge") if length > 1 else np.pad(plane, pads)
    return plane
