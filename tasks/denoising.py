"""Stage 2: noise taken out by a network that learns from the acquisition itself."""

from pathlib import Path
from typing import Any

import pandas as pd
from prefect import task

from spherovem_core.denoising import NOT_TRAINED, denoise_stack, obtain_model
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import DenoiseParameters
from spherovem_core.references import ArtifactRef, stage_digest
from spherovem_core.store.layout import DENOISED, array_path, stage_table_path
from tasks.artifacts import show_figures
from tasks.ingest import bad_slices
from tasks.pictures import show_middle_slice
from tasks.plans import Arguments, Stage
from tasks.policies import stage_policy
from tasks.stage import StageRun, run_stage

TRAINING_VERSION = 1


def _fingerprint(arguments: Arguments) -> dict[str, Any]:
    """A model given by its path counts by its content."""
    parameters: DenoiseParameters = arguments["parameters"]
    return {
        "parameters": parameters.model_dump(mode="json", exclude={"model"}),
        "model": arguments["model_digest"],
    }


DENOISING = stage_table_path("denoising")
STAGE = Stage("denoise", 2, (array_path(DENOISED), DENOISING), fingerprint=_fingerprint, gpu_library="torch")


@task(**stage_policy(STAGE), tags=["gpu"])
def denoise(
    raw: ArtifactRef,
    model_digest: str | None,
    parameters: DenoiseParameters,
    execution: ExecutionSettings = ExecutionSettings(),
) -> ArtifactRef:
    """Train Noise2Void on the raw image, unless a model is given, and denoise every slice.

    `model_digest` is the fingerprint of the given model's file.
    """
    return run_stage(STAGE, locals(), _denoise)


def _denoise(
    run: StageRun, raw: ArtifactRef, model_digest: str | None, parameters: DenoiseParameters
) -> None:
    source = run.open(raw)
    bad = bad_slices(run, raw)
    model = obtain_model(source, _model_folder(run, raw, parameters), parameters, run.execution, bad)
    writer = run.writer(DENOISED, "image", source.shape, "uint8", source.spacing_nm, by_slice=True)
    report = denoise_stack(source, writer, model, parameters, run.execution, bad, run.ledger("denoising"))
    slices = pd.DataFrame([figures.model_dump() for figures in report.slices])
    run.write_table(DENOISING, slices)
    loss = {name: [epoch[name] for epoch in report.loss] for name in ("training", "validation")}
    found = report.model_dump(mode="json", exclude={"slices", "loss"})
    denoised = run.finish(writer, denoising={**found, "loss": loss, "model": model.digest})
    figures = {
        "residual, standard deviation (grey values)": float(slices["residual_std"].median()),
        "voxels outside the 8-bit range": report.clipped_share,
        "epochs": len(report.loss),
    }
    show_figures(run.artifact_key, figures, "What denoising took away")
    show_middle_slice(run.artifact_key, denoised, run.layout, "Middle slice without noise")


def _model_folder(run: StageRun, raw: ArtifactRef, parameters: DenoiseParameters) -> Path:
    """A folder that is named by all that the training depends on."""
    own = parameters.model_dump(mode="json", exclude=set(NOT_TRAINED))
    return run.layout.models / f"n2v-{stage_digest('n2v', TRAINING_VERSION, own, [raw.digest])[:16]}"
