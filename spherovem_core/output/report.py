"""The report of one acquisition, from its results folder."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from spherovem_core.output.chapters import CHAPTERS
from spherovem_core.output.history_section import duration, history_section
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Page, render
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.store.layout import RAW

LARGEST_BYTES = 15_000_000
LEAST_IMAGE_PX = 200

logger = logging.getLogger("spherovem_core.report")


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
        One self-contained HTML document of less than 15 MB: where images would make it larger, they are made smaller.

    Raises
    ------
    IncompleteArtifactError
        If an array is not complete.
    """
    text = _build(inputs, provenance)
    while len(text.encode()) > LARGEST_BYTES and inputs.image_px > LEAST_IMAGE_PX:
        inputs = replace(inputs, image_px=max(LEAST_IMAGE_PX, round(0.7 * inputs.image_px)))
        logger.info("the report is larger than 15 MB: made again with images of %d pixels", inputs.image_px)
        text = _build(inputs, provenance)
    return text


def _build(inputs: ReportInputs, provenance: Mapping[str, Any]) -> str:
    sections = [chapter.draw(inputs) for chapter in CHAPTERS]
    sections.append(history_section(provenance, inputs.parameters))
    seconds = sum(entry["seconds"] for entry in provenance["stages"])
    raw = inputs.open_level(RAW)
    size = " × ".join(
        f"{n * step / NM_PER_UM:.4g}" for n, step in zip(raw.shape, raw.spacing_nm, strict=True)
    )
    voxel = " × ".join(f"{step:g}" for step in raw.spacing_nm)
    summary = [
        ("Source", str(provenance.get("source", "unknown"))),
        ("Volume (z, y, x)", f"{size} µm in voxels of {voxel} nm"),
        ("Cells", str(len(inputs.tables["cells"]))),
        ("Nuclei", str(len(inputs.tables["nuclei"]))),
        ("Nanoparticles", str(len(inputs.tables["nanoparticles"]))),
        ("Time of all stages", duration(seconds)),
        ("Results", str(inputs.layout.folder)),
    ]
    return render(Page(inputs.name, summary, sections))
