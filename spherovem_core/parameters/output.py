"""Parameters of the stage output."""

from pydantic import Field

from spherovem_core.parameters.base import EXPERT, PositiveNm, StageParameters


class OutputParameters(StageParameters):
    """Tables and report."""

    particle_density_g_cm3: float | None = Field(
        json_schema_extra=EXPERT,
        default=None,
        gt=0.0,
        le=30.0,
        description="Density of the nanoparticles in g/cm³, such as 19.3 for gold; left empty, no mass is stated.",
    )
    membrane_distance_nm: PositiveNm = Field(
        json_schema_extra=EXPERT,
        default=100.0,
        description="A particle is at the membrane where its surface is at most so far from that of its cell.",
    )
    perinuclear_distance_nm: PositiveNm = Field(
        json_schema_extra=EXPERT,
        default=500.0,
        description="A particle is perinuclear where it is at most so far from the nucleus of its cell, and not in it.",
    )
    report_image_px: int = Field(
        json_schema_extra=EXPERT,
        default=900,
        ge=200,
        le=4000,
        description="Longest side in pixels of an image in the report.",
    )
