"""The ingest stage: slices as acquired become one checked image with its voxel spacing."""

from typing import TYPE_CHECKING

from spherovem_core.ingest.source_digest import source_digest
from spherovem_core.utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from spherovem_core.ingest.databar import unstated_databar
    from spherovem_core.ingest.in_memory import AcquiredStack, read_stack
    from spherovem_core.ingest.ingestion import ingest_stack
    from spherovem_core.ingest.opening import open_stack
    from spherovem_core.ingest.selection import acquired_files
    from spherovem_core.ingest.source_files import find_source_files
    from spherovem_core.ingest.stack import SliceStack
    from spherovem_core.ingest.survey import AcquisitionReport, survey_stack
    from spherovem_core.ingest.value_range import with_grey_scale

__getattr__ = lazy_names(__name__, __file__)

__all__ = [
    "AcquiredStack",
    "AcquisitionReport",
    "SliceStack",
    "acquired_files",
    "find_source_files",
    "ingest_stack",
    "open_stack",
    "read_stack",
    "source_digest",
    "survey_stack",
    "unstated_databar",
    "with_grey_scale",
]
