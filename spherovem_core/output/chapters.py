"""Chapters of the report, in the order of the stages."""

from spherovem_core.denoising.chapter import denoising_section, denoising_warnings
from spherovem_core.ingest.chapter import acquisition_section, acquisition_warnings
from spherovem_core.nanoparticles.chapter import nanoparticles_section, nanoparticles_warnings
from spherovem_core.output.chapter import slices_section
from spherovem_core.registration.chapter import registration_section, registration_warnings
from spherovem_core.report.chapter import Chapter
from spherovem_core.segmentation.chapter import segmentation_section, segmentation_warnings
from spherovem_core.shape.chapter import shape_section
from spherovem_core.spatial.chapter import space_section

CHAPTERS = (
    Chapter("Slices", slices_section),
    Chapter("Acquisition", acquisition_section, acquisition_warnings),
    Chapter("Denoising", denoising_section, denoising_warnings),
    Chapter("Registration", registration_section, registration_warnings),
    Chapter("Cells and nuclei", segmentation_section, segmentation_warnings),
    Chapter("Nanoparticles", nanoparticles_section, nanoparticles_warnings),
    Chapter("Shape", shape_section),
    Chapter("Spatial relations", space_section),
)
