"""Description of a changed label array: labels that are gone, new or of another size than in the table measured on them."""

from collections import Counter
from collections.abc import Iterable

import fastremap
import numpy as np
import pyarrow.parquet as pq

from spherovem_core.blocks import block_grid
from spherovem_core.store import Layout
from spherovem_core.store.markers import array_marker
from spherovem_core.store.reading import open_array
from spherovem_core.store.tables import table_marker
from spherovem_core.workflow.outputs import ArrayOutput, Output, TableOutput

LARGEST_VOXELS = 200_000_000
"""Voxels that are counted, in a few seconds; larger arrays are not looked at."""
NAMED = 10
COUNTED = ["label", "voxel_count"]


def changed_labels(layout: Layout, output: ArrayOutput, tables: Iterable[Output]) -> str:
    """Describe the difference between labels on disk and those that were measured; empty where it cannot be told.

    Parameters
    ----------
    tables
        Outputs that may have been measured on the labels; one with the number of voxels of each label is taken.
    """
    table = next((path for each in tables if (path := _measured_on(layout, output, each))), None)
    if output.content != "label" or table is None:
        return ""
    try:
        stored = open_array(layout, output.group, changed=True)
        if np.prod(stored.shape) > LARGEST_VOXELS:
            return ""
        now: Counter[int] = Counter()
        for block in block_grid(stored.shape, stored.array.shards or stored.array.chunks):
            labels, counts = fastremap.unique(stored[block.core], return_counts=True)
            now.update(dict(zip(labels.tolist(), counts.tolist(), strict=True)))
        measured = pq.read_table(layout.path(table), columns=COUNTED).to_pydict()
    except Exception:  # damaged bytes, whatever reads them: the change itself is told in any case
        return ""
    now.pop(0, None)
    before = dict(zip(*(measured[name] for name in COUNTED), strict=True))
    found = (
        ("gone", sorted(before.keys() - now.keys())),
        ("new", sorted(now.keys() - before.keys())),
        (
            "of another size",
            sorted(label for label in before.keys() & now.keys() if before[label] != now[label]),
        ),
    )
    return "; ".join(f"{what}: {_named(labels)}" for what, labels in found if labels)


def _measured_on(layout: Layout, output: ArrayOutput, table: Output) -> str | None:
    """Return the path of a table that was measured on these labels as they were computed."""
    if not isinstance(table, TableOutput):
        return None
    marker = table_marker(layout.path(table.path)) or {}
    content = (array_marker(layout.path(output.path)) or {}).get("content")
    if content is None or marker.get("sources", {}).get(output.path) != content:
        return None
    names = pq.read_schema(layout.path(table.path)).names
    return table.path if set(COUNTED) <= set(names) else None


def _named(labels: list[int]) -> str:
    more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    return ", ".join(map(str, labels[:NAMED])) + more
