"""Stage 1: find, check and read what the microscope wrote, and hand it over slice by slice."""

from spherovem_core.ingest.ingestion import ingest_stack
from spherovem_core.ingest.sources import source_digest
from spherovem_core.ingest.stack import SliceStack
from spherovem_core.ingest.survey import Survey, open_stack, survey_stack

__all__ = ["SliceStack", "Survey", "ingest_stack", "open_stack", "source_digest", "survey_stack"]
