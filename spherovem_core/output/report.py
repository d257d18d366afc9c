"""Report of one acquisition as a single HTML page."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from spherovem_core.output.history_section import format_duration, history_section
from spherovem_core.report.chapter import Chapter
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Page, render
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.store.layout import RAW

LARGEST_BYTES = 15_000_000
LEAST_IMAGE_PX = 200

logger = logging.getLogger(__name__)


def build_report(inputs: ReportInputs, provenance: Mapping[str, Any], chapters: Sequence[Chapter]) -> str:
    """Build the HTML of the report.

    Parameters
    ----------
    inputs
        Tables, models and the volume, whose arrays must all be complete.
    provenance
        Document with ``stages`` (history entries) and ``packages``.
    chapters
        Chapters in the order of the page. A section on the history follows them.

    Returns
    -------
    str
        One self-contained HTML document of at most 15 MB. Images are made smaller where they would exceed it.

    Raises
    ------
    IncompleteArtifactError
        If an array is not complete.
    """
    text = _build(inputs, provenance, chapters)
    while len(text.encode()) > LARGEST_BYTES and inputs.image_px > LEAST_IMAGE_PX:
        inputs = replace(inputs, image_px=max(LEAST_IMAGE_PX, round(0.7 * inputs.image_px)))
        logger.info("the report exceeds 15 MB; building it again with images of %d pixels", inputs.image_px)
        text = _build(inputs, provenance, chapters)
    return text


def _build(inputs: ReportInputs, provenance: Mapping[str, Any], chapters: Sequence[Chapter]) -> str:
    sections = [chapter.draw(inputs) for chapter in chapters]
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
        *((name.capitalize(), inputs.count_text(name)) for name in ("cells", "nuclei", "nanoparticles")),
        ("Computing time", format_duration(seconds)),
        ("Results", str(inputs.layout.folder)),
    ]
    return render(Page(inputs.name, summary, sections))
