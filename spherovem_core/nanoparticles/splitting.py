"""Split of touching particles by a watershed on the distance to their surface."""

import edt
import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as label_regions
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

# A component with more voxels in its bounding box stays whole: its distance map would not fit in memory.
MAX_BOX_VOXELS = 32_000_000


def split_component(
    mask: NDArray[np.bool_], spacing_nm: SpacingNm, parameters: NanoparticleParameters
) -> NDArray[np.uint32]:
    """Split a component at its necks.

    Parameters
    ----------
    mask : (Z, Y, X) ndarray of bool
        Mask of the component in its bounding box.
    spacing_nm
        Voxel size (dz, dy, dx).
    parameters
        Seeds are the maxima of the distance to the surface that rise `split_depth_nm` above the passes between them
        (h-maxima).

    Returns
    -------
    (Z, Y, X) ndarray of uint32
        Pieces numbered from 1 in the order of their seeds; 0 outside the component.
    """
    padded = np.pad(mask, 1)
    distance = edt.edt(padded, anisotropy=spacing_nm, black_border=True)
    # skimage's own h_maxima marks two equal peaks even where no pass between them is deep enough.
    flattened = reconstruction(distance - np.float32(parameters.split_depth_nm), distance)
    seeds = label_regions(local_maxima(flattened, connectivity=3), connectivity=3)
    inner = (slice(1, -1),) * 3
    if seeds.max() < 2:
        return mask.astype(np.uint32)
    pieces = watershed(-distance, seeds, connectivity=np.ones((3, 3, 3)), mask=padded)
    return np.asarray(pieces[inner], np.uint32)
