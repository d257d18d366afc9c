"""Assignment of objects of changed labels to the present objects that they continue."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spherovem_core.label_overlaps import Contingency

NEARLY_WHOLE = 0.9
"""An object with this fraction of its voxels in another has joined it, even if a scrap could continue it."""
MOST = 0.5
FRACTION_OF_OBJECT, FRACTION_OF_PART = 0.1, 0.5
"""A part continues an object if it holds this fraction of the object, or consists of it by this fraction."""


@dataclass(frozen=True)
class Continuation:
    """Assignment between the objects of two label volumes of one place.

    Both sides are numbered alike: an imported object has the number of the present object that it continues, of several
    the one with most voxels in it, or a number above all present ones if it continues none.

    Attributes
    ----------
    goes
        Present object to the number of the imported one that continues it; 0 for an object that is gone.
    numbers
        Imported object to its number.
    parents
        Number of each imported object that continues no present one, with the present object that makes up most of it; 0 if there
        is none.
    """

    goes: dict[int, int]
    numbers: dict[int, int]
    parents: dict[int, int]


def find_continuation(table: Contingency) -> Continuation:
    """Decide from the overlaps which imported object continues each present one.

    An object goes to the imported object that holds nearly all of it; else to the largest part that consists of it
    more than of any other object; else to the one that holds most of it; else it is gone.

    Parameters
    ----------
    table
        Overlaps between present labels (`true`) and imported ones (`predicted`).
    """
    present, imported = table.true, table.predicted
    on = np.flatnonzero(table.on_objects)
    pairs = pd.DataFrame(
        {
            "present": present.labels[table.rows[on]],
            "imported": imported.labels[table.columns[on]],
            "voxels": table.voxels[on],
            "of_present": table.voxels[on] / present.sizes[table.rows[on]],
            "of_imported": table.voxels[on] / imported.sizes[table.columns[on]],
        }
    )
    by_part = pairs.sort_values(["imported", "voxels", "present"], ascending=[True, False, True])
    pairs["main"] = False
    pairs.loc[by_part.index[~by_part["imported"].duplicated()], "main"] = True
    goes = {int(label): 0 for label in present.labels if label}
    goes |= _destinations(pairs)
    return _numbered(goes, pairs, imported.labels.tolist(), int(present.labels.max(initial=0)))


def _destinations(pairs: pd.DataFrame) -> dict[int, int]:
    """Return the imported object to which each present one goes."""
    own = pairs["main"] & (
        (pairs["of_present"] >= FRACTION_OF_OBJECT) | (pairs["of_imported"] >= FRACTION_OF_PART)
    )
    rank = np.select([pairs["of_present"] >= NEARLY_WHOLE, own, pairs["of_present"] >= MOST], [3, 2, 1], 0)
    ranked = pairs.assign(rank=rank)[rank > 0].sort_values(
        ["present", "rank", "voxels", "imported"], ascending=[True, False, False, True]
    )
    first = ranked[~ranked["present"].duplicated()]
    return dict(zip(first["present"].tolist(), first["imported"].tolist(), strict=True))


def _numbered(goes: dict[int, int], pairs: pd.DataFrame, imported: list[int], highest: int) -> Continuation:
    shared = {
        (present, part): voxels
        for present, part, voxels in zip(pairs["present"], pairs["imported"], pairs["voxels"], strict=True)
    }
    sources: dict[int, list[int]] = defaultdict(list)
    for label, part in goes.items():
        if part:
            sources[part].append(label)
    numbers = {
        part: min(labels, key=lambda label: (-shared[label, part], label)) for part, labels in sources.items()
    }
    new = [part for part in imported if part and part not in numbers]
    fresh = range(highest + 1, highest + 1 + len(new))
    numbers |= zip(new, fresh, strict=True)
    most = pairs[pairs["of_imported"] > MOST]
    parent = dict(zip(most["imported"].tolist(), most["present"].tolist(), strict=True))
    return Continuation(
        {label: numbers[part] if part else 0 for label, part in goes.items()},
        numbers,
        {number: parent.get(part, 0) for part, number in zip(new, fresh, strict=True)},
    )
