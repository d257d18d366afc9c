"""Job template of the work pools, which leaves a run no choice of its command or its environment.

Prefect's own template for processes takes both from the run: whoever may start a run could start any program. Here the command is
always Prefect's, and the environment is a variable on the server. A template without placeholders for them is also safe from runs
that are made without a check of their job variables (``POST /flow_runs``).
"""

from collections.abc import Mapping
from typing import Any

from prefect.workers.process import ProcessWorker

ENVIRONMENT = "spherovem_environment"
"""Variable on the server that holds the environment of all runs."""

PLACEHOLDER = f"prefect.variables.{ENVIRONMENT}"


def job_template(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the template of a work pool whose runs get this environment, which must be on the server as `ENVIRONMENT`.

    The schema accepts the job variables of prefect.yaml, which ask for what every run gets anyway, and refuses all others.
    """
    return {
        "job_configuration": {
            "name": "{{ name }}",
            "env": f"{{{{ {PLACEHOLDER} }}}}",
            "stream_output": True,
        },
        "variables": {
            "type": "object",
            "properties": {
                "name": {"title": "Name", "description": "Name of the process.", "type": "string"},
                "env": {
                    "title": "Environment",
                    "description": "Environment variables, the same for all runs; spherovem setup changes them.",
                    "type": "object",
                    "properties": {name: {"const": value} for name, value in environment.items()},
                    "additionalProperties": False,
                },
                # The server wants each placeholder declared; a value given for this one is not used.
                PLACEHOLDER: {"title": "Environment of all runs", "type": "null"},
                "working_dir": {
                    "title": "Working directory",
                    "description": "A new folder for each run.",
                    "type": "null",
                },
            },
            "additionalProperties": False,
        },
    }


def default_template() -> dict[str, Any]:
    """Return Prefect's own template for processes."""
    return ProcessWorker.get_default_base_job_template()


def environment_of(prefect_file: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment that the deployments of a prefect.yaml ask for."""
    environment: dict[str, str] = {}
    for deployment in prefect_file["deployments"]:
        environment |= (deployment["work_pool"].get("job_variables") or {}).get("env") or {}
    return environment
