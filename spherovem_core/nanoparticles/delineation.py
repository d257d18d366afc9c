"""Mask of nanoparticles from the evidence and the contrast of each voxel."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.gaussian_filtering import filter_repeating_border
from spherovem_core.nanoparticles.ball_morphology import ball_extent, close, dilate
from spherovem_core.nanoparticles.evidence_boxes import box_shape, threshold_boxes
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

_TRUNCATE = 3.0
_SURROUNDINGS_TRUNCATE = 2.0
# Weight of the stack's background where the window holds few voxels of the surroundings, as a fraction of a full window.
_SHRINKAGE = 0.02


class Halo(NamedTuple):
    """Number of voxels around a block, along z and in the plane, on which its mask depends."""

    z: int
    yx: int


def threshold_evidence(parameters: NanoparticleParameters) -> float:
    """Return the log odds of the posterior threshold."""
    return float(np.log(parameters.posterior_threshold) - np.log1p(-parameters.posterior_threshold))


def smoothing_radii(spacing_nm: SpacingNm, parameters: NanoparticleParameters) -> tuple[int, int, int]:
    """Count the voxels that the smoothing of the evidence reaches along each axis."""
    return _radii(parameters.smoothing_nm, spacing_nm, _TRUNCATE)


def mask_halo(spacing_nm: SpacingNm, parameters: NanoparticleParameters) -> Halo:
    """Compute how many voxels away the mask of a voxel depends on the image."""
    smoothing = smoothing_radii(spacing_nm, parameters)
    boxes = [n - 1 for n in box_shape(parameters.evidence_spacing_nm, spacing_nm)]
    edge = ball_extent(_edge_reach(spacing_nm, parameters), spacing_nm)
    around = _radii(parameters.surroundings_nm, spacing_nm, _SURROUNDINGS_TRUNCATE)
    closing = ball_extent(2 * parameters.closing_nm, spacing_nm)
    redrawn = (
        (0, 0, 0) if parameters.edge_reach_nm == 0 else (edge[0], edge[1] + around[1], edge[2] + around[2])
    )
    reach = [sum(parts) for parts in zip(smoothing, boxes, redrawn, closing, strict=True)]
    # One voxel more, because a ball of two radii can reach one voxel further than two balls of one radius.
    spare = 1 if parameters.closing_nm > 0 else 0
    return Halo(reach[0] + spare, max(reach[1:]) + spare)


def particle_mask(
    evidence: NDArray[np.float32],
    contrast: NDArray[np.float32] | None,
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
    origin: tuple[int, int, int] = (0, 0, 0),
) -> NDArray[np.bool_]:
    """Decide which voxels are nanoparticle.

    1. The evidence is smoothed by a Gaussian. Where `evidence_spacing_nm` is coarser than the voxels, it is also averaged
       over boxes of about that side. Then it is thresholded. Neighbours vote, so that noise does not become a particle.
    2. The outline is redrawn, because votes shrink it and round it off, and because the posterior of a voxel refers to the
       background of the whole stack and so puts the outline where the brightest tissue ends, not half-way up the edge.
       Within `edge_reach_nm` (at least one pixel) of the thresholded mask, a voxel belongs to a particle if its contrast
       is above the fraction `edge_fraction` of the way from its surroundings to the particles' mean. The surroundings are
       the mean of the voxels farther away, weighted by a Gaussian of `surroundings_nm` in the plane.
    3. A ball closes gaps.

    Parameters
    ----------
    evidence : (Z, Y, X) ndarray of float32
        Log odds of the posterior, limited to `EVIDENCE_LIMIT`.
    contrast : (Z, Y, X) ndarray of float32, optional
        Intensity on the scale where the background's mean is 0 and the nanoparticles' mean is 1. Without it, outlines are
        not redrawn.
    spacing_nm, parameters
        Voxel size (dz, dy, dx), and the parameters of the stage.
    origin
        First voxel of the block in the volume, to which the boxes are aligned.

    Returns
    -------
    (Z, Y, X) ndarray of bool
        Farther than `mask_halo` from the border of the block, the mask equals that of the whole volume.
    """
    sigma = [parameters.smoothing_nm / step for step in spacing_nm]
    evidence = filter_repeating_border(evidence, sigma, smoothing_radii(spacing_nm, parameters))
    box = box_shape(parameters.evidence_spacing_nm, spacing_nm)
    if max(box) > 1:
        mask = threshold_boxes(evidence, box, threshold_evidence(parameters), origin)
    else:
        mask = evidence > np.float32(threshold_evidence(parameters))
    if contrast is not None and parameters.edge_reach_nm > 0 and mask.any():
        mask = _redraw(mask, contrast, spacing_nm, parameters)
    return (
        close(mask, parameters.closing_nm, spacing_nm) if parameters.closing_nm > 0 and mask.any() else mask
    )


def _radii(sigma_nm: float, spacing_nm: SpacingNm, truncate: float) -> tuple[int, int, int]:
    z, y, x = (int(truncate * sigma_nm / step + 0.5) for step in spacing_nm)
    return z, y, x


def _edge_reach(spacing_nm: SpacingNm, parameters: NanoparticleParameters) -> float:
    """Return the reach of redrawn outlines in nm: at least one pixel."""
    return max(parameters.edge_reach_nm, *spacing_nm[1:])


def _redraw(
    found: NDArray[np.bool_],
    contrast: NDArray[np.float32],
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
) -> NDArray[np.bool_]:
    near = dilate(found, _edge_reach(spacing_nm, parameters), spacing_nm)
    sigma = [0.0, *(parameters.surroundings_nm / step for step in spacing_nm[1:])]
    radius = (0, *_radii(parameters.surroundings_nm, spacing_nm, _SURROUNDINGS_TRUNCATE)[1:])
    outside = (~near).astype(np.float32)
    fraction = filter_repeating_border(outside, sigma, radius)
    around = filter_repeating_border(outside * contrast, sigma, radius)
    around /= fraction + np.float32(_SHRINKAGE)
    # A bright neighbour that is not in the mask must not count as surroundings.
    np.clip(around, -1.0, 0.5, out=around)
    return near & (contrast - around > np.float32(parameters.edge_fraction) * (1 - around))
