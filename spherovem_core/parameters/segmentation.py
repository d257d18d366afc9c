"""Parameters of the stage segmentation, which has two steps for each kind of object: flows and masks.

A user sees one flat group per kind, `ObjectParameters`. Each step sees its own part of it, so that a change of the one leaves
the other's digest as it was.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from spherovem_core.parameters.base import EXPERT, Percentiles, PositiveNm, StageParameters

TAKEN_NAMES = (
    "cells", "nuclei", "nanoparticles", "other_objects", "agglomerates", "contacts", "uptake", "means", "totals", "slices",
    "spatial", "stages", "none", "suspects_cells", "suspects_nuclei", "suspects_nanoparticles",
    "audit_cells", "audit_nuclei", "audit_nanoparticles",
)  # fmt: skip
KindName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
"""Name of a further kind of objects: of its table, its label array and its steps."""
LabelFile = Annotated[str, StringConstraints(min_length=1)]


class SegmenterParameters(StageParameters):
    """Method of the segmentation; both steps read it."""

    segmenter: str = Field(
        json_schema_extra=EXPERT,
        default="cellpose",
        min_length=1,
        description="Method of the segmentation: cellpose; imported takes the labels of the file that network names; none "
        "leaves this kind of object out.",
    )
    network: str = Field(
        default="cpsam_v2",
        min_length=1,
        description="Network: cpsam_v2, another name cellpose knows, a path to weights, phantom-compact or em-compact. With "
        "segmenter imported, the path of a label file (TIFF, OME-Zarr, NIfTI, npy, npz, MRC).",
    )


class FlowParameters(SegmenterParameters):
    """Input of the network, and its tiles."""

    flow_spacing_nm: PositiveNm = Field(
        default=100.0, description="Isotropic voxel size in nm at which the network sees the volume."
    )
    planes: Literal["all", "xy"] = Field(
        default="all",
        description="Planes that the network sees: all three, or xy alone for serial sections much thicker than flow_spacing_nm, "
        "which keep their thickness then.",
    )
    normalise_percentiles: Percentiles = Field(
        json_schema_extra=EXPERT,
        default=(1.0, 99.0),
        description="Intensity percentiles of the volume that become 0 and 1.",
    )
    # Planes of 384 take 4 tiles at 0.1 and 9 from 0.15 on, whose flows differ from those of one tile per plane
    # by 0.21 instead of 0.25 of 4.7 (python benchmarks/segmentation.py --parts overlap).
    tile_overlap: float = Field(
        json_schema_extra=EXPERT, default=0.1, ge=0.05, le=0.5, description="Overlap of the network's tiles."
    )
    # Tiles of 64 pixels with cells had 0.18 and more, resin 0.02 with noise of 4 grey values; 0.16 and 0.045 with noise
    # of 9, which no denoising took away (python benchmarks/segmentation.py --parts contrast).
    min_tile_contrast: float = Field(
        json_schema_extra=EXPERT,
        default=0.05,
        ge=0.0,
        le=1.0,
        description="Tiles with less contrast show no specimen and are skipped: the standard deviation within 32 x 32 "
        "pixels, of normalised intensities; 0 computes every tile.",
    )


class MaskParameters(SegmenterParameters):
    """Conversion of flows into objects."""

    mask_spacing_nm: PositiveNm = Field(
        default=50.0,
        description="Voxel size in nm at which masks are made; the level of the image pyramid nearest to it is taken, also for "
        "imported labels.",
    )
    probability_threshold: float = Field(
        default=0.0,
        ge=-10.0,
        le=10.0,
        description="Voxels whose cell-probability logit is above belong to an object.",
    )
    flow_error_threshold: float = Field(
        json_schema_extra=EXPERT,
        default=0.0,
        ge=0.0,
        le=10.0,
        description="Objects whose flows disagree with their shape by more than this (0 agreement, 2 chance) are "
        "dropped; 0 keeps all.",
    )
    mask_dynamics: Literal["compiled", "cellpose"] = Field(
        json_schema_extra=EXPERT,
        default="compiled",
        description="Code that follows the flows: compiled code on the CPU, or cellpose's own, which uses a GPU where one is.",
    )
    flow_smoothing: float = Field(
        json_schema_extra=EXPERT,
        default=1.0,
        ge=0.0,
        le=10.0,
        description="Gaussian smoothing of the flows in voxels of the flow resolution.",
    )
    curl_free: bool = Field(
        json_schema_extra=EXPERT,
        default=False,
        description="Remove the rotational part of the flows, which helps with nuclei that have holes.",
    )
    probability_filter: Literal["none", "median", "guided"] = Field(
        json_schema_extra=EXPERT,
        default="none",
        description="Filter of the cell probability: median, or guided by the edges of the image.",
    )
    probability_filter_voxels: int = Field(
        json_schema_extra=EXPERT,
        default=2,
        ge=1,
        le=8,
        description="Radius of the probability filter in voxels of the flow resolution.",
    )
    merging: Literal["auto", "boundary_strength"] = Field(
        json_schema_extra=EXPERT,
        default="auto",
        description="What decides on merging: auto takes the model that spherovem finetune wrote beside the network's weights, "
        "if there is one, which then divides objects too; boundary_strength ignores it.",
    )
    # On phantoms 1401 contacts of two cells had 0.30 and more, those within a cell 0.39 and less, half of them 0.12; at 0.2
    # to 0.35 F1 of cells rose by up to 0.007 and nothing was merged that should not be.
    merge_boundary_strength: float = Field(
        default=0.2,
        ge=0.0,
        le=1.0,
        description="Touching objects are merged while the boundary between them is at most this (0 none, 1 as sharp as "
        "can be, from probability and image gradient); 0 merges nothing.",
    )
    merge_contact_fraction: float = Field(
        json_schema_extra=EXPERT,
        default=0.2,
        ge=0.0,
        le=1.0,
        description="Only objects that touch with at least this fraction of the smaller one's surface are merged.",
    )
    fill_holes: bool = Field(
        json_schema_extra=EXPERT,
        default=True,
        description="Give background that lies inside one object to that object.",
    )
    min_diameter_um: float = Field(
        default=1.0, ge=0.0, le=1000.0, description="Objects of a smaller equivalent diameter are dropped."
    )
    max_truncated_fraction: float = Field(
        json_schema_extra=EXPERT,
        default=1.0,
        ge=0.0,
        le=1.0,
        description="Objects with more than this fraction of their surface on the volume's border are dropped; 1 keeps all.",
    )
    expansion_um: float = Field(
        json_schema_extra=EXPERT,
        default=0.0,
        ge=0.0,
        le=5.0,
        description="Objects grow by up to this distance into foreground that belongs to no object.",
    )


class ObjectParameters(FlowParameters, MaskParameters):
    """Instance segmentation of one kind of object by one segmenter."""

    @property
    def flows(self) -> FlowParameters:
        """Parameters that the step flows reads."""
        return FlowParameters.model_validate(_part(self, FlowParameters))

    @property
    def masks(self) -> MaskParameters:
        """Parameters that the step masks reads."""
        return MaskParameters.model_validate(_part(self, MaskParameters))


class CellParameters(ObjectParameters):
    """Instance segmentation of cells, whose defaults differ from those of nuclei."""

    min_diameter_um: float = Field(
        default=2.0, ge=0.0, le=1000.0, description="Objects of a smaller equivalent diameter are dropped."
    )


class NamedKindParameters(StageParameters):
    """Labels of a further kind of objects."""

    file: LabelFile = Field(description="Path of the label file.")
    mask_spacing_nm: PositiveNm = Field(description="That of cells and nuclei.")


class SegmentationParameters(StageParameters):
    """Instance segmentation of cells and nuclei."""

    cells: CellParameters = Field(default_factory=CellParameters, description="Segmentation of cells.")
    nuclei: ObjectParameters = Field(default_factory=ObjectParameters, description="Segmentation of nuclei.")

    others: dict[KindName, LabelFile] = Field(
        json_schema_extra=EXPERT,
        default_factory=dict,
        description="Label files of further kinds of objects by their name, such as mitochondria: /data/mitochondria.tif; each "
        "kind gets a table of its own.",
    )

    def of(self, kind: Literal["cells", "nuclei"]) -> ObjectParameters:
        """Return the parameters of one kind."""
        return self.cells if kind == "cells" else self.nuclei

    @field_validator("others")
    @classmethod
    def _names_are_free(cls, others: dict[str, str]) -> dict[str, str]:
        if taken := sorted(name for name in others if name in TAKEN_NAMES or name.endswith("_automatic")):
            raise ValueError(
                f"{taken[0]} is the name of other labels or of another table; choose another name"
            )
        return others

    @model_validator(mode="after")
    def _masks_lie_on_one_grid(self) -> Self:
        cells, nuclei = self.cells.mask_spacing_nm, self.nuclei.mask_spacing_nm
        if cells == nuclei:
            return self
        # A kind that is left out has no masks of its own to compare, and one whose value nobody gave follows the other.
        if self.nuclei.segmenter == "none" or not _is_spacing_given(self.nuclei):
            object.__setattr__(self, "nuclei", self.nuclei.model_copy(update={"mask_spacing_nm": cells}))
        elif self.cells.segmenter == "none" or not _is_spacing_given(self.cells):
            object.__setattr__(self, "cells", self.cells.model_copy(update={"mask_spacing_nm": nuclei}))
        else:
            raise ValueError(
                f"cells.mask_spacing_nm is {cells:g} and nuclei.mask_spacing_nm {nuclei:g}; "
                "masks of cells and nuclei are compared voxel by voxel: make them equal, give one of them alone, or leave one "
                "kind out by its segmenter none"
            )
        return self


def _part(parameters: StageParameters, model: type[StageParameters]) -> dict[str, object]:
    return {name: getattr(parameters, name) for name in model.model_fields}


def _is_spacing_given(parameters: MaskParameters) -> bool:
    return "mask_spacing_nm" in parameters.model_fields_set
