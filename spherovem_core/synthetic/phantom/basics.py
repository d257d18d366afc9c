"""Fields that every part of the phantom's parameters shares."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from spherovem_core.spacing import NM_PER_UM, pixel_nm


class Basics(BaseModel):
    """Size, voxel size and seed of a phantom."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    shape: tuple[int, int, int] = Field(
        default=(64, 512, 512), description="Slices, rows and columns of the acquired stack."
    )
    spacing_nm: tuple[float, float, float] = Field(
        default=(120.0, 40.0, 40.0), description="Voxel size in nm along z, y and x."
    )
    seed: int = Field(default=0, ge=0, description="Seed of everything random in the phantom.")

    @property
    def pixel_um(self) -> float:
        """Side in µm of a square pixel of the same area."""
        return pixel_nm(self.spacing_nm) / NM_PER_UM

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
