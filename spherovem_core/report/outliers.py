"""Ranking of objects by how much they differ from the others."""

import numpy as np
import pandas as pd

DESCRIPTORS = {
    "volume_um3": "volume",
    "sphericity": "sphericity",
    "mean_curvature_mean_per_um": "mean curvature",
    "shape_index_mean_at_scale": "shape index",
    "curvedness_mean_at_scale_per_um": "curvedness",
    "solidity": "solidity",
    "fractal_dimension": "fractal dimension",
}
AS_LOGARITHM = {"volume_um3"}
FEWEST = 4
"""Least number of objects to rank: fewer have no meaningful spread."""


def rank_unusual(table: pd.DataFrame) -> pd.DataFrame:
    """Rank objects by how far their most unusual descriptor lies from the median.

    Distances are in median absolute deviations times 1.4826, which is the standard deviation of normal values [1]_.

    Parameters
    ----------
    table
        Table of cells or nuclei. Leave out those that the border of the volume cuts: the cut changes their shape.

    Returns
    -------
    DataFrame
        ``label``; ``distance``, the largest over all descriptors; ``descriptor`` with that distance; ``above``, true if its
        value exceeds the median. The most unusual object comes first. Empty with fewer than four objects.

    References
    ----------
    .. [1] P. J. Rousseeuw, C. Croux, "Alternatives to the median absolute deviation", Journal of the American Statistical
       Association 88, 1273-1283 (1993).
    """
    # Tables of an earlier version, which a migration keeps, lack some descriptors.
    values = table.reindex(columns=list(DESCRIPTORS)).astype(float)
    values[list(AS_LOGARITHM)] = np.log(values[list(AS_LOGARITHM)])
    deviation = values - values.median()
    spread = 1.4826 * deviation.abs().median()
    distances = deviation / spread.where(spread > 0)
    known = distances.notna().any(axis=1)
    if known.sum() < FEWEST:
        return pd.DataFrame({"label": [], "distance": [], "descriptor": [], "above": []})
    distances = distances[known]
    most = distances.abs().fillna(0.0).to_numpy().argmax(axis=1)
    signed = distances.to_numpy()[np.arange(len(most)), most]
    ranked = pd.DataFrame(
        {
            "label": table["label"][known].to_numpy(),
            "distance": np.abs(signed),
            "descriptor": np.array(list(DESCRIPTORS))[most],
            "above": signed > 0,
        }
    )
    return ranked.sort_values("distance", ascending=False, kind="stable", ignore_index=True)
