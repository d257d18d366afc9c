"""A run chooses neither its command nor its environment, on whatever way it is made."""

import asyncio
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.workers.process import ProcessJobConfiguration
from trivial_flows import write_steps

from deployments.command_line.setup import Setup, prepare_server
from deployments.server.deployment_registration import PREFECT_FILE, read_prefect_file
from deployments.server.job_template import environment_of
from deployments.server.provisioning import ensure_work_pool
from deployments.settings import Settings

POOL = "hardened"
WITHOUT = Setup(deployments=False)
HOSTILE: tuple[dict[str, Any], ...] = (
    {"command": "touch /tmp/owned"},
    {"env": {"LD_PRELOAD": "/tmp/evil.so"}},
    {"env": {"PYTHONSAFEPATH": ""}},
    {"env.PYTHONPATH": "/tmp/evil"},
    {"working_dir": "/tmp/evil"},
)


@pytest.fixture
def client(prefect_server: None) -> Any:
    with get_client(sync_client=True) as client:
        prepare_server(client, WITHOUT, Settings(gpu_pool=POOL, cpu_pool=f"{POOL} cpu"))
        yield client


def deploy(client: SyncPrefectClient, pool: str, name: str = "hardened", **options: Any) -> Any:
    return client.create_deployment(
        flow_id=client.create_flow(write_steps), name=name, work_pool_name=pool, tags=["spherovem"], **options
    )


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_job_variables_are_refused_and_would_have_no_effect(
    client: SyncPrefectClient, hostile: dict[str, Any]
) -> None:
    own = environment_of(read_prefect_file(PREFECT_FILE))
    deployment = deploy(client, POOL, job_variables={"env": own, "working_dir": None})
    with pytest.raises(PrefectHTTPStatusError, match=r"409|422"):
        client.create_flow_run_from_deployment(
            deployment, parameters={"folder": "/nowhere"}, job_variables=hostile
        )
    with pytest.raises(PrefectHTTPStatusError, match=r"409|422"):
        deploy(client, POOL, "hostile", job_variables=hostile)
    # The server makes runs without this check, too: the template itself must not let them through.
    template = client.read_work_pool(POOL).base_job_template
    job = asyncio.run(resolved(template, hostile))
    assert (job.command, job.working_dir) == (None, None)
    assert job.env == own


async def resolved(template: dict[str, Any], values: dict[str, Any]) -> ProcessJobConfiguration:
    """Return the job that a worker makes of a template and the job variables of a run."""
    async with get_client() as client:
        job: ProcessJobConfiguration = await ProcessJobConfiguration.from_template_and_values(
            template, values, client=client
        )
    return job


def test_a_pool_with_prefects_template_is_hardened_unless_others_use_it(client: SyncPrefectClient) -> None:
    settings = Settings(gpu_pool="before", cpu_pool="shared")
    for name in ("before", "shared"):
        ensure_work_pool(client, name, "")
    deploy(client, "before")
    client.create_deployment(
        flow_id=client.create_flow(write_steps), name="somebody else's", work_pool_name="shared"
    )
    changes = {change.name: change for change in prepare_server(client, WITHOUT, settings)}
    assert (changes["before"].outcome, changes["shared"].outcome) == ("changed", "unchanged")
    assert "a run may choose its command" in changes["shared"].note
    assert "command" not in client.read_work_pool("before").base_job_template["job_configuration"]
    assert client.read_work_pool("shared").base_job_template == {}  # until its first worker fills it in
