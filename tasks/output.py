"""Stage 8: the final tables, the report and the provenance, written last."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from prefect import task

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.output import build_report, summarise
from spherovem_core.output.chapters import CHAPTERS
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.report import ReportInputs
from spherovem_core.store import Layout, package_versions, read_json, read_table, table_digest, write_text
from spherovem_core.store.layout import table_path
from tasks.artifacts import show_markdown
from tasks.denoising import DENOISING
from tasks.ingest import SLICES
from tasks.plans import Stage
from tasks.policies import stage_policy
from tasks.registration import REGISTRATION
from tasks.shape import shape_table
from tasks.spatial import Table, space_table
from tasks.stage import StageRun, run_stage

TABLES = ("cells", "nuclei", "nanoparticles", "slices")
DISTRIBUTIONS: tuple[Table, ...] = ("radial", "ripley")
STAGE = Stage("write_output", 2, ("provenance.json", "report.html", *map(table_path, TABLES)))


@task(**stage_policy(STAGE), tags=["cpu"])
def write_output(
    acquisition: Acquisition,
    artifacts: Mapping[str, ArtifactRef],
    parameters: PipelineParameters,
    execution: ExecutionSettings = ExecutionSettings(),
) -> ArtifactRef:
    """Write tables and report; return the provenance, which is complete only when all else is.

    `artifacts` holds the main output of every stage before, by the names of `flows.pipeline`.
    """
    return run_stage(STAGE, locals(), _write_output)


def _write_output(
    run: StageRun,
    acquisition: Acquisition,
    artifacts: Mapping[str, ArtifactRef],
    parameters: PipelineParameters,
) -> None:
    tables = _final_tables(run, artifacts)
    for name, frame in tables.items():
        run.write_table(table_path(name), frame)
    provenance = {
        "acquisition": acquisition.name,
        "source": str(acquisition.source),
        "parameters": parameters.model_dump(mode="json"),
        "artifacts": {name: reference.model_dump(mode="json") for name, reference in artifacts.items()},
        "stages": run.history,
        "packages": package_versions(),
    }
    inputs = _report_inputs(run.layout, acquisition.name, parameters, tables)
    write_text(run.layout.report, build_report(inputs, provenance, CHAPTERS))
    run.write_document("provenance.json", provenance)
    show_markdown(run.artifact_key, summarise(inputs, CHAPTERS), "Results")


def _final_tables(run: StageRun, artifacts: Mapping[str, ArtifactRef]) -> dict[str, pd.DataFrame]:
    """Join what the stages left: shape and space by label, acquisition and registration by slice."""
    space = artifacts["space"].digest
    objects = {
        kind: run.table(shape_table(kind), artifacts[f"shape_{kind}"].digest).merge(
            run.table(space_table(kind), space), on="label", how="left", validate="one_to_one"
        )
        for kind in ("cells", "nuclei")
    }
    slices = run.table(SLICES, artifacts["ingest"].digest)
    residuals = run.table(DENOISING, artifacts["denoise"].digest)
    motion = run.table(REGISTRATION, artifacts["register"].digest)
    return {
        **objects,
        "nanoparticles": run.table(space_table("nanoparticles"), space),
        "slices": slices.merge(residuals, on="z", how="left").merge(motion, on="z", how="left"),
    }


def rewrite_report(folder: Path) -> Path:
    """Write the report of a finished acquisition again, with the present code.

    Raises
    ------
    IncompleteArtifactError
        If the folder holds no finished acquisition.
    """
    layout = Layout(folder.absolute())
    provenance = read_json(layout.provenance)
    if provenance is None or "parameters" not in provenance:
        raise IncompleteArtifactError(
            f"{folder} holds no finished acquisition: there is no sound provenance.json in it; "
            "process the acquisition first, or name its results folder"
        )
    parameters = PipelineParameters.model_validate(provenance["parameters"])
    tables = {name: read_table(layout, table_path(name)) for name in TABLES}
    inputs = _report_inputs(layout, provenance["acquisition"], parameters, tables)
    write_text(layout.report, build_report(inputs, provenance, CHAPTERS))
    return layout.report


def _report_inputs(
    layout: Layout, name: str, parameters: PipelineParameters, tables: Mapping[str, pd.DataFrame]
) -> ReportInputs:
    mixture = read_json(layout.mixture) or {}
    beside: dict[str, pd.DataFrame] = {
        name: read_table(layout, space_table(name))
        for name in DISTRIBUTIONS
        if table_digest(layout, space_table(name)) is not None
    }
    return ReportInputs(
        name, layout, parameters, {**tables, **beside}, mixture, parameters.output.report_image_px
    )
