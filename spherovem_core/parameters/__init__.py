"""Parameters of every stage: they change the result, and have bounds and a description that a microscopist can read.

Devices, workers and paths are settings (`spherovem_core.execution`), not parameters: they stay out of digests.
"""

from spherovem_core.parameters.base import StageParameters
from spherovem_core.parameters.denoising import DenoisingParameters
from spherovem_core.parameters.evaluation import EvaluationParameters
from spherovem_core.parameters.fine_tuning import FineTuningParameters, SliceCuttingParameters
from spherovem_core.parameters.ingest import IngestParameters
from spherovem_core.parameters.nanoparticles import NanoparticleParameters
from spherovem_core.parameters.output import OutputParameters
from spherovem_core.parameters.pipeline import PipelineParameters
from spherovem_core.parameters.registration import RegistrationParameters
from spherovem_core.parameters.segmentation import (
    CellParameters,
    FlowParameters,
    MaskParameters,
    NamedKindParameters,
    ObjectParameters,
    SegmentationParameters,
)
from spherovem_core.parameters.shape import ShapeParameters
from spherovem_core.parameters.spatial import SpatialParameters
from spherovem_core.parameters.specimen import SpecimenParameters

__all__ = [
    "CellParameters",
    "DenoisingParameters",
    "EvaluationParameters",
    "FineTuningParameters",
    "FlowParameters",
    "IngestParameters",
    "MaskParameters",
    "NamedKindParameters",
    "NanoparticleParameters",
    "ObjectParameters",
    "OutputParameters",
    "PipelineParameters",
    "RegistrationParameters",
    "SegmentationParameters",
    "ShapeParameters",
    "SliceCuttingParameters",
    "SpatialParameters",
    "SpecimenParameters",
    "StageParameters",
]
