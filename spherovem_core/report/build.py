"""The report of one acquisition, from its results folder."""

from collections.abc import Mapping
from typing import Any

from spherovem_core.report.chapters import CHAPTERS
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Page, render
from spherovem_core.report.sections.history import history_section


def build_report(inputs: ReportInputs, provenance: Mapping[str, Any]) -> str:
    """Make the report's HTML.

    Parameters
    ----------
    inputs
        Tables, models and the volume; all its arrays must be complete.
    provenance
        The provenance document: `stages` (history entries) and `packages`.

    Returns
    -------
    str
        One self-contained HTML document.

    Raises
    ------
    IncompleteArtifactError
        If an array is not complete.
    """
    sections = [chapter.draw(inputs) for chapter in CHAPTERS]
    sections.append(history_section(provenance, inputs.parameters))
    seconds = sum(entry["seconds"] for entry in provenance["stages"])
    summary = [
        ("Cells", str(len(inputs.tables["cells"]))),
        ("Nuclei", str(len(inputs.tables["nuclei"]))),
        ("Nanoparticles", str(len(inputs.tables["nanoparticles"]))),
        ("Time of all stages", f"{seconds:.0f} s"),
        ("Results", str(inputs.layout.folder)),
    ]
    return render(Page(inputs.name, summary, sections))
