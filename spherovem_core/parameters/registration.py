"""Parameters of the stage registration."""

from typing import Literal

from pydantic import Field

from spherovem_core.parameters.base import EXPERT, StageParameters


class RegistrationParameters(StageParameters):
    """Alignment of consecutive slices."""

    model: Literal["translation", "rigid", "similarity", "affine", "none"] = Field(
        default="affine",
        description="Model of the motion between two slices. With none, the slices are aligned already and are taken as they "
        "are, without a crop.",
    )
    levels: int = Field(
        json_schema_extra=EXPERT,
        default=4,
        ge=1,
        le=8,
        description="Resolutions from coarse to fine, each half the next.",
    )
    max_iterations: int = Field(
        json_schema_extra=EXPERT,
        default=40,
        ge=1,
        le=500,
        description="Largest number of optimiser steps per resolution.",
    )
    tolerance_px: float = Field(
        json_schema_extra=EXPERT,
        default=0.005,
        gt=0.0,
        le=1.0,
        description="A resolution ends when a step moves no corner further than this.",
    )
    max_shift_fraction: float = Field(
        json_schema_extra=EXPERT,
        default=0.5,
        gt=0.0,
        le=0.9,
        description="Largest shift between two slices, as a fraction of the slice's side.",
    )
    min_similarity: float = Field(
        json_schema_extra=EXPERT,
        default=0.2,
        ge=-1.0,
        le=1.0,
        description="A pair whose normalised cross-correlation stays below is not trusted.",
    )
    working_pixels: int = Field(
        json_schema_extra=EXPERT,
        default=1_200_000,
        ge=10_000,
        le=1_000_000_000,
        description="Slices with more pixels are binned for the estimate of their motion; the warp is not.",
    )
    min_overlap: float = Field(
        json_schema_extra=EXPERT,
        default=0.15,
        ge=0.05,
        le=1.0,
        description="A pair that overlaps by a smaller fraction of the slice is not trusted.",
    )
    usual_strain: float = Field(
        json_schema_extra=EXPERT,
        default=0.01,
        gt=0.0,
        le=1.0,
        description="Stretch and shear that are usual between slices; where a slice shows little, estimates are drawn to none.",
    )
    max_stretch: float = Field(
        json_schema_extra=EXPERT,
        default=0.1,
        gt=0.0,
        le=1.0,
        description="A pair whose motion stretches or shrinks by a larger fraction is not trusted.",
    )
    max_uncertainty_px: float = Field(
        json_schema_extra=EXPERT,
        default=2.0,
        gt=0.0,
        le=1000.0,
        description="A pair whose motion is uncertain by more is not trusted.",
    )
    reference: Literal["middle", "first"] = Field(
        json_schema_extra=EXPERT,
        default="middle",
        description="Slice whose position stays; scale and rotation of the frame are the mean of the slices.",
    )
    drift: Literal["chain", "links", "detrend"] = Field(
        default="detrend",
        description=(
            "Computation of positions from pairs: chain composes neighbours; links solves neighbours and longer links "
            "together; detrend does that too, but leaves slow drift as acquired, so that leaning tissue keeps its lean. "
            "Jumps are corrected by all three."
        ),
    )
    link_distances: tuple[int, ...] = Field(
        json_schema_extra=EXPERT,
        default=(1, 2, 3),
        min_length=1,
        max_length=8,
        description="Distances in slices of the links that are solved together when drift is links or detrend.",
    )
    trend_slices: int = Field(
        json_schema_extra=EXPERT,
        default=50,
        ge=3,
        le=10000,
        description=(
            "Drift slower than this many slices is shown as drift, and left as acquired when drift is detrend; "
            "also the window of the lean that is shown."
        ),
    )
    deformation_trend_slices: int = Field(
        json_schema_extra=EXPERT,
        default=10,
        ge=0,
        le=10000,
        description=(
            "Rotation, scale and shear that change more slowly than this many slices are taken for tissue and "
            "left as acquired; 0 corrects all of them, and leaves those slower than trend_slices when drift is detrend."
        ),
    )
    refinement: Literal["none", "elastic"] = Field(
        json_schema_extra=EXPERT,
        default="none",
        description=(
            "Correction of local distortion on top of the map of each slice: elastic finds smooth local fields that jitter from "
            "slice to slice; what changes slowly with depth is taken for tissue."
        ),
    )
    resample_z: bool = Field(
        json_schema_extra=EXPERT,
        default=False,
        description=(
            "Place slices along z by their estimated thickness and resample the image to even steps; where the thickness is "
            "not known well enough, the slices keep even steps and the report says so."
        ),
    )
    interpolation: Literal["cubic", "lanczos", "linear"] = Field(
        json_schema_extra=EXPERT, default="cubic", description="Interpolation of the final warp."
    )
