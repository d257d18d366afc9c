"""Stage 8: final tables, report and summary."""

from spherovem_core.output.agglomerate_places import with_agglomerate_places
from spherovem_core.output.doses import with_doses
from spherovem_core.output.particle_places import with_particle_places
from spherovem_core.output.report import build_report
from spherovem_core.output.summary import summarise
from spherovem_core.output.tables import join_tables
from spherovem_core.output.uptake import uptake_table

__all__ = [
    "build_report",
    "join_tables",
    "summarise",
    "uptake_table",
    "with_agglomerate_places",
    "with_doses",
    "with_particle_places",
]
