"""Ways to start an acquisition again with the parameters of a run: a command, and a form of the Prefect UI that is filled in."""

import json
import logging
import shlex
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import RegionOfInterest, crop_acquisition, split_region

logger = logging.getLogger(__name__)

AD_HOC = "process-acquisition/ad-hoc"
"""Deployment of runs by hand."""


def flow_values(
    acquisition: Acquisition, parameters: PipelineParameters, roi: RegionOfInterest
) -> dict[str, Any]:
    """Return the parameters of the parent flow as JSON; those of the eight stages in full, as the form of the UI needs them."""
    values: dict[str, Any] = {
        "acquisition": acquisition.model_dump(mode="json"),
        "parameters": parameters.model_dump(mode="json"),
    }
    return values if roi.is_whole else values | {"roi": roi.model_dump(mode="json")}


def form_url(ui_url: str, deployment_id: object, values: Mapping[str, Any]) -> str:
    """Return the address of a deployment's form with these values; the UI decodes them twice."""
    text = quote(quote(json.dumps(values, separators=(",", ":")), safe=""), safe="")
    return f"{ui_url.rstrip('/')}/deployments/deployment/{deployment_id}/run?parameters={text}"


def start_again(acquisition: Acquisition, parameters: PipelineParameters, roi: RegionOfInterest) -> list[str]:
    """Return lines of markdown: how to start from this acquisition, with other parameters if wanted."""
    if roi.is_whole:
        # A run after corrections knows a region by its results folder alone.
        name, roi = split_region(acquisition.name)
        acquisition = acquisition.model_copy(update={"name": name})
    folder = crop_acquisition(acquisition, roi).folder
    command = f"spherovem rerun {shlex.quote(str(folder))} --set STAGE.NAME=VALUE"
    lines = [f"Start from this acquisition, with its parameters but one: `{command}`"]
    address = _form_address(flow_values(acquisition, parameters, roi))
    if address:
        lines[0] += f", or [open the form with its parameters]({address})."
    return lines


def _form_address(values: Mapping[str, Any]) -> str:
    """Return the address of the filled form; empty outside of a deployment's run, or where the server does not tell."""
    if "prefect" not in sys.modules:
        # No flow runs, and loading Prefect takes longer than all else here.
        return ""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.context import FlowRunContext
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
    from prefect.settings import get_current_settings

    context, ui_url = FlowRunContext.get(), get_current_settings().ui_url
    run = None if context is None else context.flow_run
    if run is None or run.deployment_id is None or not ui_url:
        return ""
    try:
        with get_client(sync_client=True) as client:
            try:
                deployment = client.read_deployment_by_name(AD_HOC).id
            except ObjectNotFound:
                deployment = run.deployment_id
    except (httpx.HTTPError, PrefectHTTPStatusError, OSError) as error:
        logger.debug("the summary has no link to the form: %s", error)
        return ""
    return form_url(ui_url, deployment, values)
