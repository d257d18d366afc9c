"""Summary of the results in Markdown: warnings, counts, and links to the files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spherovem_core.report.chapter import Chapter
from spherovem_core.report.findings import findings
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.store.layout import table_path

COUNTED = ("cells", "nuclei", "nanoparticles")
WRITTEN = (*COUNTED, "other_objects", "agglomerates", "contacts", "uptake", "slices", "means", "totals")


def summarise(inputs: ReportInputs, chapters: Sequence[Chapter], warnings: Sequence[str] = ()) -> str:
    """Summarise the results in a few lines of Markdown, warnings first, without drawing anything.

    Parameters
    ----------
    inputs
        Tables, models and the volume, as for `build_report`.
    chapters
        Chapters whose warnings are listed.
    warnings
        Warnings on the history of the results.

    Returns
    -------
    str
        Warnings by chapter, counts of cells, nuclei and nanoparticles, how particles differ from random places, and links to
        report, volume and tables.

    Raises
    ------
    IncompleteArtifactError
        If an array is not complete.
    """
    lines = [f"- **{chapter.title}**: {text}" for chapter in chapters for text in chapter.warn(inputs)]
    lines += [f"- **History**: {text}" for text in warnings]
    parts = [
        f"## {inputs.name}",
        "\n".join(["### Warnings", "", *(lines or ["none"])]),
        _counts(inputs),
        *_totals(inputs),
        *_findings(inputs),
    ]
    return "\n\n".join([*parts, _links(inputs)]) + "\n"


def _counts(inputs: ReportInputs) -> str:
    rows = ["| | count | median volume (µm³) |", "|---|---:|---:|"]
    for name in COUNTED:
        volumes = inputs.tables[name]["volume_um3"].to_numpy(dtype=float)
        volumes = volumes[np.isfinite(volumes)]
        median = f"{np.median(volumes):.4g}" if volumes.size else "–"
        rows.append(f"| {name} | {counted(inputs, name)} | {median} |")
    return "\n".join(rows)


def _totals(inputs: ReportInputs) -> list[str]:
    """State the totals of particles with their intervals, if there are any."""
    totals = inputs.tables.get("totals")
    if totals is None or inputs.is_absent("nanoparticles"):
        return []
    lines = [
        f"- {row.quantity}: {row.found:.4g} {row.unit}".rstrip()
        + f" found; 95 % interval of the true total {row.low:.4g} to {row.high:.4g}"
        for row in totals[totals["low"].notna()].itertuples()
    ]
    return ["\n".join(lines)] if lines else []


def _findings(inputs: ReportInputs) -> list[str]:
    """State how particles differ from random places, if that was tested."""
    if "tests" not in inputs.tables or inputs.is_absent("nanoparticles"):
        return []
    found = findings(inputs.tables["tests"])
    return ["\n".join(f"- {title}: {text}" for title, text in found.items())] if found else []


def counted(inputs: ReportInputs, name: str) -> str:
    """Return the number of objects of a table, and how many were excluded by hand if any were."""
    excluded = inputs.excluded.get(name, 0)
    return str(len(inputs.tables[name])) + (f" ({excluded} more excluded by hand)" if excluded else "")


def _links(inputs: ReportInputs) -> str:
    layout = inputs.layout
    lines = [_link("report", layout.report), _link("volume (OME-Zarr)", layout.volume)]
    lines += [_link(f"table of {name.replace('_', ' ')}", layout.path(table_path(name))) for name in WRITTEN]
    return "\n".join(lines)


def _link(title: str, path: Path) -> str:
    return f"- [{title}]({path.absolute().as_uri()}): `{path}`"
