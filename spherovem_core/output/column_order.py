"""Order of the columns of final tables: what is measured comes before the marks of corrections."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

FIRST_MARK = "corrected"


def before_marks(table: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return a table with columns added before its column ``corrected``, or at its end where it has none."""
    place = table.columns.get_loc(FIRST_MARK) if FIRST_MARK in table else len(table.columns)
    found = table.copy()
    for shift, (name, values) in enumerate(columns.items()):
        found.insert(int(place) + shift, name, values)  # type: ignore[arg-type]
    return found
