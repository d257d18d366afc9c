"""Lists of slices in words, for the report."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MOST_LISTED = 12


def listed(texts: list[str]) -> str:
    """Join at most a dozen texts."""
    more = f" and {len(texts) - MOST_LISTED} more" if len(texts) > MOST_LISTED else ""
    return ", ".join(texts[:MOST_LISTED]) + more or "none"


def numbers(slices: pd.DataFrame, chosen: "pd.Series[bool] | NDArray[np.bool_]") -> str:
    """List the numbers of the chosen slices."""
    return listed(slices.loc[chosen, "z"].astype(str).tolist())
