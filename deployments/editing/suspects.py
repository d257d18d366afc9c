"""Objects that the review found suspicious, from its table."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from spherovem_core.corrections.state import correction_state, marks_of
from spherovem_core.errors import CorrectionError
from spherovem_core.review import without_accepted
from spherovem_core.store import Layout
from spherovem_core.store.layout import CorrectedKind, table_path

Point = tuple[float, float, float]
REQUIRED_COLUMNS = ("rank", "label", "reason", "centroid_z_um", "centroid_y_um", "centroid_x_um")
PLACE_COLUMNS = ("centroid_z_um", "centroid_y_um", "centroid_x_um")


@dataclass(frozen=True)
class Suspect:
    """A suspect.

    Attributes
    ----------
    rank
        Place in the list, from 1.
    label, other_label
        The object, and the neighbour that it concerns; 0 for none. Numbers of the labels on disk.
    reason, explanation
        Short and long.
    point_um
        Where to look.
    operation
        Suggested operation, such as ``merge``; empty if there is none.
    seeds_um
        Points between which a split is suggested.
    """

    rank: int
    label: int
    other_label: int
    reason: str
    explanation: str
    point_um: Point
    operation: str = ""
    seeds_um: tuple[Point, ...] = ()


def read_suspects(layout: Layout, kind: CorrectedKind, path: Path | None = None) -> list[Suspect]:
    """Read the suspects of the acquisition's table, or of another file, without objects that a correction accepted.

    The list is empty if the acquisition has no table.

    Raises
    ------
    CorrectionError
        If the file is no table of suspects.
    """
    found = layout.path(table_path(f"suspects_{kind}")) if path is None else path
    if path is None and not found.is_file():
        return []
    try:
        table = pd.read_parquet(found)
    except (OSError, pa.ArrowInvalid) as error:
        raise CorrectionError(f"{found} cannot be read as a table of suspects: {error}") from error
    missing = [name for name in REQUIRED_COLUMNS if name not in table]
    if missing:
        raise CorrectionError(
            f"{found} is no table of suspects: it has no column {', '.join(missing)}; `spherovem labels review` writes one"
        )
    table = table if "other_label" in table else table.assign(other_label=0)
    return suspects_of(without_accepted(table, marks_of(correction_state(layout, kind))["accepted"]))


def suspects_of(table: pd.DataFrame) -> list[Suspect]:
    """Return the suspects of the review's table in the order of their rank."""
    rows = table.sort_values("rank", kind="stable").to_dict("records")
    return [
        Suspect(
            rank=int(row["rank"]),
            label=int(row["label"]),
            other_label=_whole(row.get("other_label")),
            reason=str(row["reason"]),
            explanation=str(row.get("explanation") or ""),
            point_um=_point(row, PLACE_COLUMNS),
            operation=str(row.get("operation") or ""),
            seeds_um=_seeds(row),
        )
        for row in rows
    ]


def _point(row: Mapping[Any, Any], names: tuple[str, ...]) -> Point:
    z, y, x = (float(row[name]) for name in names)
    return z, y, x


def _seeds(row: Mapping[Any, Any]) -> tuple[Point, ...]:
    names = [tuple(f"seed_{number}_{axis}_um" for axis in "zyx") for number in (1, 2)]
    points = [_point(row, each) for each in names if all(name in row for name in each)]
    return tuple(point for point in points if all(map(math.isfinite, point)))


def _whole(value: Any) -> int:
    return 0 if value is None or pd.isna(value) else int(value)
