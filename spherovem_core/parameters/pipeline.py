"""Parameters of the whole pipeline."""

from pydantic import Field

from spherovem_core.parameters.base import StageParameters
from spherovem_core.parameters.denoising import DenoisingParameters
from spherovem_core.parameters.ingest import IngestParameters
from spherovem_core.parameters.nanoparticles import NanoparticleParameters
from spherovem_core.parameters.output import OutputParameters
from spherovem_core.parameters.registration import RegistrationParameters
from spherovem_core.parameters.segmentation import SegmentationParameters
from spherovem_core.parameters.shape import ShapeParameters
from spherovem_core.parameters.spatial import SpatialParameters


class PipelineParameters(StageParameters):
    """Parameters of all stages, one group per stage; the defaults are the daily setting."""

    ingest: IngestParameters = Field(default_factory=IngestParameters, description="Reading the acquisition.")
    denoising: DenoisingParameters = Field(
        default_factory=DenoisingParameters, description="Self-supervised denoising."
    )
    registration: RegistrationParameters = Field(
        default_factory=RegistrationParameters, description="Alignment of slices."
    )
    segmentation: SegmentationParameters = Field(
        default_factory=SegmentationParameters, description="Segmentation of cells and nuclei."
    )
    nanoparticles: NanoparticleParameters = Field(
        default_factory=NanoparticleParameters, description="Segmentation of nanoparticles."
    )
    shape: ShapeParameters = Field(default_factory=ShapeParameters, description="Shape descriptors.")
    spatial: SpatialParameters = Field(default_factory=SpatialParameters, description="Spatial relations.")
    output: OutputParameters = Field(default_factory=OutputParameters, description="Tables and report.")
