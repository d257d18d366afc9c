"""Complete results that a run replaces: announced before its first step, with tables and report of before kept."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from spherovem_core.forecast import steps_to_compute
from spherovem_core.references import ArtifactRef
from spherovem_core.store.history import keep_in_history
from spherovem_core.store.layout import Layout
from spherovem_core.workflow import Pipeline, RunRequest, Step
from spherovem_core.workflow.demand import External
from spherovem_core.workflow.replaced_results import (
    are_superseded,
    describe_replaced,
    replaced_markdown,
    results_to_replace,
)
from tasks.artifacts import show_markdown

logger = logging.getLogger(__name__)


def announce_replacements(
    pipeline: Pipeline,
    request: RunRequest,
    steps: Sequence[Step[Any]],
    external: External,
    taken: Mapping[str, ArtifactRef],
) -> None:
    """Log and show the complete results that the run replaces, and keep tables and report where other parameters do so.

    Corrections by hand are in a journal, from which every state can be made again: they keep nothing.
    """
    replaced = results_to_replace(steps_to_compute(pipeline, request, steps, external, taken))
    if not are_superseded(replaced):
        return
    name = request.acquisition.name
    kept_in = keep_in_history(Layout(request.acquisition.folder.absolute()))
    logger.warning(
        "%s: %s%s",
        name,
        describe_replaced(replaced),
        f"; tables and report of before are kept in {kept_in}" if kept_in else "",
    )
    show_markdown(
        f"replaced {name}", replaced_markdown(replaced, kept_in), "Complete results that the run replaces"
    )
