"""Checks before the first step: source, networks, models, device and results folder."""

from collections.abc import Mapping, Sequence
from typing import Any

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.stages import FIRST_STAGE
from spherovem_core.store.format import mark_format
from spherovem_core.store.layout import Layout
from spherovem_core.workflow import RunRequest, Step
from tasks.devices import check_device

External = Mapping[str, Mapping[str, str]]
"""Digests of what each step reads outside the results folder, by the step's name."""


def check_before_start(request: RunRequest, steps: Sequence[Step[Any]], device: str) -> External:
    """Look at source, networks, device and results folder, in this order, so that a bad source makes no folder.

    Parameters
    ----------
    steps
        Steps of the run; what only others read is not looked at.
    device
        The setting.

    Returns
    -------
    mapping
        Digests of what each of the steps reads outside the results folder.

    Raises
    ------
    SpheroVemError
        The first thing that would stop the run later.
    """
    if steps[0].stage != FIRST_STAGE and not request.acquisition.folder.is_dir():
        raise IncompleteArtifactError(
            f"{request.acquisition.folder} is not there, so that there is nothing to go on from; start at {FIRST_STAGE}"
        )
    external = {step.name: step.external(request) for step in steps}
    check_device(device)
    layout = Layout(request.acquisition.folder)
    layout.ensure_writable()
    mark_format(layout)
    for step in steps:
        if step.check is not None:
            step.check(request, external[step.name])
    return external
