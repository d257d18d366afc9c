"""The mask of a slab, computed only in the columns where it can hold anything."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Block, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.delineation import Halo, particle_mask, threshold_evidence
from spherovem_core.nanoparticles.lookup import SliceTable, evidence_table, look_up, slice_table
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.nanoparticles.pruning import SIDE, Squares, find_squares, possible_squares
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

# Side of the columns.
TILE = 256


class Plane(NamedTuple):
    """One slice of the image with what its intensities mean.

    Attributes
    ----------
    image : (Y, X) ndarray
    table
        Posterior and contrast of each intensity.
    evidence : (levels,) ndarray
        Log odds of each intensity.
    squares
        Where its evidence is high.
    """

    image: NDArray[Any]
    table: SliceTable
    evidence: NDArray[np.float32]
    squares: Squares


class Column(NamedTuple):
    """A piece of a slab with its halo: where it lies in the slab and with its halo in the volume, its images and tables."""

    rows: slice
    columns: slice
    inner: tuple[slice, slice, slice]
    origin: tuple[int, int, int]
    images: list[NDArray[Any]]
    tables: list[tuple[NDArray[np.float32], NDArray[np.float32]]]


def read_plane(image: NDArray[Any], z: int, mixture: Mixture, parameters: NanoparticleParameters) -> Plane:
    """Prepare slice z of the volume."""
    image = np.ascontiguousarray(image)
    table = slice_table(mixture, z)
    evidence = evidence_table(table.posterior)
    return Plane(image, table, evidence, find_squares(image, evidence, threshold_evidence(parameters)))


def slab_mask(
    planes: Sequence[Plane],
    block: Block,
    halo: Halo,
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
    execution: Execution,
) -> NDArray[np.uint8]:
    """Mask of the slices of a slab's core, given those of its outer region.

    Columns without a square in which the smoothed evidence can be above the threshold (`possible_squares`) within
    their halo are left out; the result is the same.
    """
    core = block.inner[0]
    mask = np.zeros((core.stop - core.start, *planes[0].image.shape), np.uint8)
    possible = possible_squares([plane.squares for plane in planes], spacing_nm, parameters)
    columns = list(_hot_columns(planes, block, halo, possible))
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


def _hot_columns(
    planes: Sequence[Plane], block: Block, halo: Halo, possible: NDArray[np.bool_]
) -> Iterator[Column]:
    height, width = planes[0].image.shape
    for y in range(0, height, TILE):
        for x in range(0, width, TILE):
            rows, columns = slice(y, min(y + TILE, height)), slice(x, min(x + TILE, width))
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
                [plane.image[around] for plane in planes],
                [(plane.evidence, plane.table.contrast) for plane in planes],
            )
