"""Parameters of cells and nuclei."""

from __future__ import annotations

from pydantic import Field, model_validator

from spherovem_core.synthetic.phantom.basics import Basics


class TissueParameters(Basics):
    """Parameters of cells and nuclei."""

    cell_diameter_um: float = Field(
        default=5.5, ge=0.5, le=50, description="Mean diameter in µm of a ball with the volume of a cell."
    )
    cell_diameter_cv: float = Field(
        default=0.12,
        ge=0,
        le=0.3,
        description="Relative standard deviation of the cell diameters; packing alone gives 0.08.",
    )
    cell_elongation: float = Field(
        default=0.12, ge=0, le=0.25, description="Spread of the axis ratios of cells; 0 is round."
    )
    cell_waviness: float = Field(
        default=1.0, ge=0, le=1.5, description="Unevenness of the cell surfaces; 0 is flat."
    )
    membrane_width_nm: float = Field(
        default=40.0, ge=5, le=500, description="Width in nm of the dark line of one membrane."
    )
    extracellular_fraction: float = Field(
        default=0.2, ge=0, le=1, description="Fraction of the contacts between cells that open into a cleft."
    )
    extracellular_width_nm: float = Field(
        default=600.0, ge=0, le=5000, description="Width in nm of the widest clefts between cells."
    )

    nucleus_fraction: float = Field(
        default=0.62,
        ge=0.2,
        le=0.8,
        description="Diameter of a nucleus as a fraction of its cell's diameter.",
    )
    nucleus_fraction_cv: float = Field(
        default=0.07, ge=0, le=0.2, description="Relative standard deviation of that fraction."
    )
    anucleate_fraction: float = Field(
        default=0.1, ge=0, le=1, description="Fraction of the cells without a nucleus."
    )
    binucleate_fraction: float = Field(
        default=0.1, ge=0, le=1, description="Fraction of the cells with two nuclei."
    )

    multinucleate_fraction: float = Field(
        default=0.0, ge=0, le=1, description="Fraction of the cells with three to six nuclei."
    )
    dividing_fraction: float = Field(
        default=0.0, ge=0, le=1, description="Fraction of the cells that divide."
    )
    dead_fraction: float = Field(default=0.0, ge=0, le=1, description="Fraction of the cells that are dead.")

    @model_validator(mode="after")
    def _check_shares(self) -> TissueParameters:
        if self.anucleate_fraction + self.binucleate_fraction > 1:
            raise ValueError("anucleate_fraction and binucleate_fraction add up to more than 1; lower one")
        if self.multinucleate_fraction + self.dividing_fraction + self.dead_fraction > 1:
            raise ValueError(
                "multinucleate_fraction, dividing_fraction and dead_fraction add up to more than 1; lower one"
            )
        return self
