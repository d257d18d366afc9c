"""Settings of the facility as parameters of each deployment, so that a run that changes one field changes one field.

The form of Prefect's UI sends every field, and a field that a deployment has no value for with the default of its model. A
deployment therefore holds all values, not only those that differ from the defaults of this package.
"""

import inspect
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from prefect import Flow

from deployments.run_parameters import build_parameters, read_overrides, with_network
from deployments.settings import Settings
from spherovem_core.execution import ExecutionSettings
from spherovem_core.overrides import Overrides
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.urls import shown

FACILITY = (
    *("results_root", "network", "parameters", "profiles"),
    *(name for name in ExecutionSettings.model_fields if name in Settings.model_fields),
)
"""Settings that tell where and how a facility processes its acquisitions."""

AD_HOC = "ad-hoc"
PROFILE_TAG = "profile"
"""Tag of the deployments that are made for a landing folder with a profile."""


def is_facility(settings: Settings) -> bool:
    """Return whether any of these settings was set; if none was, a set-up keeps those of the set-up before."""
    return any(name in settings.model_fields_set for name in FACILITY)


def facility_parameters(
    flow: Flow[..., Any], settings: Settings, profile: Path | None = None
) -> dict[str, Any]:
    """Return the settings of the facility as parameters of a flow, as JSON.

    Parameters
    ----------
    profile
        Parameters file of a landing folder, over the common one.

    Raises
    ------
    ParameterError
        If a parameters file cannot be read or holds a wrong parameter.
    """
    found: dict[str, Any] = {}
    root = None if settings.results_root is None else str(settings.results_root.absolute())
    for name, parameter in inspect.signature(flow.fn).parameters.items():
        if parameter.annotation is PipelineParameters:
            found[name] = _pipeline_parameters(settings, profile).model_dump(mode="json")
        elif parameter.annotation is ExecutionSettings:
            found[name] = settings.execution().model_dump(mode="json")
        elif parameter.annotation is Acquisition and root:
            found[name] = {"results_root": root}
        elif name == "results_root" and root:
            found[name] = root
    return found


def profile_deployments(deployment: Mapping[str, Any], settings: Settings) -> Iterator[dict[str, Any]]:
    """Return a deployment like ``ad-hoc`` for each landing folder with a profile, named after the folder."""
    for folder, profile in settings.profiles.items():
        yield {
            **deployment,
            "name": profile_name(folder, tuple(settings.profiles)),
            "description": f"Process one acquisition of {shown(folder)} with its profile {profile}, and any parameters.",
            "tags": [*deployment.get("tags", []), PROFILE_TAG],
            "profile": profile,
        }


def describe(settings: Settings) -> str:
    """Name the settings that reach every run, for the operator."""
    named = {
        "network": settings.network,
        "device": settings.device,
        "parameters": settings.parameters,
        "results root": settings.results_root,
    }
    return ", ".join(f"{name} {value}" for name, value in named.items() if value is not None)


def _pipeline_parameters(settings: Settings, profile: Path | None) -> PipelineParameters:
    overrides: list[Overrides] = [with_network(settings.network)]
    overrides += [read_overrides(file) for file in (settings.parameters, profile) if file is not None]
    return build_parameters(overrides)


def profile_name(folder: Path, profiles: Collection[Path]) -> str:
    """Return the name of the deployment for runs by hand of a landing folder with a profile.

    It ends with the shortest end of the folder's path that no other landing folder with a profile has, without slashes.
    """
    return f"{AD_HOC} {_own_name(folder, profiles)}"


def _own_name(folder: Path, profiles: Collection[Path]) -> str:
    parts = folder.parts
    for count in range(1, len(parts) + 1):
        if sum(other.parts[-count:] == parts[-count:] for other in profiles) == 1:
            return "-".join(part.strip("/") for part in parts[-count:]).strip("-")
    return str(folder).strip("/").replace("/", "-")
