"""Particle volume by distance to the nucleus, against what the same cells would give by chance."""

import numpy as np
import pandas as pd


def radial_profile(radial: pd.DataFrame) -> pd.DataFrame:
    """Pool the cells' radial distributions, each weighted by the particles it holds.

    By chance the particle volume of a cell is spread as its cytoplasm is: each bin expects its share of it. Summed over
    cells that is what to compare with, whatever the cells' sizes and loads.

    Parameters
    ----------
    radial
        From `spherovem_core.spatial.radial_distribution`.

    Returns
    -------
    DataFrame
        One row a distance bin in the cytoplasm, rising: ``distance_low_um``, ``distance_high_um``; ``found`` and
        ``by_chance``, shares of the particle volume that sum to 1, and ``ratio`` of the two, NaN where none is expected.
        Empty with no particle in the cytoplasm of a cell with a nucleus.
    """
    table = radial[radial["distance_high_um"] > 0]
    by_cell = table.groupby("cell")[["cell_volume_um3", "nanoparticle_volume_um3"]].transform("sum")
    expected = table["cell_volume_um3"] / by_cell["cell_volume_um3"] * by_cell["nanoparticle_volume_um3"]
    bins = (
        table.assign(expected=expected)
        .groupby(["distance_low_um", "distance_high_um"], as_index=False)[
            ["nanoparticle_volume_um3", "expected"]
        ]
        .sum()
    )
    total = float(bins["nanoparticle_volume_um3"].sum())
    if not total > 0:
        bins = bins.iloc[:0]
    found, by_chance = bins["nanoparticle_volume_um3"] / (total or 1), bins["expected"] / (total or 1)
    ratio = found / by_chance.where(by_chance > 0, np.nan)
    return bins[["distance_low_um", "distance_high_um"]].assign(found=found, by_chance=by_chance, ratio=ratio)
