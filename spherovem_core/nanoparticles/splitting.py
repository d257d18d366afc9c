"""Split of touching particles: between the balls that explain their image, as the microscope shows them."""

from dataclasses import replace

import fastremap
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import watershed

from spherovem_core.nanoparticles.component_fit import ComponentFit, fit_component
from spherovem_core.spacing import SpacingNm


def split_particles(
    mask: NDArray[np.bool_],
    intensity: NDArray[np.float32] | None,
    spacing_nm: SpacingNm,
    diameter_nm: tuple[float, float] | None = None,
    blur_nm: float | None = None,
    *,
    depth_nm: float | None = None,
) -> tuple[NDArray[np.uint32], ComponentFit]:
    """Split a component between the particles that explain its image.

    Parameters
    ----------
    mask, intensity, spacing_nm, diameter_nm, blur_nm, depth_nm
        As in `spherovem_core.nanoparticles.component_fit.fit_component`.

    Returns
    -------
    pieces : (Z, Y, X) ndarray of uint32
        Pieces, each of them connected, numbered from 1 in the order of their first voxels; 0 outside the component.
    fit
        Particles of the component in the order of the pieces, and a note if it was too large to be fitted and stayed whole.
    """
    fit = fit_component(mask, intensity, spacing_nm, diameter_nm, blur_nm, depth_nm=depth_nm)
    return (mask.astype(np.uint32), fit) if len(fit) < 2 else _cut(mask, fit, spacing_nm)


def _cut(
    mask: NDArray[np.bool_], fit: ComponentFit, spacing_nm: SpacingNm
) -> tuple[NDArray[np.uint32], ComponentFit]:
    """Give each voxel to the ball that it lies deepest in, or nearest to: the squared distance less the squared radius."""
    places = np.argwhere(mask)
    points = places * np.array(spacing_nm)
    depth = np.full(mask.shape, np.inf)
    seeds = np.zeros(mask.shape, np.int32)
    least = np.full(len(points), np.inf)
    for number, (centre, diameter) in enumerate(zip(fit.centres_nm, fit.diameters_nm, strict=True), start=1):
        power = ((points - centre) ** 2).sum(axis=1) - (0.5 * diameter) ** 2
        np.minimum(least, power, out=least)
        free = seeds[tuple(places.T)] == 0
        # Two balls in one slice of a thick stack can have the same nearest voxel: the second one takes the next.
        nearest = places[free][np.argmin(power[free])]
        seeds[tuple(nearest)] = number
    depth[tuple(places.T)] = least
    pieces = watershed(depth, seeds, connectivity=np.ones((3, 3, 3)), mask=mask)
    numbered, new_numbers = fastremap.renumber(np.ascontiguousarray(pieces, np.uint32), preserve_zero=True)
    order = np.argsort([new_numbers[number] for number in range(1, len(fit) + 1)])
    return np.asarray(numbered, np.uint32), replace(
        fit, centres_nm=fit.centres_nm[order], diameters_nm=fit.diameters_nm[order]
    )
