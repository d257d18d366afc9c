"""Registration of the deployments of prefect.yaml on a Prefect server."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from prefect import Flow
from prefect import __version__ as prefect_version
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import get_current_settings
from prefect.utilities.callables import parameter_schema

from deployments.server.automations import TAG
from deployments.server.facility_defaults import (
    AD_HOC,
    PROFILE_TAG,
    facility_parameters,
    is_facility,
    profile_deployments,
)
from deployments.server.form_order import order_forms
from deployments.server.provisioning import Change, Outcome
from deployments.settings import Settings
from spherovem_core.errors import ParameterError, SpheroVemError
from spherovem_core.overrides import merge
from spherovem_core.references import canonical_json

PREFECT_FILE = Path(str(files("deployments.server") / "prefect.yaml"))
"""In a checkout a link to the file at its root; in a wheel a copy."""


class DeployFailedError(SpheroVemError, RuntimeError):
    """Failure of ``prefect deploy``."""


def ensure_deployments(client: SyncPrefectClient, file: Path, settings: Settings) -> list[Change]:
    """Register the deployments of a file that are missing on the server or differ from it.

    Each holds the settings of the facility as its parameters, those of the file over them. Where no such setting is set,
    the parameters of an earlier set-up are kept: a set-up from a shell without the facility's settings resets nothing.

    The version of a deployment is a digest of its part of the file, of its parameters and of those that its flow takes. A
    deployment with the same version is kept, with everything that an operator changed in the UI.

    Raises
    ------
    ParameterError
        If the file or a parameters file cannot be read.
    DeployFailedError
        If ``prefect deploy`` fails.
    """
    content = read_prefect_file(file)
    pools = {"gpu": settings.gpu_pool, "cpu": settings.cpu_pool}
    changes: list[Change] = []
    wanted: list[dict[str, Any]] = []
    for deployment in _with_profiles(content["deployments"], settings):
        pool = deployment["work_pool"]["name"]
        deployment = {**deployment, "work_pool": {**deployment["work_pool"], "name": pools.get(pool, pool)}}
        profile = deployment.pop("profile", None)
        flow = load_flow(deployment["entrypoint"])
        name = f"{flow.name}/{deployment['name']}"
        present = _find(client, name)
        if is_facility(settings) or present is None:
            own = facility_parameters(flow, settings, profile)
            deployment["parameters"] = merge(own, deployment.get("parameters") or {})
        else:
            deployment["parameters"] = present.parameters
        deployment["version"] = _digest(
            prefect_version, content.get("pull"), deployment, parameter_schema(flow).model_dump(mode="json")
        )
        outcome: Outcome = "made"
        if present is not None:
            outcome = "unchanged" if present.version == deployment["version"] else "changed"
        changes.append(Change("deployment", name, outcome, f"on pool {deployment['work_pool']['name']}"))
        if outcome != "unchanged":
            wanted.append(deployment)
    if wanted:
        _deploy({**content, "deployments": wanted})
    # All of them: a set-up that was killed here has left forms without their order, and so have those of earlier versions.
    order_forms(client, [change.name for change in changes])
    return changes + _remove_old_profiles(client, {change.name for change in changes}, settings)


def _with_profiles(deployments: Iterable[dict[str, Any]], settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield deployments, and after the one for runs by hand those of landing folders with a profile."""
    for deployment in deployments:
        yield deployment
        if deployment["name"] == AD_HOC:
            yield from profile_deployments(deployment, settings)


def _remove_old_profiles(client: SyncPrefectClient, wanted: set[str], settings: Settings) -> list[Change]:
    """Delete the deployments of landing folders that have no profile any more."""
    if not is_facility(settings):
        return []
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG, PROFILE_TAG]))
    changes = []
    for deployment in client.read_deployments(deployment_filter=ours):
        name = f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"
        if name not in wanted:
            client.delete_deployment(deployment.id)
            changes.append(Change("deployment", name, "removed", "its landing folder has no profile"))
    return changes


def load_flow(entrypoint: str) -> Flow[..., Any]:
    """Import a flow by the path of its module, or by a file as Prefect does.

    Prefect's own loader searches modules in the working folder first, where a site may keep its own `flows`.
    """
    if ":" in entrypoint:
        return load_flow_from_entrypoint(entrypoint)
    module, _, name = entrypoint.rpartition(".")
    flow: Flow[..., Any] = getattr(import_module(module), name)
    return flow


def read_prefect_file(file: Path) -> dict[str, Any]:
    """Read a prefect.yaml.

    Raises
    ------
    ParameterError
        If it cannot be read or holds no deployments.
    """
    try:
        content = yaml.safe_load(file.read_text())
    except OSError as error:
        raise ParameterError(
            f"the deployments file {file} cannot be read ({error.strerror}); "
            "name the prefect.yaml of a checkout with --prefect-file, or leave deployments out with --deployments false"
        ) from error
    except yaml.YAMLError as error:
        raise ParameterError(
            f"the deployments file {file} is not valid YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(content, dict) or not content.get("deployments"):
        raise ParameterError(f"the deployments file {file} holds no deployments; expected a prefect.yaml")
    content.pop("definitions", None)
    return content


def _find(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None


def _digest(*parts: Any) -> str:
    return hashlib.sha256("\n".join(canonical_json(part) for part in parts).encode()).hexdigest()[:16]


def _deploy(content: Mapping[str, Any]) -> None:
    """Register deployments with ``prefect deploy``, in a folder that holds nothing else."""
    with tempfile.TemporaryDirectory(prefix="spherovem-setup-") as folder:
        (Path(folder) / "prefect.yaml").write_text(yaml.safe_dump(dict(content), sort_keys=False))
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
            env={**os.environ, **get_current_settings().to_environment_variables(exclude_unset=True)},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise DeployFailedError(f"prefect deploy failed: {' '.join(lines[-5:])}")
