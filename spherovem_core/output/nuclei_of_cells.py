"""The nuclei of each cell: their volume, its ratio to the rest of the cell, and how far they lie from the cell's centre."""

import numpy as np
import pandas as pd

from spherovem_core.label_statistics import CENTROID_COLUMNS
from spherovem_core.output.column_order import before_marks

COLUMNS = ("nuclear_volume_um3", "nucleus_to_cytoplasm_ratio", "nucleus_offset_um")


def with_nuclei(cells: pd.DataFrame, nuclei: pd.DataFrame) -> pd.DataFrame:
    """Add what the nuclei of each cell hold of it.

    Parameters
    ----------
    cells
        Table with ``label``, ``volume_um3`` and the centroid, of all cells.
    nuclei
        Table with ``parent_cell``, ``volume_um3``, the centroid and ``excluded``. Excluded nuclei do not count.

    Returns
    -------
    DataFrame
        `cells` with, before its column ``corrected``: ``nuclear_volume_um3``, the volume of its nuclei;
        ``nucleus_to_cytoplasm_ratio``, that volume over the rest of the cell's; ``nucleus_offset_um``, the distance from its
        centroid to that of its nuclei together. They are NaN for a cell without a nucleus, and the ratio is NaN where nuclei
        fill the cell. Objects that the volume's border cuts have the values of the parts inside.
    """
    counted = nuclei[~nuclei["excluded"]] if "excluded" in nuclei else nuclei
    counted = counted[counted["parent_cell"] > 0]
    volume = counted["volume_um3"].groupby(counted["parent_cell"]).sum()
    weighted = counted[list(CENTROID_COLUMNS)].mul(counted["volume_um3"], axis=0)
    centre = weighted.groupby(counted["parent_cell"]).sum().div(volume, axis=0)
    found = volume.reindex(cells["label"]).to_numpy(np.float64)
    offset = centre.reindex(cells["label"]).to_numpy(np.float64) - cells[list(CENTROID_COLUMNS)].to_numpy()
    rest = cells["volume_um3"].to_numpy(np.float64) - found
    ratio = np.divide(found, rest, out=np.full(len(cells), np.nan), where=rest > 0)
    values = (found, ratio, np.sqrt((offset**2).sum(axis=1)))
    return before_marks(cells, dict(zip(COLUMNS, values, strict=True)))
