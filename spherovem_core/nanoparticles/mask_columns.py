"""Mask of a slab, computed only in the columns that can hold particles."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Block, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.delineation import Halo, particle_mask, threshold_evidence
from spherovem_core.nanoparticles.intensity_tables import SliceTable, evidence_table, look_up, slice_table
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.nanoparticles.pruning import SIDE, EvidencePatches, possible_patches, sum_patches
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

# Side of a column in voxels.
COLUMN_SIDE = 256


class TabulatedSlice(NamedTuple):
    """A slice of the image with the tables of its intensities.

    Attributes
    ----------
    image : (Y, X) ndarray
    table
        Posterior and contrast of each intensity.
    evidence : (levels,) ndarray
        Log odds of each intensity.
    patches
        Evidence in patches of the slice.
    """

    image: NDArray[Any]
    table: SliceTable
    evidence: NDArray[np.float32]
    patches: EvidencePatches


class Column(NamedTuple):
    """A piece of a slab with its halo.

    Attributes
    ----------
    rows, columns
        Extent of the column's core in the slab.
    inner
        Core in coordinates of the column with its halo.
    origin
        First voxel of the column with its halo in the volume.
    images, tables
        Images of its slices, and evidence and contrast of their intensities.
    """

    rows: slice
    columns: slice
    inner: tuple[slice, slice, slice]
    origin: tuple[int, int, int]
    images: list[NDArray[Any]]
    tables: list[tuple[NDArray[np.float32], NDArray[np.float32]]]


def tabulate_slice(
    image: NDArray[Any], z: int, mixture: Mixture, parameters: NanoparticleParameters
) -> TabulatedSlice:
    """Tabulate the evidence and the contrast of slice z of the volume, and sum its evidence over patches."""
    image = np.ascontiguousarray(image)
    table = slice_table(mixture, z)
    evidence = evidence_table(table.posterior)
    return TabulatedSlice(
        image, table, evidence, sum_patches(image, evidence, threshold_evidence(parameters))
    )


def slab_mask(
    slices: Sequence[TabulatedSlice],
    block: Block,
    halo: Halo,
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
    execution: Execution,
) -> NDArray[np.uint8]:
    """Compute the mask of a slab's core from the slices of its outer region.

    Columns are left out if no patch within their halo can have smoothed evidence above the threshold
    (`possible_patches`). The result is the same.
    """
    core = block.inner[0]
    mask = np.zeros((core.stop - core.start, *slices[0].image.shape), np.uint8)
    possible = possible_patches([entry.patches for entry in slices], spacing_nm, parameters)
    columns = list(_possible_columns(slices, block, halo, possible))
    results = map_blocks(
        _column_mask, columns, spacing_nm, parameters,
        executor=execution.executor, ahead=4 * max(1, execution.workers),
    )  # fmt: skip
    for column, found in results:
        mask[:, column.rows, column.columns] = found
    return mask


def _column_mask(
    column: Column, spacing_nm: SpacingNm, parameters: NanoparticleParameters
) -> NDArray[np.bool_]:
    pairs = list(zip(column.images, column.tables, strict=True))
    evidence = np.stack([look_up(image, table) for image, (table, _) in pairs])
    contrast = np.stack([look_up(image, table) for image, (_, table) in pairs])
    return particle_mask(evidence, contrast, spacing_nm, parameters, column.origin)[column.inner]


def _possible_columns(
    slices: Sequence[TabulatedSlice], block: Block, halo: Halo, possible: NDArray[np.bool_]
) -> Iterator[Column]:
    height, width = slices[0].image.shape
    for y in range(0, height, COLUMN_SIDE):
        for x in range(0, width, COLUMN_SIDE):
            rows, columns = slice(y, min(y + COLUMN_SIDE, height)), slice(x, min(x + COLUMN_SIDE, width))
            around = tuple(
                slice(max(0, s.start - halo.yx), min(n, s.stop + halo.yx))
                for s, n in ((rows, height), (columns, width))
            )
            if not possible[tuple(slice(s.start // SIDE, -(-s.stop // SIDE)) for s in around)].any():
                continue
            inner = tuple(
                slice(s.start - a.start, s.stop - a.start)
                for s, a in zip((rows, columns), around, strict=True)
            )
            yield Column(
                rows,
                columns,
                (block.inner[0], inner[0], inner[1]),
                (block.outer[0].start, around[0].start, around[1].start),
                [entry.image[around] for entry in slices],
                [(entry.evidence, entry.table.contrast) for entry in slices],
            )
