"""Results that a run would replace, looked at before its first step: none of them may hold a person's work."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from spherovem_core.errors import ChangedArtifactError
from spherovem_core.references import ArtifactRef
from spherovem_core.store.file_records import refuse_to_replace_file
from spherovem_core.store.layout import Layout
from spherovem_core.store.protection import refuse_to_replace
from spherovem_core.workflow.artifacts import artifact_marker, check_unchanged, find_artifact
from spherovem_core.workflow.demand import lies_on
from spherovem_core.workflow.label_changes import changed_labels
from spherovem_core.workflow.outputs import ArrayOutput, Output
from spherovem_core.workflow.pipeline import Pipeline
from spherovem_core.workflow.plan import StepPlan, plan_step
from spherovem_core.workflow.step import RunRequest, Step

IMPORTED = "imported"
"""Segmenter or method of labels that come from a file, and the name of their origin among the details of the array."""


def check_results(pipeline: Pipeline, layout: Layout) -> None:
    """Refuse to run while a result is not the one that was computed, of whatever step.

    Raises
    ------
    ChangedArtifactError
        The first that was changed.
    """
    if not layout.folder.is_dir():
        return
    outputs = [output for step in pipeline.steps for output in step.outputs]
    kept = [output for step in pipeline.steps for output in step.kept]
    for output in (*outputs, *kept):
        try:
            check_unchanged(layout, [output])
        except ChangedArtifactError as error:
            if isinstance(output, ArrayOutput) and (labels := changed_labels(layout, output, outputs)):
                raise ChangedArtifactError(f"{error}. Labels {labels}") from None
            raise


def refuse_replacements(
    pipeline: Pipeline,
    steps: Sequence[Step[Any]],
    request: RunRequest,
    external: Mapping[str, Mapping[str, str]],
    taken: Mapping[str, ArtifactRef],
    computed_again: Collection[str] = (),
) -> None:
    """Plan all steps of a run, and refuse it if one would replace what a person made: an adopted change, or imported labels.

    An image that is computed again takes the labels drawn on it with it, so that their steps are computed again, too.

    Parameters
    ----------
    computed_again
        Names of steps whose discarded arrays the run computes again.

    Raises
    ------
    ChangedArtifactError
        The first that would be lost.
    """
    layout = Layout(request.acquisition.folder.absolute())
    done, replaced = dict(taken), set[str]()
    for step in steps:
        plan = plan_step(pipeline, step, request, external[step.name], done)
        is_lost = step.name in computed_again or any(lies_on(output, replaced) for output in step.outputs)
        found = None if is_lost else plan.find()
        done[step.name] = plan.expected if found is None else found
        if found is None:
            _refuse_to_replace_imported(plan)
            for output in step.outputs:
                if not _is_kept(plan, output):
                    _refuse_to_replace(layout, output)
            for output in step.kept:
                if find_artifact(layout, output, plan.automatic.digest) is None:
                    _refuse_to_replace(layout, output)
            replaced |= {output.group for output in step.outputs if isinstance(output, ArrayOutput)}


def _refuse_to_replace_imported(plan: StepPlan[Any]) -> None:
    """Make sure that a run without imported labels does not replace those that an earlier one imported."""
    own = plan.parameters
    if IMPORTED in (getattr(own, "segmenter", None), getattr(own, "method", None)):
        return
    for output in plan.step.corrected:
        marker = artifact_marker(plan.layout, output) if isinstance(output, ArrayOutput) else None
        if marker is not None and IMPORTED in marker:
            kind = output.path.split("/")[-2]
            raise ChangedArtifactError(
                f"{plan.layout.path(output.path)} holds labels imported from {marker[IMPORTED]['origin']}, which this run would "
                f"replace. Keep them: --labels {kind}={marker[IMPORTED]['origin']}. Or discard them: "
                f"spherovem verify {plan.layout.folder.name} --recompute registered/labels/{kind}"
            )


def _is_kept(plan: StepPlan[Any], output: Output) -> bool:
    """Return whether an output stays beside the corrected one, under the name of the automatic one."""
    moved = plan.is_corrected and output in plan.step.corrected
    return moved and find_artifact(plan.layout, output, plan.automatic.digest) is not None


def _refuse_to_replace(layout: Layout, output: Output) -> None:
    if isinstance(output, ArrayOutput):
        refuse_to_replace(layout, output.group)
    else:
        refuse_to_replace_file(layout, output.path)
