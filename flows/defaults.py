"""Parameters of a run of a deployment: its own override those of the deployment, which override the defaults."""

from collections.abc import Mapping

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from pydantic import ValidationError

from spherovem_core.errors import ParameterError
from spherovem_core.overrides import explain, merge
from spherovem_core.parameters import PipelineParameters


def merge_with_deployment(parameters: PipelineParameters) -> PipelineParameters:
    """Merge the parameters of a run over those of its deployment, stage by stage.

    Prefect itself replaces all of a deployment's `parameters` by those that ``-p parameters={...}`` names.

    Raises
    ------
    ParameterError
        If the two together are no valid parameters.
    """
    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    if run is None or run.deployment_id is None:
        return parameters
    with get_client(sync_client=True) as client:
        defaults = client.read_deployment(run.deployment_id).parameters.get("parameters")
    given = run.parameters.get("parameters")
    if not isinstance(defaults, Mapping) or not isinstance(given, Mapping):
        return parameters
    try:
        return PipelineParameters.model_validate(merge(defaults, given))
    except ValidationError as error:
        raise ParameterError(explain(error, PipelineParameters)) from error
