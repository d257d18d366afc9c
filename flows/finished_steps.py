"""What a run that starts in the middle finds of the stages before."""

import logging
from collections.abc import Sequence

from flows.steps import Done, RunInputs, Step
from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.references import ArtifactRef
from spherovem_core.stages import StageName
from spherovem_core.store import Layout
from tasks.disk import artifact_history, find_newest

logger = logging.getLogger("spherovem_core.earlier")

OUTSIDE: frozenset[StageName] = frozenset({"ingest", "flows"})
"""Stages whose fingerprints need the source or a network, which a run that starts later does not look at."""


def take_earlier(steps: Sequence[Step], run: RunInputs, start_at: StageName) -> dict[str, ArtifactRef]:
    """Take the outputs of earlier steps as they lie on disk, whatever parameters they were made with.

    Raises
    ------
    IncompleteArtifactError
        If one is not complete, or two do not belong together.
    """
    layout = Layout(run.acquisition.folder.absolute())
    taken: dict[str, ArtifactRef] = {}
    missing: list[Step] = []
    for step in steps:
        found = find_newest(layout, _outputs(step))
        if found is None:
            missing.append(step)
        else:
            taken[step.key] = found
    if missing:
        names = ", ".join(_outputs(step)[0] for step in missing)
        raise IncompleteArtifactError(
            f"{layout.folder}: a run that starts at {start_at} needs {names}, not there or unfinished; "
            f"start at {missing[0].name}, or from the beginning"
        )
    for step in steps:
        _check_descent(step, run, taken, layout)
    return taken


def _outputs(step: Step) -> list[str]:
    """Paths of a step's outputs in the results folder."""
    return [path.format(kind=step.kind) for path in step.stage.outputs]


def _check_descent(step: Step, run: RunInputs, taken: Done, layout: Layout) -> None:
    """Refuse what was made from something else than what lies there now; say what was made with other parameters."""
    plan, found = step.plan(run, taken), taken[step.key]
    history = artifact_history(layout, found.path)
    if tuple(history[-1]["inputs"]) != plan.inputs:
        raise IncompleteArtifactError(
            f"{found.location} was made from other inputs than those that lie beside it now; start at {step.name}"
        )
    if step.name not in OUTSIDE and plan.digest != found.digest:
        logger.warning("%s: taken as it is, though this run's parameters would make another one", plan.title)
