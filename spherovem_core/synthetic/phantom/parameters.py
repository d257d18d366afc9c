"""Parameters of the tissue and of the microscope of a phantom."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class PhantomParameters(BaseModel):
    """Parameters of a synthetic spheroid acquisition.

    Grey values are on the 8-bit scale. Membranes lie near 60, cytoplasm near 128, clefts and vesicles near 150 and
    nanoparticles near 220, before the microscope adds blur, drift and noise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, int, int] = Field(
        default=(64, 512, 512), description="Slices, rows and columns of the acquired stack."
    )
    spacing_nm: tuple[float, float, float] = Field(
        default=(120.0, 40.0, 40.0), description="Voxel size in nm along z, y and x."
    )
    seed: int = Field(default=0, ge=0, description="Seed of everything random in the phantom.")

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

    nanoparticle_volume_fraction: float = Field(
        default=0.002, ge=0, le=0.08, description="Fraction of the volume taken by nanoparticles."
    )
    nanoparticle_diameter_nm: float = Field(
        default=320.0, ge=10, le=2000, description="Mean diameter in nm of a single nanoparticle."
    )
    nanoparticle_diameter_cv: float = Field(
        default=0.12, ge=0, le=0.3, description="Relative standard deviation of the diameters."
    )
    nanoparticle_cluster_size: float = Field(
        default=5.0, ge=1, le=100, description="Mean number of nanoparticles in a cluster."
    )
    nanoparticle_extracellular_fraction: float = Field(
        default=0.03, ge=0, le=1, description="Fraction of the nanoparticles outside cells."
    )
    nanoparticle_intensity: float = Field(
        default=220.0, ge=0, le=255, description="Mean grey value of the nanoparticles."
    )
    nanoparticle_intensity_sd: float = Field(
        default=8.0, ge=0, le=60, description="Standard deviation of that grey value between particles."
    )

    read_noise: float = Field(
        default=3.5, ge=0, le=100, description="Standard deviation of the read noise in grey values."
    )
    shot_noise: float = Field(
        default=4.5,
        ge=0,
        le=100,
        description="Standard deviation of the shot noise at grey value 128; grows with the square root.",
    )
    blur_nm: float = Field(
        default=16.0, ge=0, le=1000, description="Standard deviation of the detector's blur in nm."
    )
    gain_drift: float = Field(
        default=0.03, ge=0, le=0.3, description="Relative standard deviation of the contrast between slices."
    )
    offset_drift: float = Field(
        default=3.0,
        ge=0,
        le=60,
        description="Standard deviation of the brightness between slices in grey values.",
    )
    shading: float = Field(
        default=0.02, ge=0, le=0.5, description="Relative change of brightness across a slice."
    )
    jitter_shift_px: float = Field(
        default=3.0,
        ge=0,
        le=100,
        description="Standard deviation of the random shift of each slice in pixels.",
    )
    drift_shift_px: float = Field(
        default=3.0, ge=0, le=100, description="Standard deviation of the slow drift of the stage in pixels."
    )
    jitter_rotation_deg: float = Field(
        default=0.25, ge=0, le=20, description="Standard deviation of the rotation of each slice in degrees."
    )
    jitter_scale: float = Field(
        default=0.002, ge=0, le=0.1, description="Standard deviation of the scale and shear of each slice."
    )

    @field_validator("shape")
    @classmethod
    def _check_shape(cls, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        if shape[0] < 1 or min(shape[1:]) < 16:
            raise ValueError(f"shape is {shape}; give at least (1, 16, 16)")
        return shape

    @field_validator("spacing_nm")
    @classmethod
    def _check_spacing(cls, spacing: tuple[float, float, float]) -> tuple[float, float, float]:
        if not all(0 < value < 1e5 for value in spacing):
            raise ValueError(f"spacing_nm is {spacing}; give three sizes in nm above zero")
        return spacing

    @model_validator(mode="after")
    def _check_shares(self) -> PhantomParameters:
        if self.anucleate_fraction + self.binucleate_fraction > 1:
            raise ValueError("anucleate_fraction and binucleate_fraction add up to more than 1; lower one")
        return self
