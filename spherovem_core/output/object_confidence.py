"""The confidence of each object in the final tables."""

import pandas as pd

COLUMNS = ("confidence", "confidence_note")
NOT_REVIEWED = "not reviewed"


def with_confidence(objects: pd.DataFrame, confidence: pd.DataFrame) -> pd.DataFrame:
    """Add how sure each object is, before the column ``corrected``.

    Parameters
    ----------
    objects
        Final table of cells or nuclei, with ``label``.
    confidence
        Table with ``label``, ``confidence`` and ``confidence_note``.

    Returns
    -------
    DataFrame
        `objects` with both columns; a label that the other table lacks has NaN and ``not reviewed``.
    """
    found = confidence.set_index("label")
    values = found["confidence"].reindex(objects["label"]).to_numpy(float)
    notes = found["confidence_note"].reindex(objects["label"]).fillna(NOT_REVIEWED).astype(str).to_numpy()
    names = list(objects.columns)
    place = names.index("corrected") if "corrected" in names else len(names)
    table = objects.copy()
    for offset, (name, column) in enumerate(zip(COLUMNS, (values, notes), strict=True)):
        table.insert(place + offset, name, column)
    return table
