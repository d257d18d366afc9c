"""Parameters of the stage spatial."""

from typing import Literal

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
    contact_gap_um: float = Field(
        json_schema_extra=EXPERT,
        default=0.1,
        ge=0.0,
        le=2.0,
        description="Widest gap between two cells that count as touching; 0 counts only cells whose voxels share faces.",
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
    null_space: Literal["cytoplasm", "cells", "volume"] = Field(
        json_schema_extra=EXPERT,
        default="cytoplasm",
        description="Where the random places lie with which clustering and enrichment are compared: in the cytoplasm of the "
        "cell of each particle, in the whole cell with its nucleus, or anywhere in the volume.",
    )
    null_simulations: int = Field(
        json_schema_extra=EXPERT,
        default=99,
        ge=19,
        le=9999,
        description="Number of random patterns. The smallest p value is 1 divided by this number plus 1.",
    )
    null_seed: int = Field(
        json_schema_extra=EXPERT,
        default=0,
        ge=0,
        le=2**31 - 1,
        description="Seed of the random patterns; another one gives other random places.",
    )
