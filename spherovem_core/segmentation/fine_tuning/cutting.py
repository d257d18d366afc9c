"""Slices cut from a volume in its three planes for labelling by hand."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.intensity_ranges import volume_percentile_range
from spherovem_core.parameters import FlowParameters, SliceCuttingParameters
from spherovem_core.segmentation.fine_tuning.places import Place, spread_places
from spherovem_core.segmentation.fine_tuning.slice_files import PLANES, SliceOrigin
from spherovem_core.segmentation.grid import Grid, flow_grid
from spherovem_core.segmentation.resample import resample


def cut_slices(
    source: ArrayLike,
    source_grid: Grid,
    acquisition: str,
    parameters: SliceCuttingParameters,
    places: Sequence[Place] | None = None,
    grid: Grid | None = None,
) -> Iterator[tuple[NDArray[np.uint8], SliceOrigin]]:
    """Cut slices on the grid of the network.

    One pass over the source finds the intensities; after that only the voxels of the slices are read.

    Parameters
    ----------
    source : (Z, Y, X) array
        The registered image, at a resolution at least as fine as the slices (see `source_level`).
    source_grid
        Grid of the source.
    acquisition
        Name of the volume, for the names of the slices.
    places
        Where to cut, such as `uncertain_places`; None spreads them over the volume (`spread_places`).
    grid
        `cutting_grid` of the finest level, which is that of the flows: coarser levels cover a little more. None takes that of the
        source.

    Yields
    ------
    (Y, X) ndarray of uint8, SliceOrigin
    """
    grid = cutting_grid(source_grid, parameters) if grid is None else grid
    black, white = volume_percentile_range(source, parameters.normalise_percentiles)
    scale, offset = _byte_scale(black, white)
    for axis, region in spread_places(grid.shape, parameters) if places is None else places:
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
                PLANES[axis],
                first[axis],
                (first[rows], first[columns]),
                parameters.flow_spacing_nm,
                black * scale + offset,
                white * scale + offset,
            ),
        )


def cutting_grid(source_grid: Grid, parameters: SliceCuttingParameters) -> Grid:
    """Return the grid of the network over a volume, on whose voxels slices lie."""
    flows = FlowParameters(flow_spacing_nm=parameters.flow_spacing_nm, planes=parameters.planes)
    return flow_grid(source_grid.shape, source_grid.spacing_nm, flows, source_grid.origin_nm)


def _byte_scale(black: float, white: float) -> tuple[float, float]:
    """Return scale and offset: 1 and 0 if intensities fit a byte, else so that black and white lie well within it."""
    if 0 <= black < white <= 255 and white - black > 20:
        return 1.0, 0.0
    scale = 155 / max(white - black, 1e-6)
    return scale, 50 - black * scale
