"""Labels from the posterior of a volume in memory: the plain version of what `segment_particles` does slab by slab."""

import cc3d
import fastremap
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.errors import ShapeMismatchError
from spherovem_core.nanoparticles.delineation import particle_mask
from spherovem_core.nanoparticles.intensity_tables import evidence_table, is_core
from spherovem_core.nanoparticles.splitting import MAX_BOX_VOXELS, split_component
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm


def label_particles(
    posterior: NDArray[np.floating],
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
    contrast: NDArray[np.float32] | None = None,
) -> NDArray[np.uint32]:
    """Label nanoparticles in 3D.

    The mask is that of `spherovem_core.nanoparticles.delineation.particle_mask`. Its connected components (voxels that share
    a face, an edge or a corner) are labelled. Components without a core
    (`spherovem_core.nanoparticles.intensity_tables.is_core`) are dropped, the others are split if `split_touching` is on, and
    particles below `min_volume_nm3` are dropped.

    Parameters
    ----------
    posterior : (Z, Y, X) ndarray of float
        Probability of each voxel; it is rounded to float16 as it is stored.
    spacing_nm
        Voxel size (dz, dy, dx).
    parameters
        Parameters of the stage.
    contrast : (Z, Y, X) ndarray of float32, optional
        From `spherovem_core.nanoparticles.contrast`. Without it, outlines are not redrawn.

    Returns
    -------
    (Z, Y, X) ndarray of uint32
        0 is background; particles are numbered from 1 in the order of their first voxels.

    Raises
    ------
    ShapeMismatchError
        If the posterior does not have three axes, or the contrast has another shape.
    """
    if posterior.ndim != 3 or (contrast is not None and contrast.shape != posterior.shape):
        raise ShapeMismatchError(
            f"posterior {posterior.shape} and contrast {None if contrast is None else contrast.shape} must be two "
            "(Z, Y, X) arrays of one shape"
        )
    mask = particle_mask(evidence_table(posterior), contrast, spacing_nm, parameters)
    labels = cc3d.connected_components(mask, connectivity=26, out_dtype=np.uint32)
    with_core = np.zeros(int(labels.max()) + 1, np.bool_)
    with_core[labels[mask & is_core(posterior, contrast, parameters)]] = True
    labels[~with_core[labels]] = 0
    if parameters.split_touching:
        labels = _split(labels, spacing_nm, parameters)
    smallest = parameters.min_volume_nm3 / float(np.prod(spacing_nm))
    kept = np.bincount(labels.ravel()) >= smallest
    return renumber(np.where(kept[labels], labels, 0))


def renumber(labels: NDArray[np.integer]) -> NDArray[np.uint32]:
    """Number labels from 1 in the order of their first voxels."""
    out, _ = fastremap.renumber(np.ascontiguousarray(labels, np.uint32), preserve_zero=True)
    return np.asarray(out, np.uint32)


def _split(
    labels: NDArray[np.uint32], spacing_nm: SpacingNm, parameters: NanoparticleParameters
) -> NDArray[np.uint32]:
    out = np.zeros_like(labels)
    used = 0
    for number, region in enumerate(ndimage.find_objects(labels.astype(np.int32)), start=1):
        mask = labels[region] == number
        small = mask.sum() * np.prod(spacing_nm) < 2 * parameters.min_volume_nm3
        whole = small or mask.size > MAX_BOX_VOXELS
        pieces = mask.astype(np.uint32) if whole else split_component(mask, spacing_nm, parameters)
        np.add(
            out[region], np.where(pieces > 0, pieces + np.uint32(used), 0), out=out[region], casting="unsafe"
        )
        used += int(pieces.max())
    return out
