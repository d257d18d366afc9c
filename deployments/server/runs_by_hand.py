"""Runs by hand on a Prefect server: of the deployment ``ad-hoc``, with the parameters of an acquisition."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings

from flows.run_links import AD_HOC, flow_values, form_url
from spherovem_core.errors import SpheroVemError
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import RegionOfInterest


class RunNotStartedError(SpheroVemError, RuntimeError):
    """A run that the server does not start."""


def start_run(
    acquisition: Acquisition, parameters: PipelineParameters, roi: RegionOfInterest, others: Mapping[str, Any]
) -> str:
    """Start a run; return a line with its name and address.

    Raises
    ------
    RunNotStartedError
        If the server does not answer, has no such deployment, or refuses the parameters.
    """
    values = flow_values(acquisition, parameters, roi) | dict(others)
    with _translated_errors():
        run: Any = run_deployment(
            AD_HOC,
            parameters=values,
            flow_run_name=f"{acquisition.name}{roi.suffix}",
            tags=["rerun"],
            timeout=0,
            as_subflow=False,
        )
    return f"started {run.name}: {_ui_url()}/runs/flow-run/{run.id}"


def form_of(acquisition: Acquisition, parameters: PipelineParameters, roi: RegionOfInterest) -> str:
    """Return the address of the form of a run by hand, filled in.

    Raises
    ------
    RunNotStartedError
        If the server does not answer or has no such deployment.
    """
    with _translated_errors(), get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(AD_HOC)
    return form_url(_ui_url(), deployment.id, flow_values(acquisition, parameters, roi))


def _ui_url() -> str:
    settings = get_current_settings()
    return str(settings.ui_url or settings.api.url or "").removesuffix("/api").rstrip("/")


@contextmanager
def _translated_errors() -> Iterator[None]:
    server = get_current_settings().api.url
    try:
        yield
    except ObjectNotFound as error:
        raise RunNotStartedError(
            f"the server {server} has no deployment {AD_HOC}: run spherovem setup"
        ) from error
    except PrefectHTTPStatusError as error:
        raise RunNotStartedError(
            f"the server {server} refuses the run ({error.response.status_code}): {error.response.text[:500]}"
        ) from error
    except (httpx.HTTPError, OSError) as error:
        raise RunNotStartedError(
            f"the server {server} does not answer ({str(error) or type(error).__name__}); start it, or unset "
            "PREFECT_API_URL to run here"
        ) from error
