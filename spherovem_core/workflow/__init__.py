"""Steps of the pipeline: how one is declared, planned, computed and committed. Knows no Prefect and no stage."""

from spherovem_core.workflow.cost import Cost, OutputSize, SourceVolume
from spherovem_core.workflow.outputs import ArrayOutput, DocumentOutput, FileOutput, Output, TableOutput
from spherovem_core.workflow.pipeline import Pipeline
from spherovem_core.workflow.plan import StepPlan, plan_step
from spherovem_core.workflow.step import GpuLibrary, Quality, RunRequest, Step, cupy_gpu, torch_gpu

__all__ = [
    "ArrayOutput",
    "Cost",
    "DocumentOutput",
    "FileOutput",
    "GpuLibrary",
    "Output",
    "OutputSize",
    "Pipeline",
    "Quality",
    "RunRequest",
    "SourceVolume",
    "Step",
    "StepPlan",
    "TableOutput",
    "cupy_gpu",
    "plan_step",
    "torch_gpu",
]
