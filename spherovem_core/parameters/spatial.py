"""Parameters of the stage spatial."""

from pydantic import Field

from spherovem_core.parameters.base import EXPERT, StageParameters


class SpatialParameters(StageParameters):
    """Positions of nuclei and nanoparticles in cells."""

    radial_bin_um: float = Field(
        default=0.25, gt=0.0, le=100.0, description="Width of the distance bins of the radial distribution."
    )
    min_parent_fraction: float = Field(
        json_schema_extra=EXPERT,
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Fraction of a particle or nucleus that must lie in a cell for the cell to be its parent; "
        "0.5 requires at least half of it.",
    )
    ripley_max_um: float | None = Field(
        json_schema_extra=EXPERT,
        default=None,
        gt=0.0,
        le=1000.0,
        description="Largest radius at which the clustering of particles is measured (Ripley's K and L). "
        "Left empty, a quarter of the volume's shortest side.",
    )
    ripley_steps: int = Field(
        json_schema_extra=EXPERT,
        default=40,
        ge=1,
        le=1000,
        description="Number of radii at which the clustering of particles is measured.",
    )
