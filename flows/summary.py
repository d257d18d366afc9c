"""Summary of a run, as its last artifact: places of the results, and the time of each step."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spherovem_core.store import Layout
from spherovem_core.store.layout import OBJECT_KINDS, table_path
from tasks.artifacts import show_markdown

FINAL_TABLES = (
    *OBJECT_KINDS,
    "nanoparticles",
    "other_objects",
    "agglomerates",
    "contacts",
    "uptake",
    "slices",
)


@dataclass(frozen=True)
class StepRecord:
    """Outcome of a step.

    Attributes
    ----------
    title
        Its name.
    outcome
        ``computed``, ``cached``, or ``on disk`` for a step before the first stage of the run.
    seconds
        Seconds in this run.
    place
        Its main output, in the results folder.
    """

    title: str
    outcome: str
    seconds: float
    place: str


def show_summary(folder: Path, records: Sequence[StepRecord], ending: Sequence[str] = ()) -> None:
    """Show the summary of a run as a markdown artifact, with further lines at its end."""
    show_markdown(f"summary {folder.name}", summary(folder, records, ending), "Steps of the run")


def summary(folder: Path, records: Sequence[StepRecord], ending: Sequence[str] = ()) -> str:
    """Return the run in markdown: links to the results, one row per step, and further lines."""
    layout = Layout(folder)
    computed = [record for record in records if record.outcome == "computed"]
    places = [
        ("report", layout.report),
        ("provenance", layout.provenance),
        *((f"table of {name.replace('_', ' ')}", layout.path(table_path(name))) for name in FINAL_TABLES),
        ("volume (OME-Zarr)", layout.volume),
    ]
    lines = [
        f"**{folder.name}**: {len(computed)} of {len(records)} steps computed in "
        f"{sum(record.seconds for record in records):.0f} s.",
        "",
        *(f"- [{name}]({path.absolute().as_uri()}) `{path}`" for name, path in places if path.exists()),
        "",
        "| step | | seconds | output |",
        "|---|---|---:|---|",
        *(f"| {r.title} | {r.outcome} | {r.seconds:.1f} | `{r.place}` |" for r in records),
        *("" for _ in ending[:1]),
        *ending,
    ]
    return "\n".join(lines)
