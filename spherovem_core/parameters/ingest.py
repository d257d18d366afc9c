"""Parameters of the stage ingest."""

from typing import Literal

from pydantic import Field, FiniteFloat, model_validator

from spherovem_core.parameters.base import EXPERT, StageParameters
from spherovem_core.parameters.exclusions import ExcludedSlices
from spherovem_core.spacing import SideNm


class IngestParameters(StageParameters):
    """Reading of the acquired slices."""

    spacing_nm: tuple[SideNm, SideNm, SideNm] | None = Field(
        default=None,
        description="Voxel size (z, y, x) in nm. Left empty, it is taken from acquisition.json, then from the metadata.",
    )
    series: str = Field(
        json_schema_extra=EXPERT,
        default="",
        max_length=200,
        description="Series of slices to read, where the folder holds several: a detector, sample, part or tile, by words of its "
        "file names such as InLens. Left empty, acquisition.json decides; several series are an error.",
    )
    dataset: str | None = Field(
        json_schema_extra=EXPERT,
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
        "then the lettering that is the same in all slices; what is only likely to be a databar is asked about.",
    )
    databar_top_rows: int | None = Field(
        json_schema_extra=EXPERT,
        default=None,
        ge=0,
        description="Rows of a databar to cut off at the top; 0 keeps it. Left empty, none are cut off, and rows that are likely "
        "to be a databar are asked about.",
    )
    on_bad_slice: Literal["error", "interpolate"] = Field(
        default="error",
        description="Treatment of a missing, truncated, blank or saturated slice: stop the run, or fill it from its neighbours.",
    )
    exclude_slices: ExcludedSlices = Field(
        default=(),
        description="Slices to leave out, each with the reason: '42: fold' by its number, '12-18: charging' from the first to "
        "the last number, 'slice_0042.tif: fold' by the name of its file. They are filled from their neighbours; at the ends "
        "of the stack they are cut off.",
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
        description="Longest run of bad or excluded slices that is filled from its neighbours; a longer one stops the run.",
    )
    value_range: tuple[FiniteFloat, FiniteFloat] | None = Field(
        json_schema_extra=EXPERT,
        default=None,
        description="Range (low, high) that is stored as 0 to 65535 where the slices are neither uint8 nor uint16; values beyond "
        "it are clipped. Left empty, that of all slices; whole numbers that span less than 65536 are then kept exactly.",
    )
    slice_number_step: int = Field(
        json_schema_extra=EXPERT,
        default=1,
        ge=1,
        le=1_000_000,
        description="Difference between the numbers in the names of consecutive slices.",
    )

    @model_validator(mode="after")
    def _check_value_range(self) -> "IngestParameters":
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise ValueError(f"value_range is {self.value_range}; expected (low, high) with low below high")
        return self
