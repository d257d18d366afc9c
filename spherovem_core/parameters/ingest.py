"""Parameters of the stage ingest."""

from typing import Literal

from pydantic import Field

from spherovem_core.parameters.base import EXPERT, PositiveNm, StageParameters


class IngestParameters(StageParameters):
    """Reading of the acquired slices."""

    spacing_nm: tuple[PositiveNm, PositiveNm, PositiveNm] | None = Field(
        default=None,
        description="Voxel size (z, y, x) in nm. Left empty, it is taken from acquisition.json, then from the metadata.",
    )
    dataset: str | None = Field(
        default=None,
        min_length=1,
        description="Path of the dataset in a file or folder that holds several (HDF5, zarr, N5), such as volumes/raw; c=0 or "
        "t=0 after it chooses a channel or time point. Left empty, the only one is taken.",
    )
    absent_chunks: Literal["error", "fill"] = Field(
        json_schema_extra=EXPERT,
        default="error",
        description="Chunks of a zarr, N5, HDF5 or precomputed volume that are not there: a fault, or the fill value, which "
        "programs leave out when they write.",
    )
    trust_resolution_tags: bool = Field(
        json_schema_extra=EXPERT,
        default=False,
        description="Use the baseline TIFF resolution tags for x and y; on most instruments they hold the screen's dpi.",
    )
    databar_rows: int | None = Field(
        default=None,
        ge=0,
        description="Rows of the instrument's databar to cut off at the bottom; 0 keeps it. Left empty, the metadata decide, "
        "then the lettering that is the same in all slices.",
    )
    on_bad_slice: Literal["error", "interpolate"] = Field(
        default="error",
        description="Treatment of a missing, truncated, blank or saturated slice: stop the run, or fill it from its neighbours.",
    )
    blank_fraction: float = Field(
        json_schema_extra=EXPERT,
        default=0.999,
        gt=0.5,
        le=1.0,
        description="A slice with at least this fraction of voxels of one value counts as blank or saturated.",
    )
    max_filled_slices: int = Field(
        json_schema_extra=EXPERT,
        default=5,
        ge=1,
        le=1000,
        description="Longest run of bad slices that is filled from its neighbours; a longer one stops the run.",
    )
    slice_number_step: int = Field(
        json_schema_extra=EXPERT,
        default=1,
        ge=1,
        le=1_000_000,
        description="Difference between the numbers in the names of consecutive slices.",
    )
