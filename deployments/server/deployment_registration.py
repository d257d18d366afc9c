"""Registration of the deployments of prefect.yaml on a Prefect server."""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from prefect import Flow
from prefect import __version__ as prefect_version
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from deployments.server.provisioning import Change, Outcome
from spherovem_core.errors import ParameterError, SpheroVemError
from spherovem_core.references import canonical_json

PREFECT_FILE = Path(str(files("deployments.server") / "prefect.yaml"))
"""In a checkout a link to the file at its root; in a wheel a copy."""


class DeployFailedError(SpheroVemError, RuntimeError):
    """Failure of ``prefect deploy``."""


def ensure_deployments(client: SyncPrefectClient, file: Path, pools: Mapping[str, str]) -> list[Change]:
    """Register the deployments of a file that are missing on the server or differ from it.

    The version of a deployment is a digest of its part of the file and of its flow's parameters. A deployment with the same
    version is kept, with everything that an operator changed in the UI.

    Parameters
    ----------
    pools
        Work pool on this server for each work pool that the file names.

    Raises
    ------
    ParameterError
        If the file cannot be read.
    DeployFailedError
        If ``prefect deploy`` fails.
    """
    content = read_prefect_file(file)
    changes: list[Change] = []
    wanted: list[dict[str, Any]] = []
    for deployment in content["deployments"]:
        pool = deployment["work_pool"]["name"]
        deployment = {**deployment, "work_pool": {**deployment["work_pool"], "name": pools.get(pool, pool)}}
        flow = load_flow(deployment["entrypoint"])
        deployment["version"] = _digest(
            prefect_version, content.get("pull"), deployment, parameter_schema(flow).model_dump(mode="json")
        )
        name = f"{flow.name}/{deployment['name']}"
        outcome = _outcome(client, name, deployment["version"])
        changes.append(Change("deployment", name, outcome, f"on pool {deployment['work_pool']['name']}"))
        if outcome != "unchanged":
            wanted.append(deployment)
    if wanted:
        _deploy({**content, "deployments": wanted})
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


def _outcome(client: SyncPrefectClient, name: str, version: str) -> Outcome:
    try:
        return "unchanged" if client.read_deployment_by_name(name).version == version else "changed"
    except ObjectNotFound:
        return "made"


def _digest(*parts: Any) -> str:
    return hashlib.sha256("\n".join(canonical_json(part) for part in parts).encode()).hexdigest()[:16]


def _deploy(content: Mapping[str, Any]) -> None:
    """Register deployments with ``prefect deploy``, in a folder that holds nothing else."""
    with tempfile.TemporaryDirectory(prefix="spherovem-setup-") as folder:
        (Path(folder) / "prefect.yaml").write_text(yaml.safe_dump(dict(content), sort_keys=False))
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise DeployFailedError(f"prefect deploy failed: {' '.join(lines[-5:])}")
