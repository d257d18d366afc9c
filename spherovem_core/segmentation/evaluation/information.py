"""Variation of information between two segmentations, from their table of overlaps."""

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


def _remaining_bits(known: NDArray[np.intp], voxels: NDArray[np.float64]) -> float:
    """Return the sum over all voxels of the conditional information of one label given the known one, in bits."""
    size = np.bincount(known, weights=voxels)[known]
    return float((voxels * np.log2(size / voxels)).sum())
