"""Audit: a random sample of objects and places that a person judges, and what follows for counts, volumes and fractions."""

from typing import TYPE_CHECKING

from spherovem_core.utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from spherovem_core.audit.drawing import draw_sample
    from spherovem_core.audit.estimates import estimate
    from spherovem_core.audit.journal import AuditEntry, AuditJournal
    from spherovem_core.audit.places import PlaceFrame, draw_places
    from spherovem_core.audit.sample import AuditSample, SampledObject, SampledPlace
    from spherovem_core.audit.verdicts import Judged, read_verdicts

__getattr__ = lazy_names(__name__, __file__)

__all__ = [
    "AuditEntry",
    "AuditJournal",
    "AuditSample",
    "Judged",
    "PlaceFrame",
    "SampledObject",
    "SampledPlace",
    "draw_places",
    "draw_sample",
    "estimate",
    "read_verdicts",
]
