"""Stage 5: nanoparticles, from the histogram of intensities."""

import json

from prefect import task

from spherovem_core.execution import ExecutionSettings
from spherovem_core.nanoparticles import Mixture, collect_statistics, fit_statistics, segment_particles
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.references import ArtifactRef
from spherovem_core.store.layout import NANOPARTICLES, POSTERIOR, array_path, stage_table_path
from tasks.artifacts import show_figures
from tasks.ingest import bad_slices
from tasks.plans import Stage
from tasks.policies import stage_policy
from tasks.stage import StageRun, run_stage

PARTICLES = stage_table_path("nanoparticles")
MIXTURE = "models/mixture.json"
STAGE = Stage(
    "segment_nanoparticles", 2, (array_path(NANOPARTICLES), array_path(POSTERIOR), PARTICLES, MIXTURE)
)


@task(**stage_policy(STAGE), tags=["cpu"])
def segment_nanoparticles(
    registered: ArtifactRef,
    raw: ArtifactRef,
    parameters: NanoparticleParameters,
    execution: ExecutionSettings = ExecutionSettings(),
) -> ArtifactRef:
    """Fit the intensity mixture, write the posterior and label the nanoparticles; `raw` tells which slices were filled."""
    return run_stage(STAGE, locals(), _segment_nanoparticles)


def _segment_nanoparticles(
    run: StageRun, registered: ArtifactRef, raw: ArtifactRef, parameters: NanoparticleParameters
) -> None:
    source = run.open(registered)
    spacing = source.spacing_nm
    statistics = collect_statistics(source, spacing, parameters, run.execution, bad_slices(run, raw))
    mixture = fit_statistics(statistics, parameters)
    posterior = run.writer(POSTERIOR, "field", source.shape, "float16", spacing, by_slice=True)
    labels = run.writer(NANOPARTICLES, "label", source.shape, "uint32", spacing)
    provisional = run.provisional("nanoparticles", source.shape, "uint32", spacing, by_slice=True)
    table = segment_particles(
        source, spacing, mixture, posterior, provisional, labels, parameters, run.execution
    )
    run.write_document(MIXTURE, json.loads(mixture.to_json()))
    run.write_table(PARTICLES, table)
    run.finish(posterior)
    run.finish(labels, count=len(table))
    _show(run, mixture, len(table))


def _show(run: StageRun, mixture: Mixture, count: int) -> None:
    figures = {
        "particles": count,
        "second population found": str(mixture.detected),
        "why": mixture.reason,
        "share of the voxels": mixture.weight,
        "mean of background and particles": f"{mixture.background_mean:.1f}, {mixture.particle_mean:.1f}",
        "overlap of the two": mixture.overlap,
        "fit converged": str(mixture.converged),
    }
    show_figures(run.artifact_key, figures, "Intensity mixture")
