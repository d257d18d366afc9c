"""Variation of information and adapted Rand error between two segmentations, from their table of overlaps."""

import math

import numpy as np
from numpy.typing import NDArray

from spherovem_core.label_overlaps import Contingency


def variation_of_information(table: Contingency, objects_only: bool = False) -> tuple[float, float]:
    """Compute the two parts of the variation of information, one for splits and one for mergers.

    Meilă 2007, "Comparing clusterings - an information based distance", J. Multivar. Anal. 98. An object cut in
    equal halves adds one bit times its fraction of the voxels to the split part.

    Parameters
    ----------
    table
        From `count_overlaps`.
    objects_only
        Leave out voxels of background in the truth, as is usual in connectomics, where the background is
        membrane. Otherwise the background counts as one object, as in ``skimage.metrics``.

    Returns
    -------
    split, merge
        Conditional entropies in bits: of the prediction given the truth, and of the truth given the prediction.
        NaN if no voxel is left.
    """
    kept = table.true.labels[table.rows] > 0 if objects_only else np.ones(len(table.rows), bool)
    rows, columns, voxels = table.rows[kept], table.columns[kept], table.voxels[kept].astype(np.float64)
    total = voxels.sum()
    if total == 0:
        return float("nan"), float("nan")
    split, merge = (_remaining_bits(side, voxels) / total for side in (rows, columns))
    return split, merge


def adapted_rand_error(table: Contingency) -> float:
    """Compute the adapted Rand error over the voxels of true objects: 0 for the same partition, 1 for no pair in common.

    One minus the harmonic mean of precision and recall of pairs of voxels in one object (Arganda-Carreras et al. 2015,
    "Crowdsourcing the creation of image segmentation algorithms for connectomics", Front. Neuroanat. 9); predicted background
    counts as one object, as in ``skimage.metrics.adapted_rand_error``. NaN if no pair of voxels is in one object.
    """
    kept = table.true.labels[table.rows] > 0
    rows, columns, voxels = table.rows[kept], table.columns[kept], table.voxels[kept].astype(np.float64)
    # Pairs of a voxel with itself do not count.
    common = float((voxels * (voxels - 1)).sum())
    of_true, of_predicted = (np.bincount(side, weights=voxels) for side in (rows, columns))
    pairs = float((of_true * (of_true - 1)).sum() + (of_predicted * (of_predicted - 1)).sum())
    return 1 - 2 * common / pairs if pairs else float("nan")


def cremi_score(table: Contingency) -> float:
    """Compute the score of the CREMI challenge: the geometric mean of variation of information and adapted Rand error.

    Both over the voxels of true objects; 0 is best (Funke et al. 2017, "MICCAI challenge on circuit reconstruction from electron
    microscopy images", cremi.org). NaN where one of both is.
    """
    split, merge = variation_of_information(table, objects_only=True)
    return math.sqrt((split + merge) * max(adapted_rand_error(table), 0.0))


def _remaining_bits(known: NDArray[np.intp], voxels: NDArray[np.float64]) -> float:
    """Return the sum over all voxels of the conditional information of one label given the known one, in bits."""
    size = np.bincount(known, weights=voxels)[known]
    return float((voxels * np.log2(size / voxels)).sum())
