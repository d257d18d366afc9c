"""From evidence and contrast to the mask of nanoparticles."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.gaussian_filtering import filter_repeating_border
from spherovem_core.nanoparticles.balls import ball_extent, close, dilate
from spherovem_core.nanoparticles.coarsening import box_shape, threshold_boxes
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

_TRUNCATE = 3.0
_SURROUNDINGS_TRUNCATE = 2.0
# Weight of the stack's background where few voxels of the surroundings are at hand, as a share of a full window.
_SHRINKAGE = 0.02


class Halo(NamedTuple):
    """Voxels around a block, along z and in the plane, on which its mask depends."""

    z: int
    yx: int


def threshold_evidence(parameters: NanoparticleParameters) -> float:
    """Log odds of the posterior's threshold."""
    return float(np.log(parameters.posterior_threshold) - np.log1p(-parameters.posterior_threshold))


def smoothing_radii(spacing_nm: SpacingNm, parameters: NanoparticleParameters) -> tuple[int, int, int]:
    """Voxels along each axis that the smoothing of the evidence reaches."""
    return _radii(parameters.smoothing_nm, spacing_nm, _TRUNCATE)


def mask_halo(spacing_nm: SpacingNm, parameters: NanoparticleParameters) -> Halo:
    """How far the mask of a voxel depends on others."""
    smoothing = smoothing_radii(spacing_nm, parameters)
    boxes = [n - 1 for n in box_shape(parameters.evidence_spacing_nm, spacing_nm)]
    edge = ball_extent(_edge_reach(spacing_nm, parameters), spacing_nm)
    around = _radii(parameters.surroundings_nm, spacing_nm, _SURROUNDINGS_TRUNCATE)
    closing = ball_extent(2 * parameters.closing_nm, spacing_nm)
    redrawn = (
        (0, 0, 0) if parameters.edge_reach_nm == 0 else (edge[0], edge[1] + around[1], edge[2] + around[2])
    )
    reach = [sum(parts) for parts in zip(smoothing, boxes, redrawn, closing, strict=True)]
    # One more, since a ball of two radii can reach one voxel further than two balls of one.
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

    The evidence is smoothed by a Gaussian, averaged over boxes of about `evidence_spacing_nm` where that is coarser than
    the voxels, and thresholded: neighbours vote, so that noise is not taken for particles. Votes shrink the outline and
    round it off, and a voxel's own posterior, which is against the background of the whole stack, places it where the
    brightest tissue ends rather than half-way up the edge. So the outline is drawn anew: within `edge_reach_nm` (a
    pixel at least) of what was found, a voxel belongs if its contrast is above the share `edge_share` between its
    surroundings (the mean of what was not found, by a Gaussian of `surroundings_nm` in the plane) and the particles'
    mean. Last, gaps are closed by a ball.

    Parameters
    ----------
    evidence : (Z, Y, X) ndarray of float32
        Log odds of the posterior, limited.
    contrast : (Z, Y, X) ndarray of float32, optional
        Intensity between the background's mean, 0, and the nanoparticles', 1. Without it, no outline is redrawn.
    spacing_nm, parameters
        Voxel size (dz, dy, dx), and what to do.
    origin
        Of the block in the volume, to which the boxes are aligned.

    Returns
    -------
    (Z, Y, X) ndarray of bool
        Away from the border of an inner block by `mask_halo`, it is what the whole volume would give.
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
    """Reach of redrawn outlines in nm: one pixel at least."""
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
    share = filter_repeating_border(outside, sigma, radius)
    around = filter_repeating_border(outside * contrast, sigma, radius)
    around /= share + np.float32(_SHRINKAGE)
    # A bright neighbour that was not found must not pass for the surroundings.
    np.clip(around, -1.0, 0.5, out=around)
    return near & (contrast - around > np.float32(parameters.edge_share) * (1 - around))
