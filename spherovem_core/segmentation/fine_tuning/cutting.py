"""Slices cut from a volume in its three planes for labelling by hand."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.intensity_ranges import volume_percentile_range
from spherovem_core.parameters import ObjectParameters, SliceCuttingParameters
from spherovem_core.segmentation.fine_tuning.slice_files import PLANES, SliceOrigin
from spherovem_core.segmentation.grid import Grid, flow_grid
from spherovem_core.segmentation.resample import resample

AXES = "zyx"


def cut_slices(
    source: ArrayLike, source_grid: Grid, acquisition: str, parameters: SliceCuttingParameters
) -> Iterator[tuple[NDArray[np.uint8], SliceOrigin]]:
    """Cut slices on the grid of the network, spread over the volume.

    Along the third axis of a plane the volume is divided into equal parts, one for each slice, which lies at a random
    place in its part; its window within the plane is random too. One pass over the source finds the
    intensities; after that only the voxels of the slices are read.

    Parameters
    ----------
    source : (Z, Y, X) array
        The registered image, at a resolution at least as fine as the slices (see `source_level`).
    source_grid
        Grid of the source.
    acquisition
        Name of the volume, for the names of the slices.

    Yields
    ------
    (Y, X) ndarray of uint8, SliceOrigin
        Fewer slices of a plane than `slices_per_plane` if the volume is thinner than that.
    """
    chosen = ObjectParameters(
        flow_spacing_nm=parameters.flow_spacing_nm, normalise_percentiles=parameters.normalise_percentiles
    )
    grid = flow_grid(source_grid.shape, source_grid.spacing_nm, chosen, source_grid.origin_nm)
    black, white = volume_percentile_range(source, chosen.normalise_percentiles)
    scale, offset = _byte_scale(black, white)
    for plane in PLANES:
        axis = next(n for n, name in enumerate(AXES) if name not in plane)
        for region in choose_regions(grid.shape, axis, parameters):
            image = resample(source, source_grid, grid, region).squeeze(axis)
            image = np.clip(np.rint(image * scale + offset), 0, 255).astype(np.uint8)
            first = [
                origin + part.start * side
                for origin, part, side in zip(grid.origin_nm, region, grid.spacing_nm, strict=True)
            ]
            rows, columns = (n for n in range(3) if n != axis)
            yield (
                image,
                SliceOrigin(
                    acquisition,
                    plane,
                    first[axis],
                    (first[rows], first[columns]),
                    parameters.flow_spacing_nm,
                    black * scale + offset,
                    white * scale + offset,
                ),
            )


def choose_regions(
    shape: tuple[int, int, int], axis: int, parameters: SliceCuttingParameters
) -> list[tuple[slice, ...]]:
    """Draw regions with a thickness of one voxel along `axis`, in the order of their positions."""
    generator = np.random.default_rng((parameters.seed, axis))
    count = min(parameters.slices_per_plane, shape[axis])
    borders = np.linspace(0, shape[axis], count + 1).round().astype(int)
    regions = []
    for low, high in pairwise(borders.tolist()):
        region = []
        for extent in shape:
            side = min(extent, parameters.side_px)
            start = int(generator.integers(0, extent - side + 1))
            region.append(slice(start, start + side))
        place = int(generator.integers(low, high))
        region[axis] = slice(place, place + 1)
        regions.append(tuple(region))
    return regions


def _byte_scale(black: float, white: float) -> tuple[float, float]:
    """Return scale and offset: 1 and 0 if intensities fit a byte, else so that black and white lie well within it."""
    if 0 <= black < white <= 255 and white - black > 20:
        return 1.0, 0.0
    scale = 155 / max(white - black, 1e-6)
    return scale, 50 - black * scale
