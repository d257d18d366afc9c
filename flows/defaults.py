"""Parameters of a run of a deployment: its own override those of the deployment, which override the defaults."""

from collections.abc import Mapping
from typing import TypeVar

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from pydantic import BaseModel, ValidationError

from spherovem_core.errors import ParameterError
from spherovem_core.overrides import explain, merge

Model = TypeVar("Model", bound=BaseModel)


def merge_with_deployment(name: str, given: Model) -> Model:
    """Merge a parameter of a run, itself a model of parameters, over that of its deployment, part by part.

    Prefect itself replaces all of a deployment's `parameters` by those that ``-p parameters={...}`` names.

    Parameters
    ----------
    name
        Name of the flow's parameter.
    given
        Its value, as Prefect hands it to the flow.

    Raises
    ------
    ParameterError
        If the two together are no valid parameters.
    """
    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    if run is None or run.deployment_id is None:
        return given
    own = run.parameters.get(name)
    with get_client(sync_client=True) as client:
        defaults = client.read_deployment(run.deployment_id).parameters.get(name)
    if not isinstance(defaults, Mapping) or not isinstance(own, Mapping):
        return given
    model = type(given)
    try:
        return model.model_validate(merge(defaults, own))
    except ValidationError as error:
        raise ParameterError(explain(error, model)) from error
