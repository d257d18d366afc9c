"""Suspects that a person has looked at and found right."""

from collections.abc import Collection

import pandas as pd


def without_accepted(suspects: pd.DataFrame, accepted: Collection[int]) -> pd.DataFrame:
    """Leave out accepted objects, and merges of others with them; ranks stay as they are.

    Parameters
    ----------
    suspects
        Table of suspects of one kind of object.
    accepted
        Labels of the objects that a person accepted.
    """
    labels = list(accepted)
    found = suspects["label"].isin(labels) | suspects["other_label"].isin(labels)
    return suspects[~found].reset_index(drop=True)
