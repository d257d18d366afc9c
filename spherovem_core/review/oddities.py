"""Oddities of single objects that point to no certain error: a person should look."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spherovem_core.report.outliers import DESCRIPTORS, rank_unusual
from spherovem_core.review.examination import Examined

BASE = -4.0
"""Log odds of an object of which nothing is known."""

FAR, FARTHEST = 3.5, 8.0
"""Robust standard deviations from the median from which a figure is odd, and from which it counts no more."""

PER_DEVIATION = 0.35
"""Log odds per robust standard deviation beyond `FAR`."""

NO_NUCLEUS = 1.0
"""Log odds of a whole cell without a nucleus; one in ten cells of a phantom has none."""

IN_NO_CELL, IN_TWO_CELLS = 2.0, 2.0
"""Log odds of a nucleus outside cells, and of one that lies in two."""

LEAST_IN_CELL = 0.9
"""Fraction of a nucleus in its cell below which it lies in two."""

DISAGREE = "flows of the three directions disagree"

CUT_OFF = 0.25
"""Fraction of the surface on the volume's border from which an object counts as cut by it."""

WRONG_FLOWS = 0.85
"""Flow error, 1 by chance, from which an object without a nucleus had better be deleted if its flows are short as well."""


@dataclass
class Oddity:
    """Oddity of an object.

    Attributes
    ----------
    weight
        Sum of the log odds.
    reasons, figures
        Short words, and parts of a sentence.
    wrong
        True if it is probably no object at all.
    """

    weight: float = 0.0
    reasons: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    wrong: bool = False

    def add(self, reason: str, figure: str, weight: float) -> None:
        """Add a kind of evidence."""
        self.weight += weight
        self.reasons += (reason,)
        self.figures += (figure,)


def find_oddities(
    objects: Sequence[Examined], truncated: Mapping[int, float], table: pd.DataFrame | None, has_nuclei: bool
) -> dict[int, Oddity]:
    """Find what is odd about each object.

    Parameters
    ----------
    truncated
        Fraction of each object's surface on the border of the volume.
    table
        Table of the objects, with descriptors of shape and, for nuclei, ``parent_cell`` and ``parent_fraction``.
    has_nuclei
        True in a review of cells with nuclei.
    """
    found = {one.label: Oddity() for one in objects}
    _flows(objects, found)
    _shape(objects, truncated, table, found)
    for one in objects:
        share = truncated.get(one.label, 0.0)
        if has_nuclei and not one.nuclei and share == 0 and one.nucleus_overlap < 0.05:
            found[one.label].add("no nucleus", "no nucleus, though the border does not cut it", NO_NUCLEUS)
        if share > CUT_OFF:
            found[one.label].add(
                "cut by the border", f"the border cuts {100 * share:.0f} % of its surface", 0.0
            )
        by_chance = one.flow_error > WRONG_FLOWS and DISAGREE in found[one.label].reasons
        found[one.label].wrong = by_chance and not one.nucleus_overlap > 0.02
    if table is not None and "parent_cell" in table:
        _parents(table, found)
    return found


def _flows(objects: Sequence[Examined], found: Mapping[int, Oddity]) -> None:
    errors = robust_distances([one.flow_error for one in objects])
    lengths = robust_distances([one.flow_length for one in objects])
    for one, error, length in zip(objects, errors, lengths, strict=True):
        if error > FAR:
            figure = f"flows differ from the way inwards by {one.flow_error:.2f} (0 agreement, 1 chance)"
            found[one.label].add("flow error", figure, oddity_weight(error))
        if -length > FAR:
            figure = (
                f"flows of length {one.flow_length:.1f}, {-length:.1f} standard deviations below the median"
            )
            found[one.label].add(DISAGREE, figure, oddity_weight(-length))


def _shape(
    objects: Sequence[Examined],
    truncated: Mapping[int, float],
    table: pd.DataFrame | None,
    found: Mapping[int, Oddity],
) -> None:
    whole = [one for one in objects if truncated.get(one.label, 0.0) == 0]
    for one, distance in zip(
        whole, robust_distances([math.log(each.volume_um3) for each in whole]), strict=True
    ):
        if abs(distance) > FAR:
            side = "above" if distance > 0 else "below"
            figure = (
                f"volume {one.volume_um3:.3g} µm³, {abs(distance):.1f} standard deviations {side} the median"
            )
            found[one.label].add("odd volume", figure, oddity_weight(abs(distance)))
    if table is None or not set(DESCRIPTORS) <= set(table.columns):
        return
    rows = table[table["label"].isin([one.label for one in whole])]
    for row in rank_unusual(rows).itertuples():
        distance, descriptor = float(str(row.distance)), str(row.descriptor)
        if distance > FAR and descriptor != "volume_um3":
            side = "above" if row.above else "below"
            figure = f"{DESCRIPTORS[descriptor]} {distance:.1f} standard deviations {side} the median"
            found[int(str(row.label))].add("odd shape", figure, oddity_weight(distance))


def _parents(table: pd.DataFrame, found: Mapping[int, Oddity]) -> None:
    for label, parent, fraction in zip(
        table["label"],
        table["parent_cell"],
        table.get("parent_fraction", table["parent_cell"] * 0 + 1),
        strict=True,
    ):
        if int(label) not in found:
            continue
        if parent == 0:
            found[int(label)].add("in no cell", "it lies in no cell", IN_NO_CELL)
        elif fraction < LEAST_IN_CELL:
            found[int(label)].add(
                "in two cells", f"{100 * fraction:.0f} % of it lie in cell {parent}", IN_TWO_CELLS
            )


def robust_distances(values: Sequence[float]) -> list[float]:
    """Return the distances from the median in median absolute deviations times 1.4826; 0 where unknown or no spread."""
    numbers = np.array(values, float)
    known = np.isfinite(numbers)
    if known.sum() < 5:
        return [0.0] * len(numbers)
    deviation = numbers - np.median(numbers[known])
    spread = 1.4826 * float(np.median(np.abs(deviation[known])))
    return [float(d / spread) if spread > 0 and k else 0.0 for d, k in zip(deviation, known, strict=True)]


def oddity_weight(distance: float) -> float:
    """Return the log odds for a figure at a distance beyond `FAR` from the median, in robust standard deviations."""
    return PER_DEVIATION * (min(distance, FARTHEST) - FAR) + 0.5
