"""Parameters of the stage nanoparticles."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from spherovem_core.parameters.base import EXPERT, PositiveNm
from spherovem_core.parameters.specimen import SpecimenParameters


def _empty_is_none(value: Any) -> Any:
    """Read an empty range as none."""
    return None if isinstance(value, str | list | tuple) and len(value) == 0 else value


DiameterRange = Annotated[tuple[PositiveNm, PositiveNm] | None, BeforeValidator(_empty_is_none)]


class NanoparticleParameters(SpecimenParameters):
    """Specimen mask; detection, delineation and judgement of nanoparticles."""

    method: Literal["detect", "imported", "none"] = Field(
        json_schema_extra=EXPERT,
        default="detect",
        description="Origin of the nanoparticles: detect finds them in the image; imported takes the labels of the file that "
        "labels names; none leaves them out.",
    )
    labels: str | None = Field(
        json_schema_extra=EXPERT,
        default=None,
        description="Path of a label file (TIFF, OME-Zarr, NIfTI, npy, npz, MRC); with method imported only.",
    )
    polarity: Literal["bright", "dark"] = Field(
        default="bright", description="Contrast of nanoparticles: brighter or darker than the specimen."
    )
    expected_diameter_nm: DiameterRange = Field(
        default=None,
        description="Smallest and largest diameter of a single particle; empty takes what the image shows.",
    )
    max_diameter_nm: PositiveNm = Field(
        default=600.0,
        description="Without an expected diameter, larger bodies that are no clump of particles are not nanoparticles.",
    )
    min_confidence: float = Field(
        default=0.6,
        ge=0.01,
        le=0.99,
        description="Objects less likely to be nanoparticles than this count as other objects.",
    )
    min_volume_nm3: float = Field(
        default=0.0,
        ge=0.0,
        le=1e15,
        description="Particles with less volume are dropped; 0 keeps all of two voxels and more.",
    )
    split_touching: bool = Field(
        default=True,
        description="Split touching particles where the size of a particle is expected or evident.",
    )
    smoothing_nm: float = Field(
        json_schema_extra=EXPERT,
        default=17.0,
        ge=0.0,
        le=1000.0,
        description="Gaussian smoothing in the plane before candidates are sought; at least 0.6 pixels.",
    )
    false_candidates_per_million: float = Field(
        json_schema_extra=EXPERT,
        default=33.0,
        gt=0.0,
        le=1e5,
        description="Maxima of the tissue's texture, per million voxels, that may pass as candidates; more finds "
        "fainter particles.",
    )

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.expected_diameter_nm and self.expected_diameter_nm[0] > self.expected_diameter_nm[1]:
            low, high = self.expected_diameter_nm
            raise ValueError(f"expected_diameter_nm is {low:g} to {high:g}; give the smaller diameter first")
        return self
