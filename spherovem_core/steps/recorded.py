"""Parameters and source of results as they lie on disk, for a run that changes nothing but what it is asked to."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spherovem_core.errors import FormatError, IncompleteArtifactError
from spherovem_core.overrides import explain
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.steps.output import OUTPUT, used_parameters
from spherovem_core.store import Layout, read_json
from spherovem_core.store.layout import automatic_group, corrected_group
from spherovem_core.store.markers import array_marker
from spherovem_core.workflow import Pipeline
from spherovem_core.workflow.artifacts import artifact_history


def recorded_parameters(layout: Layout, pipeline: Pipeline) -> PipelineParameters:
    """Return the parameters that the results on disk were computed with; those of the last finished run for what is missing.

    Raises
    ------
    FormatError
        If another version wrote them.
    """
    provenance = read_json(layout.provenance) or {}
    given = provenance.get("parameters") or PipelineParameters().model_dump(mode="json")
    used = used_parameters(given, _entries(layout, pipeline), pipeline)
    try:
        return PipelineParameters.model_validate(used)
    except ValidationError as error:
        raise FormatError(
            f"{layout.folder} was computed with parameters that this version does not know "
            f"({explain(error, PipelineParameters)}); use the version that computed it, or process the acquisition again"
        ) from error


def recorded_acquisition(layout: Layout) -> Acquisition:
    """Return the acquisition of a results folder; its source is not read by runs that start later."""
    provenance = read_json(layout.provenance) or {}
    source = Path(provenance.get("source") or layout.folder)
    return Acquisition(name=layout.folder.name, source=source, results_root=layout.folder.parent)


def _entries(layout: Layout, pipeline: Pipeline) -> list[dict[str, Any]]:
    """Return the newest history entry of each finished step."""
    found = []
    for step in pipeline.steps:
        if step is OUTPUT or step.name == OUTPUT.name:
            continue
        try:
            history = artifact_history(layout, step.main_output)
        except IncompleteArtifactError:
            history = []
        if not history and step.journal is not None:
            # The last run was killed while it applied corrections.
            place = layout.volume / automatic_group(corrected_group(step.journal)) / "0"
            history = list((array_marker(place) or {}).get("history", []))
        found += [entry for entry in history if entry["step"] == step.name][-1:]
    return found
