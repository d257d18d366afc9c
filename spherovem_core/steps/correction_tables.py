"""Corrections by hand in tables, provenance and report."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spherovem_core.corrections.journal import Journal, operations_digest
from spherovem_core.corrections.outcomes import place_of
from spherovem_core.corrections.state import CorrectionState, correction_state, excluded_objects, marks_of
from spherovem_core.store.layout import CORRECTED_KINDS, CorrectedKind, Layout
from spherovem_core.workflow import RunRequest
from spherovem_core.workflow.run import StepRun
from spherovem_core.workflow.step import EXCLUDED_OF, JOURNAL_OF

if TYPE_CHECKING:
    import pandas as pd

PER_CELL = ("radial",)
"""Tables with a row for each cell and something else; its column is ``cell``."""

PER_PAIR = ("contacts",)
"""Tables of pairs, whose rows with an excluded object are left out and not counted as excluded objects."""

IN_PARENT = (
    "distance_to_nucleus_um",
    "distance_to_nucleus_min_um",
    "distance_to_nucleus_centroid_um",
    "distance_to_cell_surface_um",
    "membrane_gap_um",
)
"""Distances of an object in its parent cell."""

OF_PARENT = ("at_membrane", "perinuclear")
"""Flags that such a distance decides."""


def journal_digests(request: RunRequest) -> Mapping[str, str]:
    """Return the digests of all journals that hold operations, marks included.

    Raises
    ------
    CorrectionError
        If a journal is damaged.
    """
    layout = Layout(request.acquisition.folder)
    found = {_name(kind): Journal(layout.journal(kind)).digest for kind in CORRECTED_KINDS}
    return {name: digest for name, digest in found.items() if digest}


def exclusion_digests(request: RunRequest) -> Mapping[str, str]:
    """Return the digests of all exclusions from statistics, by kind; none where nothing was excluded.

    Raises
    ------
    CorrectionError
        If a journal is damaged.
    """
    layout = Layout(request.acquisition.folder)
    found = {_excluded(kind): Journal(layout.journal(kind)).exclusion_digest for kind in CORRECTED_KINDS}
    return {name: digest for name, digest in found.items() if digest}


def excluded_by_hand(run: StepRun[Any]) -> Mapping[CorrectedKind, frozenset[int]]:
    """Return the labels of the objects that were excluded from statistics when the run began."""
    external = run.plan.external
    return {
        kind: excluded_objects(run.layout, kind, external.get(_excluded(kind), ""))
        for kind in CORRECTED_KINDS
    }


def state_of(run: StepRun[Any], kind: CorrectedKind) -> CorrectionState:
    """Read the corrections of a kind of object as they were when the run began."""
    return correction_state(run.layout, kind, run.plan.external.get(_name(kind), ""))


def marked_rows(table: "pd.DataFrame", state: CorrectionState) -> "pd.DataFrame":
    """Add the columns ``corrected`` and ``excluded`` to a table with one row per label."""
    marks = marks_of(state)
    return table.assign(
        **{name: table["label"].isin(list(marks[name])).astype(bool) for name in ("corrected", "excluded")}
    )


def without_excluded(
    tables: Mapping[str, "pd.DataFrame"],
) -> tuple[dict[str, "pd.DataFrame"], dict[str, int]]:
    """Leave excluded objects out of tables, and count them by table. Tables of older versions have no such column.

    What is left is as if the objects were not there, but for distances to excluded nuclei and particles, which stay: a nucleus or
    particle in an excluded cell has no parent, and an agglomerate has the particles and cells that are left.
    """
    kept, excluded = dict(tables), {}
    for name, table in tables.items():
        if name not in PER_CELL and "excluded" in table and table["excluded"].any():
            kept[name] = table[~table["excluded"]].reset_index(drop=True)
            if name not in PER_PAIR:
                excluded[name] = int(table["excluded"].sum())
    if "cells" in excluded:
        gone = tables["cells"].loc[tables["cells"]["excluded"], "label"]
        for name in PER_CELL:
            if name in kept:
                kept[name] = kept[name][~kept[name]["cell"].isin(gone)].reset_index(drop=True)
        for name, table in kept.items():
            if "parent_cell" in table:
                kept[name] = _without_parents(table, gone)
    if {"cells", "nanoparticles"} & set(excluded) and {"agglomerates", "nanoparticles"} <= set(kept):
        kept["agglomerates"] = agglomerates_of(kept["nanoparticles"])
    return kept, excluded


def _without_parents(table: "pd.DataFrame", gone: "pd.Series[Any]") -> "pd.DataFrame":
    """Take away parents that are gone, and the distances in them."""
    orphaned = table["parent_cell"].isin(gone)
    own = {name: table[name].mask(orphaned) for name in IN_PARENT if name in table}
    flags = {name: table[name] & ~orphaned for name in OF_PARENT if name in table}
    return table.assign(parent_cell=table["parent_cell"].mask(orphaned, 0), **own, **flags)


def agglomerates_of(particles: "pd.DataFrame") -> "pd.DataFrame":
    """Measure the agglomerates of particles, under their numbers, and name their places if those of the particles are known."""
    from spherovem_core.nanoparticles.agglomerates import table_by_number
    from spherovem_core.output import with_agglomerate_places

    table = table_by_number(particles)
    return with_agglomerate_places(table, particles) if "at_membrane" in particles else table


def corrections_document(states: Mapping[CorrectedKind, CorrectionState]) -> dict[str, Any]:
    """Describe the corrections for the provenance; nothing where nothing was corrected."""
    found = {
        kind: {
            "journal": operations_digest(state.entries),
            "applied": 0 if state.applied is None else len(state.applied.applied),
            "not_applied": 0 if state.applied is None else len(state.applied.not_applied),
        }
        for kind, state in states.items()
        if state.entries
    }
    return {"corrections": found} if found else {}


def operation_rows(states: Mapping[CorrectedKind, CorrectionState]) -> "pd.DataFrame":
    """List the operations that count, and what became of each."""
    import pandas as pd

    rows = []
    for kind, state in states.items():
        outcomes = {} if state.applied is None else {own.id: own for own in state.applied.outcomes}
        for entry in state.entries:
            outcome = outcomes.get(entry.id)
            place = (outcome.point_um if outcome else None) or place_of(entry.operation)
            rows.append(
                {
                    "kind": kind,
                    "line": entry.number,
                    "operation": entry.operation.operation,
                    "author": entry.author,
                    "time": entry.time,
                    "reason": entry.reason,
                    "applied": outcome is not None and not outcome.reason,
                    "why": outcome.reason if outcome else "not applied yet",
                    "place (z, y, x in µm)": "" if place is None else ", ".join(f"{v:.3f}" for v in place),
                }
            )
    return pd.DataFrame(rows)


def _name(kind: CorrectedKind) -> str:
    return f"{JOURNAL_OF}{kind}"


def _excluded(kind: CorrectedKind) -> str:
    return f"{EXCLUDED_OF}{kind}"
