"""Parameters of the stage nanoparticles."""

from typing import Literal

from pydantic import Field

from spherovem_core.parameters.base import EXPERT, PositiveNm
from spherovem_core.parameters.specimen import SpecimenParameters


class NanoparticleParameters(SpecimenParameters):
    """Specimen mask, and segmentation of nanoparticles from the intensity histogram."""

    polarity: Literal["bright", "dark"] = Field(
        default="bright", description="Contrast of nanoparticles: brighter or darker than the specimen."
    )
    candidate_size_nm: PositiveNm = Field(
        default=60.0,
        description="Intensities are averaged over squares of this side to find candidates; at most half a particle's diameter.",
    )
    min_excess: float = Field(
        json_schema_extra=EXPERT,
        default=5.0,
        ge=1.5,
        le=1000.0,
        description="Candidates must outnumber those that the tissue's tail explains by this factor, else the stack holds none.",
    )
    background_halo_nm: float = Field(
        json_schema_extra=EXPERT,
        default=100.0,
        ge=0.0,
        le=10000.0,
        description="Distance around candidates that is kept out of the background histogram.",
    )
    max_overlap: float = Field(
        json_schema_extra=EXPERT,
        default=0.5,
        gt=0.0,
        le=1.0,
        description="Nothing is labelled if a larger fraction of the nanoparticles' intensities overlaps with the background.",
    )
    prior_strength: float = Field(
        json_schema_extra=EXPERT,
        default=1000.0,
        ge=0.0,
        le=1e9,
        description="Weight, in voxels, of the stack's mean fraction in each slice's estimate.",
    )
    max_iterations: int = Field(
        json_schema_extra=EXPERT, default=500, ge=1, le=10000, description="Largest number of EM iterations."
    )
    tolerance: float = Field(
        json_schema_extra=EXPERT,
        default=1e-8,
        gt=0.0,
        le=0.1,
        description="EM ends when the mean log-likelihood rises by less than this.",
    )
    smoothing_nm: float = Field(
        json_schema_extra=EXPERT,
        default=25.0,
        ge=0.0,
        le=1000.0,
        description="Gaussian smoothing of the evidence before the threshold.",
    )
    evidence_spacing_nm: float = Field(
        json_schema_extra=EXPERT,
        default=0.0,
        ge=0.0,
        le=1000.0,
        description="Evidence is averaged over boxes of about this side before the threshold, at most half a "
        "particle's diameter; 0 takes each voxel.",
    )
    posterior_threshold: float = Field(
        default=0.5,
        ge=0.01,
        le=0.99,
        description="Voxels with a higher posterior, after smoothing, are nanoparticle.",
    )
    core_posterior: float = Field(
        json_schema_extra=EXPERT,
        default=0.995,
        ge=0.0,
        lt=1.0,
        description="A particle must hold a voxel of at least this posterior, or brighter than the mean particle; "
        "0 asks for none.",
    )
    edge_reach_nm: float = Field(
        json_schema_extra=EXPERT,
        default=40.0,
        ge=0.0,
        le=1000.0,
        description="Largest distance (a pixel at least) over which outlines move to edge_fraction; 0 leaves them unchanged.",
    )
    edge_fraction: float = Field(
        json_schema_extra=EXPERT,
        default=0.53,
        gt=0.0,
        lt=1.0,
        description="Fraction of the contrast between particle and surroundings at which a particle ends.",
    )
    surroundings_nm: PositiveNm = Field(
        json_schema_extra=EXPERT,
        default=150.0,
        description="Width of the Gaussian window in which the intensity around a particle is measured for its edge.",
    )
    closing_nm: float = Field(
        json_schema_extra=EXPERT,
        default=0.0,
        ge=0.0,
        le=1000.0,
        description="Radius of the ball that closes gaps in particles.",
    )
    min_volume_nm3: float = Field(
        default=2.0e5, ge=0.0, le=1e15, description="Particles with less volume are dropped."
    )
    split_touching: bool = Field(
        default=False, description="Split touching particles by a watershed on the distance to their surface."
    )
    split_depth_nm: float = Field(
        json_schema_extra=EXPERT,
        default=25.0,
        gt=0.0,
        le=1000.0,
        description="Particles are split where the neck between them is this much shallower than either of them.",
    )
