"""The chapters of a report, in the order of the stages: what each shows, and what it warns of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Section
from spherovem_core.report.scroller import slices_section
from spherovem_core.report.sections.acquisition import acquisition_section, acquisition_warnings
from spherovem_core.report.sections.denoising import denoising_section, denoising_warnings
from spherovem_core.report.sections.nanoparticles import nanoparticles_section, nanoparticles_warnings
from spherovem_core.report.sections.registration import registration_section, registration_warnings
from spherovem_core.report.sections.segmentation import segmentation_section, segmentation_warnings
from spherovem_core.report.sections.shape import shape_section
from spherovem_core.report.sections.space import space_section


def _no_warnings(inputs: ReportInputs) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Chapter:
    """One stage's part of the report.

    Attributes
    ----------
    title
        As the section's.
    draw
        Makes the section, pictures included.
    warn
        Finds what the user must know before trusting the stage; reads no image.
    """

    title: str
    draw: Callable[[ReportInputs], Section]
    warn: Callable[[ReportInputs], Sequence[str]] = _no_warnings


CHAPTERS = (
    Chapter("Slices", slices_section),
    Chapter("Acquisition", acquisition_section, acquisition_warnings),
    Chapter("Denoising", denoising_section, denoising_warnings),
    Chapter("Registration", registration_section, registration_warnings),
    Chapter("Cells and nuclei", segmentation_section, segmentation_warnings),
    Chapter("Nanoparticles", nanoparticles_section, nanoparticles_warnings),
    Chapter("Shape", shape_section),
    Chapter("Space", space_section),
)
