"""Enrichment of particle volume by distance to the nucleus, against an even spread in the same cells."""

import numpy as np
import pandas as pd


def radial_profile(radial: pd.DataFrame) -> pd.DataFrame:
    """Pool the radial distributions of all cells and compare them with an even spread.

    The expectation spreads the particle volume of each cell evenly over that cell's own cytoplasm: a bin gets the
    fraction of the volume that it has of the cytoplasm. Its sum over the cells accounts for their sizes and loads.

    Parameters
    ----------
    radial
        Table from `spherovem_core.spatial.radial_distribution`.

    Returns
    -------
    DataFrame
        One row per distance bin in the cytoplasm, in rising order: ``distance_low_um``, ``distance_high_um``; ``found``
        and ``by_chance``, measured and expected fractions of the particle volume, which sum to 1; ``ratio`` of the two,
        the enrichment, NaN where nothing is expected. Empty if no particle lies in the cytoplasm of a cell with a nucleus.
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
