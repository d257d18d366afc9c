"""Stage 6: shape descriptors of cells and nuclei."""

from prefect import task

from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import ShapeParameters
from spherovem_core.references import ArtifactRef
from spherovem_core.shape import measure_labels
from spherovem_core.store.layout import ObjectKind, stage_table_path
from tasks.artifacts import show_figures
from tasks.plans import Stage
from tasks.policies import stage_policy
from tasks.stage import StageRun, run_stage

STAGE = Stage("measure_shape", 2, (stage_table_path("shape-{kind}"),), gpu_library="cupy")


def shape_table(kind: ObjectKind) -> str:
    """Path of the table that this stage leaves."""
    return stage_table_path(f"shape-{kind}")


@task(**stage_policy(STAGE), tags=["gpu"])
def measure_shape(
    kind: ObjectKind,
    labels: ArtifactRef,
    parameters: ShapeParameters,
    execution: ExecutionSettings = ExecutionSettings(),
) -> ArtifactRef:
    """Measure every cell or nucleus."""
    return run_stage(STAGE, locals(), _measure_shape)


def _measure_shape(run: StageRun, kind: ObjectKind, labels: ArtifactRef, parameters: ShapeParameters) -> None:
    source = run.open(labels)
    table = measure_labels(
        source,
        source.spacing_nm,
        parameters,
        origin_nm=source.origin_nm,
        executor=run.execution.executor,
        device=run.execution.device,
        mesh_folder=run.layout.meshes / kind if parameters.write_meshes else None,
        progress=run.execution.report,
    )
    run.write_table(shape_table(kind), table)
    columns = ("volume_um3", "sphericity", "fractal_dimension")
    medians = {f"median {column}": float(table[column].median()) for column in columns}
    show_figures(run.artifact_key, {kind: len(table), **medians}, f"Shape of {kind}")
