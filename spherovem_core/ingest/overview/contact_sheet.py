"""Small pictures of evenly chosen slices and of those that stand out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest.overview.survey_of_pixels import Overview
from spherovem_core.ingest.stack import SliceStack

EVEN, SUSPICIOUS = 24, 24
LONGEST_SIDE = 256


@dataclass(frozen=True)
class Thumbnail:
    """One slice of the sheet.

    Attributes
    ----------
    number
        Slice number, as the messages and `exclude_slices` use it.
    values
        (rows, columns) means of square cells; None if the slice cannot be read.
    suspicion
        Reasons why it stands out; empty if it does not.
    """

    number: int
    file: str
    values: NDArray[np.float32] | None
    suspicion: str


@dataclass(frozen=True)
class ContactSheet:
    """Thumbnails in the order of the stack.

    Attributes
    ----------
    left_out
        Number of slices that stand out and are not on the sheet.
    """

    thumbnails: tuple[Thumbnail, ...]
    left_out: int


def make_contact_sheet(stack: SliceStack, overview: Overview) -> ContactSheet:
    """Read 24 slices spread over the stack and up to 24 that stand out, one at a time."""
    table = overview.table
    even = np.unique(np.linspace(0, len(table) - 1, min(EVEN, len(table))).round().astype(int))
    suspicious = np.flatnonzero((table["suspicion"] != "").to_numpy())
    shown = suspicious
    if len(suspicious) > SUSPICIOUS:
        shown = suspicious[np.linspace(0, len(suspicious) - 1, SUSPICIOUS).round().astype(int)]
    chosen = np.union1d(even, shown)
    thumbnails = tuple(_thumbnail(stack, row) for _, row in table.iloc[chosen].iterrows())
    return ContactSheet(thumbnails, len(np.setdiff1d(suspicious, chosen)))


def _thumbnail(stack: SliceStack, row: "pd.Series[Any]") -> Thumbnail:
    file = stack.files[int(row["z"])]
    values = None
    if file is not None and not file.fault:
        try:
            values = shrink(stack.read_source(file), LONGEST_SIDE)
        except BadSlicesError:
            values = None
    return Thumbnail(int(row["number"]), str(row["file"]), values, str(row["suspicion"]))


def shrink(values: NDArray[Any], longest: int) -> NDArray[np.float32]:
    """Average square cells so that the longer side has at most `longest` of them; a rest at the end is left out."""
    side = -(-max(values.shape) // longest)
    rows, columns = (max(1, extent // side) for extent in values.shape)
    cells = values[: rows * side, : columns * side]
    heights, widths = (min(side, extent) for extent in values.shape)
    return np.asarray(
        cells.reshape(rows, heights, columns, widths).mean((1, 3), dtype=np.float64), np.float32
    )
