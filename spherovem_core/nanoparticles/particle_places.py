"""Places of particles in the specimen mask, and the warning on many particles at its border."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.label_statistics import CENTROID_COLUMNS
from spherovem_core.nanoparticles.specimen.codes import CODES, OUTSIDE, Specimen
from spherovem_core.spacing import NM_PER_UM

# A tenth of the particles, and two at least: a single one at the border of a sparse stack is no sign of an error.
_MANY, _FEWEST = 0.1, 2


def name_places(objects: pd.DataFrame, specimen: Specimen) -> NDArray[np.object_]:
    """Name the part of the specimen mask that holds the centroid of each object.

    Parameters
    ----------
    objects
        Table with the columns ``centroid_z_um`` to ``centroid_x_um``.
    specimen
        Specimen mask of the same volume.

    Returns
    -------
    (N,) ndarray of str
        ``specimen``, ``lumen``, ``outside`` or ``charging``.
    """
    z, y, x = _tiles(objects, specimen).T
    names = np.array([CODES[code] for code in sorted(CODES)], object)
    return np.asarray(names[np.asarray(specimen.codes[:])[z, y, x]])


def border_warning(particles: pd.DataFrame, specimen: Specimen) -> str | None:
    """Return a warning if many particles lie outside the specimen, or within one voxel of the mask from its border.

    The edge of resin or of an empty frame is as bright as a particle in some images, and is found as one.

    Parameters
    ----------
    particles
        Table of the particles with the columns ``centroid_z_um`` to ``centroid_x_um``.
    specimen
        Specimen mask of the same volume.
    """
    from scipy import ndimage

    if not len(particles):
        return None
    outside = np.asarray(specimen.codes[:]) == OUTSIDE
    near = ndimage.binary_dilation(outside, np.ones((3, 3, 3), bool))
    z, y, x = _tiles(particles, specimen).T
    count, beyond = int(near[z, y, x].sum()), int(outside[z, y, x].sum())
    if count < max(_FEWEST, _MANY * len(particles)):
        return None
    return (
        f"{count} of {len(particles)} nanoparticles touch the border of the specimen or lie outside it ({beyond}): edges of "
        "resin may be among them; look at the specimen mask, and set nanoparticles.find_resin to false if it takes tissue for "
        "resin, nanoparticles.expected_diameter_nm if not"
    )


def _tiles(objects: pd.DataFrame, specimen: Specimen) -> NDArray[np.int64]:
    """Find the voxels of the mask that hold the centroids (N, 3)."""
    spacing_um = np.array(specimen.spacing_nm) / specimen.factors / NM_PER_UM
    voxels = np.rint(objects[list(CENTROID_COLUMNS)].to_numpy(np.float64) / spacing_um).astype(np.int64)
    last = np.array(specimen.codes.shape) - 1
    return np.asarray(np.clip(voxels // specimen.factors, 0, last), np.int64)
