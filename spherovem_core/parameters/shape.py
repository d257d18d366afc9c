"""Parameters of the stage shape."""

from pydantic import Field

from spherovem_core.parameters.base import EXPERT, StageParameters


class ShapeParameters(StageParameters):
    """Shape descriptors of cells and nuclei."""

    smoothing_nm: float | None = Field(
        json_schema_extra=EXPERT,
        default=None,
        gt=0.0,
        le=10000.0,
        description="Smoothing of surfaces before areas are taken. Left empty, 1.75 times the largest voxel side. "
        "Thin labels get less, curvatures more.",
    )
    curvature_scale_um: float = Field(
        json_schema_extra=EXPERT,
        default=0.3,
        gt=0.0,
        le=100.0,
        description="Smoothing of the surface columns that end in `at_scale`: they compare between cells and voxels of any size. "
        "The columns curvature_scale_low_um and curvature_scale_high_um say what each object allows.",
    )
    min_voxels: int = Field(
        json_schema_extra=EXPERT,
        default=64,
        ge=1,
        le=100000,
        description="Labels with fewer voxels get voxel measures only.",
    )
    write_meshes: bool = Field(
        default=False, description="Write each label's surface with its curvatures as PLY."
    )
