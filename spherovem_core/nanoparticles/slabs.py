"""One slab of the second pass: posterior, mask, components of its own, and what merging needs to know of them."""

from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block
from spherovem_core.nanoparticles.components import Measures, Plane, measure, plane_of
from spherovem_core.nanoparticles.delineation import mask_halo, particle_mask, threshold_evidence
from spherovem_core.nanoparticles.lookup import evidence_table, look_up, slice_table
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

# Side of the columns of a slab that are left out where no voxel's evidence reaches the threshold.
_TILE = 128


@dataclass(frozen=True)
class SlabSummary:
    """The components of one slab, numbered from 1.

    Attributes
    ----------
    measures
        Of the components.
    top, bottom
        Labelled voxels of the slab's first and last slice.
    """

    measures: Measures
    top: Plane
    bottom: Plane


@dataclass(frozen=True)
class SlabResult:
    """What a slab adds to the volume: (Z, Y, X) float16 posterior, uint32 labels of its own, and their summary."""

    posterior: NDArray[np.float16]
    labels: NDArray[np.uint32]
    summary: SlabSummary


def segment_slab(
    block: Block,
    source: ArrayLike,
    spacing_nm: SpacingNm,
    mixture: Mixture,
    parameters: NanoparticleParameters,
) -> SlabResult:
    """Compute a slab from the image and its halo.

    Parameters
    ----------
    block
        Slab whose outer region reaches `mask_halo` slices further.
    source : (Z, Y, X) array-like of uint8 or uint16
    """
    outer = block.outer[0]
    image = np.ascontiguousarray(source[block.outer])
    tables = [slice_table(mixture, z) for z in range(outer.start, outer.stop)]
    core = block.inner[0]
    posterior = np.empty((core.stop - core.start, *image.shape[1:]), np.float16)
    for out, z in zip(posterior, range(core.start, core.stop), strict=True):
        look_up(image[z], tables[z].posterior.astype(np.float16), out)
    mask = _mask(image, core, [table[:2] for table in tables], spacing_nm, parameters)
    labels, count = cc3d.connected_components(mask, connectivity=26, return_N=True, out_dtype=np.uint32)
    summary = summarise(block, source.shape, image[core], posterior, labels, int(count))
    return SlabResult(posterior, labels, summary)


def summarise(
    block: Block,
    shape: tuple[int, ...],
    image: NDArray[Any],
    posterior: NDArray[np.float16],
    labels: NDArray[np.uint32],
    count: int,
) -> SlabSummary:
    """Measure a slab's components and keep its outermost slices; all arrays are the block's core."""
    origin = (block.core[0].start, 0, 0)
    return SlabSummary(
        measure(labels, count, posterior, np.ascontiguousarray(image), origin, shape),
        plane_of(labels[0]),
        plane_of(labels[-1]),
    )


def _mask(
    image: NDArray[Any],
    core: slice,
    tables: list[Any],
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
) -> NDArray[np.uint8]:
    """Mask of the slab's core, computed in the columns where any voxel's evidence is above the threshold.

    A smoothed value above a threshold needs a value above it: elsewhere the mask is empty without being computed.
    """
    limit = threshold_evidence(parameters)
    evidence = [evidence_table(posterior) for posterior, _ in tables]
    hot = np.empty(image.shape, np.uint8)
    for out, plane, table in zip(hot, image, evidence, strict=True):
        look_up(plane, (table > limit).astype(np.uint8), out)
    halo = mask_halo(spacing_nm, parameters).yx
    _, height, width = image.shape
    mask = np.zeros((core.stop - core.start, height, width), np.uint8)
    for y in range(0, height, _TILE):
        for x in range(0, width, _TILE):
            rows, columns = (
                slice(max(0, s - halo), min(n, s + _TILE + halo)) for s, n in ((y, height), (x, width))
            )
            if not hot[:, rows, columns].any():
                continue
            pieces = [image[z, rows, columns] for z in range(len(image))]
            tile = particle_mask(
                np.stack([look_up(piece, table) for piece, table in zip(pieces, evidence, strict=True)]),
                np.stack([look_up(piece, table[1]) for piece, table in zip(pieces, tables, strict=True)]),
                spacing_nm,
                parameters,
            )
            inner = tile[
                core, y - rows.start : y - rows.start + _TILE, x - columns.start : x - columns.start + _TILE
            ]
            mask[:, y : y + _TILE, x : x + _TILE] = inner
    return mask
