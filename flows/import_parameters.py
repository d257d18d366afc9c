"""Parameters of an import of labels."""

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spherovem_core.spacing import LARGEST_SIDE_NM, NM_PER_UM, SMALLEST_SIDE_NM, SpacingNm


class ImportParameters(BaseModel):
    """Labels that were edited in another program."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    file: str = Field(
        default="",
        description="Label file or folder, as the worker sees it; FILE.npz:NAME names an array. Empty for none.",
    )
    as_labels: bool = Field(
        default=False,
        description="Take the file as the segmentation, with its numbers, instead of correcting the present one.",
    )
    spacing_nm: list[float] = Field(
        default=[],
        description="Voxel size z, y, x of the file in nm; empty for what it states, or that of the level of its shape.",
    )
    offset_um: list[float] = Field(
        default=[],
        description="Centre z, y, x of the file's first voxel in µm, in the frame of the tables; empty for what the file states.",
    )
    exact: bool = Field(
        default=False,
        description="Take every voxel of a coarser file as it is, also at borders that only its sampling moved.",
    )
    any_overlap: bool = Field(
        default=False, description="Accept labels that have almost nothing in common with the present ones."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "ImportParameters":
        sound = all(SMALLEST_SIDE_NM <= side <= LARGEST_SIDE_NM for side in self.spacing_nm)
        if self.spacing_nm and (len(self.spacing_nm) != 3 or not sound):
            raise ValueError(
                f"spacing_nm: got {self.spacing_nm}; expected three sizes: z, y, x in nm, from {SMALLEST_SIDE_NM:g} to "
                f"{LARGEST_SIDE_NM:g}"
            )
        if self.offset_um and len(self.offset_um) != 3:
            raise ValueError(f"offset_um: got {self.offset_um}; expected three numbers: z, y, x in µm")
        if self.as_labels and (self.spacing_nm or self.offset_um):
            raise ValueError(
                "as_labels takes voxel size and offset from the file; write them into it, and leave out spacing_nm and offset_um"
            )
        if not self.file and self.model_fields_set - {"file"} and self != ImportParameters():
            raise ValueError("file is empty; name the label file, or leave out all parameters of the import")
        return self

    @property
    def file_spacing_nm(self) -> SpacingNm | None:
        """Voxel size, None for what the file states."""
        if not self.spacing_nm:
            return None
        z, y, x = self.spacing_nm
        return z, y, x

    @property
    def file_origin_nm(self) -> SpacingNm | None:
        """Centre of the first voxel, None for what the file states."""
        if not self.offset_um:
            return None
        z, y, x = (NM_PER_UM * place for place in self.offset_um)
        return z, y, x
