"""Parameters of the specimen mask, a step of the stage nanoparticles."""

from pydantic import Field

from spherovem_core.parameters.base import EXPERT, PositiveNm, StageParameters

MOST_TILES = 2**24
"""Voxels of the largest specimen mask: all that follows the pass over the image works on them in memory."""


class SpecimenParameters(StageParameters):
    """Search for resin, lumina and charging."""

    find_resin: bool = Field(
        default=True,
        description="Look for resin, lumina and charging streaks; off takes the whole image as specimen.",
    )
    specimen_spacing_nm: PositiveNm = Field(
        json_schema_extra=EXPERT,
        default=120.0,
        description="Voxel size in nm of the specimen mask; coarser in very large volumes.",
    )
    # Resin of the phantom's clefts had 0.10 of the tissue's structure, resin with clouds of 3 grey values 0.03; the flattest
    # 0.01 % of tissue had 0.25 (cells of 14 µm), and 0.33 and more elsewhere.
    max_resin_structure: float = Field(
        json_schema_extra=EXPERT,
        default=0.15,
        gt=0.0,
        le=0.5,
        description="Resin has at most this fraction of the tissue's structure: the variance at 0.1 to 1 µm, without noise.",
    )
    min_resin_width_nm: PositiveNm = Field(
        json_schema_extra=EXPERT,
        default=1500.0,
        description="Narrower resin is taken as specimen; resin that the image's border cuts counts twice its width.",
    )
    min_lumen_width_nm: PositiveNm = Field(
        json_schema_extra=EXPERT,
        default=2500.0,
        description="Narrower resin that tissue encloses is taken as specimen.",
    )
    min_streak_length_nm: PositiveNm = Field(
        json_schema_extra=EXPERT,
        default=700.0,
        description="Shortest charging streak: a line along a row, at most three pixels high.",
    )


def specimen_part(parameters: SpecimenParameters) -> SpecimenParameters:
    """Take the parameters of the specimen mask out of those of the stage."""
    return SpecimenParameters(**{name: getattr(parameters, name) for name in SpecimenParameters.model_fields})
