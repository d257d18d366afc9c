"""Parameters of the microscope."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from spherovem_core.synthetic.phantom.basics import Basics


class MicroscopeParameters(Basics):
    """Parameters of the microscope: depth of the signal, detector, drift, placement of the slices."""

    section_thickness: float = Field(
        default=0.0,
        ge=0,
        le=3,
        description="Depth that adds to the signal of a slice, in slice distances; 0 shows only the plane of the slice.",
    )
    escape_depth_nm: float = Field(
        default=0.0,
        ge=0,
        le=2000,
        description="Depth in nm over which the signal falls by 1/e below the surface of the slice; 0: it does not fall.",
    )
    depth_samples: int = Field(
        default=3, ge=1, le=32, description="Planes of tissue averaged over the depth of a slice."
    )
    slice_distance_cv: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Relative standard deviation of the distance between slices.",
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
    poisson_counts: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        description="Counts of the detector at grey value 128; above 0, Poisson counts replace the shot noise.",
    )
    noise_correlation_px: tuple[float, float] = Field(
        default=(0.0, 0.0),
        description="Standard deviation in pixels along y and x of the Gaussian that correlates the noise.",
    )
    contrast: float = Field(
        default=1.0, ge=0.05, le=10, description="Contrast set at the detector, about grey value 128."
    )
    brightness: float = Field(
        default=0.0, ge=-200, le=200, description="Brightness set at the detector in grey values."
    )
    inverted: bool = Field(default=False, description="Show grey value g as 255 - g: particles are dark.")
    bits: Literal[8, 16] = Field(default=8, description="Bits of a pixel.")
    counts_per_grey: float = Field(
        default=16.0, gt=0, le=257, description="Stored value per grey value in 16 bits."
    )
    counts_at_black: float = Field(
        default=1000.0, ge=0, le=60000, description="Stored value of grey value 0 in 16 bits."
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

    @field_validator("noise_correlation_px")
    @classmethod
    def _check_correlation(cls, lengths: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= length <= 20 for length in lengths):
            raise ValueError(f"noise_correlation_px is {lengths}; give two lengths from 0 to 20 pixels")
        return lengths
