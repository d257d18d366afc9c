"""The report of one acquisition, from its results folder."""

from collections.abc import Callable, Mapping
from typing import Any

from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Page, Section, render
from spherovem_core.report.sections.acquisition import acquisition_section
from spherovem_core.report.sections.denoising import denoising_section
from spherovem_core.report.sections.history import history_section
from spherovem_core.report.sections.measurements import shape_section, space_section
from spherovem_core.report.sections.nanoparticles import nanoparticles_section
from spherovem_core.report.sections.registration import registration_section
from spherovem_core.report.sections.segmentation import segmentation_section

SECTIONS: tuple[Callable[[ReportInputs], Section], ...] = (
    acquisition_section,
    denoising_section,
    registration_section,
    segmentation_section,
    nanoparticles_section,
    shape_section,
    space_section,
)


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
    sections = [section(inputs) for section in SECTIONS]
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
