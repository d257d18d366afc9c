"""Blur and slice depth of an acquisition, measured from the images and the extents of its objects."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.blur_fit import fit_blur
from spherovem_core.nanoparticles.objects import CropReader, FoundObject
from spherovem_core.spacing import SpacingNm, pixel_nm

# Distance between the 25 and the 75 % points of an edge, in standard deviations of a Gaussian blur.
_EDGE_OF_SIGMA = 1.349
_FEWEST = 5
# Objects whose edge is wider than this many times that of a ball do not show the depth of the slices.
_SHARP = 1.5
# Only compact objects have an edge that is blur alone.
_LATERAL, _FILL = 1.35, 0.65
_ASSUMED_SIGMA_PX, _LEAST_DRAWN_PX = 0.5, 0.3


class AcquisitionBlur(NamedTuple):
    """Blur of an acquisition.

    Attributes
    ----------
    sigma_nm
        Standard deviation in the plane, without the smoothing of this stage.
    edge_nm
        Width of a sharp edge after smoothing, from 25 to 75 % of its contrast.
    depth_nm
        Depth from which the signal of a slice comes.
    objects
        Number of objects it was measured on; 0 if it was assumed.
    depth_objects
        Number of objects the depth was measured on; 0 if it was assumed to be the distance of the slices.
    """

    sigma_nm: float
    edge_nm: float
    depth_nm: float
    objects: int
    depth_objects: int = 0

    def drawn_nm(self, spacing_nm: SpacingNm) -> float:
        """Return the blur with which balls are drawn: also the sharpest edge is spread over pixels."""
        return max(self.sigma_nm, _LEAST_DRAWN_PX * pixel_nm(spacing_nm))


def measure_blur(
    objects: Sequence[FoundObject],
    table: pd.DataFrame,
    reader: CropReader,
    smoothing_nm: tuple[float, float],
    largest_nm: float,
    execution: Execution | None = None,
) -> AcquisitionBlur:
    """Measure the blur from compact, isolated objects, and the depth of slices from their extent along z.

    The outline of a ball at a quarter and at three quarters of the contrast lie 1.35 standard deviations of the blur apart. Balls
    that are averaged over the thickness of a slice extend further along z than in the plane, by the variance of that thickness.

    Parameters
    ----------
    objects
        Objects of the stack.
    table
        One row per object with the columns of `PieceMeasures`.
    reader
        Reader of the image.
    smoothing_nm
        Standard deviations of this stage's smoothing along y and x.
    largest_nm
        Largest diameter of a particle.
    execution
        Executor of the fits; by default one thread.
    """
    pixel = reader.pixel_nm
    smoothing = float(np.sqrt(smoothing_nm[0] * smoothing_nm[1]))
    usable: NDArray[np.intp] = np.flatnonzero(
        table.isolated
        & ~table.cut
        & (table.section_nm > 3 * pixel)
        & (table.section_nm < largest_nm)
        & (table.lateral < _LATERAL)
        & (table.fill > _FILL)
        & (table.edge_nm > 0)
    )
    fitted = fit_blur([objects[int(n)] for n in usable], reader, execution)
    sigma = fitted.sigma_nm if fitted.objects else _ASSUMED_SIGMA_PX * pixel
    total = float(np.hypot(sigma, smoothing))
    edge = _EDGE_OF_SIGMA * total
    if not fitted.objects:
        return AcquisitionBlur(sigma, edge, reader.spacing_nm[0], 0)
    sharp = table.iloc[usable]
    sharp = sharp[sharp.edge_nm <= _SHARP * edge]
    depth, deep = _slice_depth(sharp, reader.spacing_nm, total)
    return AcquisitionBlur(sigma, edge, depth, len(usable), deep)


def _slice_depth(objects: pd.DataFrame, spacing_nm: SpacingNm, blur_nm: float) -> tuple[float, int]:
    """Tell whether slices show their whole thickness or their surface: the extent along z is compared with both.

    Returns
    -------
    depth : float
        Depth in nm; the distance of the slices where too few objects tell.
    objects : int
        Number of objects that told; 0 if too few do.
    """
    deep = objects[objects.section_nm.between(2.5 * spacing_nm[0], 6 * spacing_nm[0])]
    if len(deep) < _FEWEST:
        return spacing_nm[0], 0
    # `axial` has the variance of a whole slice taken off, and is relative to an extent in the plane that blur widens.
    ball = deep.section_nm.to_numpy() ** 2 / 20
    along = deep.axial.to_numpy() ** 2 * (ball + blur_nm**2) + spacing_nm[0] ** 2 / 12
    excess = float(np.median(along - ball))
    return (spacing_nm[0] if excess > spacing_nm[0] ** 2 / 24 else 0.0), len(deep)
