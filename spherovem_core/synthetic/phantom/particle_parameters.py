"""Parameters of the nanoparticles."""

from __future__ import annotations

from pydantic import Field, model_validator

from spherovem_core.synthetic.phantom.basics import Basics


class ParticleParameters(Basics):
    """Parameters of the nanoparticles and of where they lie."""

    nanoparticle_volume_fraction: float = Field(
        default=0.002, ge=0, le=0.08, description="Fraction of the volume taken by nanoparticles."
    )
    nanoparticle_diameter_nm: float = Field(
        default=320.0, ge=10, le=2000, description="Mean diameter in nm of a single nanoparticle."
    )
    nanoparticle_diameter_cv: float = Field(
        default=0.12, ge=0, le=0.3, description="Relative standard deviation of the diameters."
    )
    nanoparticle_diameter_range_px: tuple[float, float] | None = Field(
        default=None,
        description="Smallest and largest diameter in pixels, drawn evenly on a logarithmic scale; replaces the mean "
        "diameter and its spread.",
    )
    nanoparticle_cluster_size: float = Field(
        default=5.0, ge=1, le=100, description="Mean number of nanoparticles in a cluster."
    )
    nanoparticle_gap: float = Field(
        default=0.06,
        ge=0,
        le=3,
        description="Widest gap between neighbours in a cluster relative to the sum of their radii; 0 lets them touch.",
    )
    nanoparticle_extracellular_fraction: float = Field(
        default=0.03, ge=0, le=1, description="Fraction of the nanoparticles outside cells, in clefts."
    )
    nanoparticle_membrane_fraction: float = Field(
        default=0.0, ge=0, le=1, description="Fraction of the nanoparticles on the membranes of cells."
    )
    nanoparticle_resin_fraction: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Fraction of the nanoparticles in resin and lumina, if there are any.",
    )
    vesicle_room_nm: float = Field(
        default=50.0, ge=0, le=1000, description="Width in nm of the light lumen around clusters in cells."
    )
    nanoparticle_intensity: float = Field(
        default=220.0, ge=0, le=255, description="Mean grey value of the nanoparticles."
    )
    nanoparticle_intensity_sd: float = Field(
        default=8.0, ge=0, le=60, description="Standard deviation of that grey value between particles."
    )

    second_volume_fraction: float = Field(
        default=0.0,
        ge=0,
        le=0.08,
        description="Fraction of the volume taken by a second kind of nanoparticle.",
    )
    second_diameter_nm: float = Field(
        default=240.0, ge=10, le=2000, description="Mean diameter in nm of the second kind."
    )
    second_intensity: float = Field(
        default=180.0, ge=0, le=255, description="Mean grey value of the second kind."
    )
    second_intensity_sd: float = Field(
        default=6.0, ge=0, le=60, description="Standard deviation of the grey value of the second kind."
    )
    rare_fraction: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Fraction of the nanoparticles that are far brighter than the others.",
    )
    rare_intensity: float = Field(
        default=3000.0, ge=0, le=65535, description="Grey value of those; above 255 it needs 16 bits to show."
    )

    @model_validator(mode="after")
    def _check_places(self) -> ParticleParameters:
        fractions = (
            self.nanoparticle_extracellular_fraction,
            self.nanoparticle_membrane_fraction,
            self.nanoparticle_resin_fraction,
        )
        if sum(fractions) > 1:
            raise ValueError(
                "nanoparticle_extracellular_fraction, nanoparticle_membrane_fraction and nanoparticle_resin_fraction "
                f"add up to {sum(fractions):g}; lower one so that they add up to 1 or less"
            )
        return self

    @model_validator(mode="after")
    def _check_range(self) -> ParticleParameters:
        limits = self.nanoparticle_diameter_range_px
        if limits is not None and not 0 < limits[0] <= limits[1] <= 100:
            raise ValueError(
                f"nanoparticle_diameter_range_px is {limits}; give the smallest, then the largest diameter, up to 100"
            )
        return self
