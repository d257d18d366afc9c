"""Depth of slices, measured on clumps where too few particles lie apart."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from spherovem_core.blocks import map_blocks
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.acquisition_blur import AcquisitionBlur
from spherovem_core.nanoparticles.clumps import (
    LARGEST_TRIAL,
    UNEXPLAINED,
    is_solid,
    may_be_clump,
    read_clump,
    unexplained,
)
from spherovem_core.nanoparticles.local_contrast import largest_diameter
from spherovem_core.nanoparticles.objects import CropReader, FoundObject
from spherovem_core.nanoparticles.splitting import split_particles
from spherovem_core.parameters import NanoparticleParameters

# Clumps that are fitted, and clumps that balls must explain for the depth to count as measured.
_MOST, _FEWEST = 24, 3


def with_depth_of_clumps(
    blur: AcquisitionBlur,
    objects: Sequence[FoundObject],
    table: pd.DataFrame,
    reader: CropReader,
    parameters: NanoparticleParameters,
    execution: Execution,
) -> AcquisitionBlur:
    """Tell from clumps whether slices show their whole thickness or their surface, where single objects did not.

    Balls are fitted to each clump with both depths. The true depth leaves less of the image unexplained: half of it in clumps of
    particles four to nine pixels wide. The depth that leaves less in most clumps is taken.

    Parameters
    ----------
    blur
        Blur as single objects show it; returned as it is where they show the depth.
    objects, table
        Objects of the stack, and their measures.
    reader
        Reader of the image.
    parameters
        Parameters of the stage.
    execution
        Executor of the fits.
    """
    if blur.depth_objects or not len(objects):
        return blur
    voxel = float(np.prod(reader.spacing_nm))
    diameters = np.cbrt(6 / np.pi * voxel * table.voxels.to_numpy(np.float64))
    largest = LARGEST_TRIAL * largest_diameter(parameters)
    numbers = may_be_clump(table, diameters, is_solid(table, reader), largest)[:_MOST]
    results = map_blocks(
        _residuals, [objects[n] for n in numbers], reader, blur,
        executor=execution.executor, ahead=4 * max(1, execution.workers),
    )  # fmt: skip
    told = [pair for _, pair in results if pair is not None]
    if len(told) < _FEWEST:
        return blur
    surface, whole = np.log(np.maximum(told, 1e-6)).T
    depth = 0.0 if np.median(whole - surface) > 0 else float(reader.spacing_nm[0])
    return blur._replace(depth_nm=depth, depth_objects=len(told))


def _residuals(entry: FoundObject, reader: CropReader, blur: AcquisitionBlur) -> tuple[float, float] | None:
    """Fit balls to a body for slices that show planes, and for whole ones; None if balls explain it in neither way."""
    clump = read_clump(entry, reader)
    blur_nm, spacing = blur.drawn_nm(reader.spacing_nm), reader.spacing_nm
    left = []
    for depth in (0.0, float(spacing[0])):
        _, fit = split_particles(clump.mask, clump.image, spacing, None, blur_nm, depth_nm=depth)
        if len(fit) < 2:
            return None
        left.append(unexplained(fit, clump, spacing, blur_nm, depth)[0])
    return (left[0], left[1]) if min(left) < UNEXPLAINED else None
