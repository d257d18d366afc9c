"""Labelled scenes for the tests of the segmentation, and short calls of it."""

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from spherovem_core.blocks import MemorySink, block_grid
from spherovem_core.execution import Execution
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import MaskInputs, segment_masks
from spherovem_core.segmentation.block_supervoxels import number_supervoxels
from spherovem_core.segmentation.flow_error import volume_flows
from spherovem_core.segmentation.grid import Grid
from spherovem_core.segmentation.supervoxels import Supervoxels

SPACING = (50.0, 10.0, 10.0)
EVERYTHING = ObjectParameters(min_diameter_um=0.0, flow_smoothing=0.0, merge_boundary_strength=0.0)


def packed_cells(shape: tuple[int, int, int], count: int, seed: int = 0, gap: float = 0.8) -> np.ndarray:
    """Make Voronoi cells of random points, with gaps between them."""
    generator = np.random.default_rng(seed)
    seeds = generator.uniform(0, 1, (count, 3)) * shape
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    distance, owner = cKDTree(seeds).query(points, k=2)
    labels = (owner[..., 0] + 1).astype(np.uint32)
    labels[distance[..., 1] - distance[..., 0] < gap] = 0
    # Cells of which the border leaves a sliver are removed.
    sizes = np.bincount(labels.ravel())
    labels[sizes[labels] < 400] = 0
    return labels


def ideal(labels: np.ndarray) -> np.ndarray:
    """Compute the flows (4, Z, Y, X) that a network should predict for labels."""
    return np.concatenate([volume_flows(labels), np.where(labels > 0, 4.0, -4.0)[None]]).astype(np.float32)


def segment(
    flows: Any,
    grid: Grid,
    target: Grid,
    parameters: ObjectParameters,
    image: np.ndarray | None = None,
    execution: Execution | None = None,
) -> tuple[np.ndarray, int]:
    """Make labels by `segment_masks` on arrays in memory, and return them and their number."""
    labels, scratch = (np.zeros(target.shape, np.uint32) for _ in range(2))
    count = segment_masks(
        MaskInputs(flows, grid, target, image),
        MemorySink(scratch),
        MemorySink(labels),
        parameters,
        execution or Execution(),
    )
    return labels, count


def supervoxels_of(
    labels: np.ndarray,
    block: int | tuple[int, int, int],
    values: np.ndarray | None = None,
    fill_holes: bool = True,
    halo: int = 8,
) -> tuple[Supervoxels, np.ndarray]:
    """Find the supervoxels of known labels in blocks of a given side, and the supervoxel of each voxel.

    `values` (2, Z, Y, X) are the probability and the gradient.
    """
    numbers = np.zeros(labels.shape, np.uint32)
    background, statistics = np.ones(1, bool), []
    sides = (block,) * 3 if isinstance(block, int) else block
    for one in block_grid(labels.shape, sides, halo):
        measured = None
        if values is not None:
            before = tuple(slice(max(0, s.start - 1), s.stop) for s in one.core)
            measured = np.pad(
                values[(slice(None), *before)], [(0, 0)] + [(int(s.start == 0), 0) for s in one.core]
            ).astype(np.float32)
        core, own = number_supervoxels(
            one, labels[one.outer].astype(np.uint32), numbers, background, measured, fill_holes
        )
        numbers[one.core] = core
        background = np.concatenate([background, own.background])
        statistics.append(own)
    return Supervoxels(statistics), numbers
