"""``spherovem setup``: it makes missing objects and keeps correct ones."""

import math
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate, WorkPoolUpdate
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_servers import PrefectServer, connected, run_command, running_server
from trivial_deployments import send_event, wait_until

from deployments.command_line.main import main
from deployments.command_line.setup import Setup, prepare_server
from deployments.server import automations
from deployments.server.deployment_registration import read_prefect_file
from deployments.server.provisioning import ensure_automation, ensure_limit, ensure_work_pool
from deployments.settings import Settings
from spherovem_core.errors import ParameterError

SPHEROVEM = str(Path(sys.executable).with_name("spherovem"))


@pytest.fixture
def client(prefect_server: None) -> Any:
    with get_client(sync_client=True) as client:
        yield client


def outcomes(client: SyncPrefectClient, command: Setup, settings: Settings) -> dict[str, str]:
    return {change.name: change.outcome for change in prepare_server(client, command, settings)}


def test_a_second_setup_changes_nothing(client: SyncPrefectClient) -> None:
    settings = Settings(gpu_pool="setup gpu", cpu_pool="setup cpu")
    command = Setup(deployments=False, gpus=2)
    first = outcomes(client, command, settings)
    # Other tests of the session may have made the objects that do not belong to a pool.
    assert (first["setup gpu"], first["setup cpu"]) == ("made", "made")
    before = everything(client)
    assert set(outcomes(client, command, settings).values()) == {"unchanged"}
    assert everything(client) == before
    assert {"setup gpu", "setup cpu"} <= {pool["name"] for pool in before["pools"]}
    assert automations.SILENT_RUNS in {automation["name"] for automation in before["automations"]}


def everything(client: SyncPrefectClient) -> dict[str, list[dict[str, Any]]]:
    """Read all pools, limits, automations and deployments of the server, with the times of their last change."""
    pools = client.read_work_pools()
    return {
        "pools": [pool.model_dump(mode="json", exclude={"status"}) for pool in pools],
        "limits": [
            limit.model_dump(mode="json")
            for limit in client.read_global_concurrency_limits(limit=200, offset=0)
        ],
        "automations": [automation.model_dump(mode="json") for automation in client.read_automations()],
        "deployments": [
            deployment.model_dump(mode="json", exclude={"status", "last_polled"})
            for deployment in client.read_deployments()
        ],
    }


def test_an_existing_work_pool_is_kept(client: SyncPrefectClient) -> None:
    assert ensure_work_pool(client, "own pool", "").outcome == "made"
    client.update_work_pool("own pool", WorkPoolUpdate(concurrency_limit=3, description="ours"))
    assert ensure_work_pool(client, "own pool", "another description").outcome == "unchanged"
    pool = client.read_work_pool("own pool")
    assert (pool.concurrency_limit, pool.description) == (3, "ours")


def test_a_limit_changes_only_if_its_number_is_given(client: SyncPrefectClient) -> None:
    assert ensure_limit(client, "gpu:somewhere", 1, exactly=False).outcome == "made"
    client.update_global_concurrency_limit("gpu:somewhere", GlobalConcurrencyLimitUpdate(limit=4))
    kept = ensure_limit(client, "gpu:somewhere", 1, exactly=False)
    assert (kept.outcome, kept.note) == ("unchanged", "4 at once")
    assert ensure_limit(client, "gpu:somewhere", 2, exactly=True).outcome == "changed"
    assert client.read_global_concurrency_limit_by_name("gpu:somewhere").limit == 2


def test_an_automation_is_updated_and_stays_paused(client: SyncPrefectClient) -> None:
    first = automations.end_silent_runs(90.0).model_copy(update={"name": "ours"})
    assert ensure_automation(client, first).outcome == "made"
    made = client.read_automations_by_name("ours")[0]
    client.pause_automation(made.id)
    assert ensure_automation(client, first).outcome == "unchanged"
    longer = automations.end_silent_runs(300.0).model_copy(update={"name": "ours"})
    assert ensure_automation(client, longer).outcome == "changed"
    (present,) = client.read_automations_by_name("ours")
    assert present.id == made.id
    assert not present.enabled
    assert present.trigger.within.total_seconds() == 300.0
    assert ensure_automation(client, longer).outcome == "unchanged"


def test_a_missing_notification_block_is_refused_before_anything_is_made(client: SyncPrefectClient) -> None:
    command = Setup(deployments=False, notify="slack-webhook/nowhere")
    before = everything(client)
    with pytest.raises(
        ParameterError, match=r"slack-webhook/nowhere: the server has no such block; make one"
    ):
        prepare_server(client, command, Settings(gpu_pool="never", cpu_pool="never"))
    assert everything(client) == before


def test_without_a_server_the_message_names_the_setting(
    prefect_server: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert main(["setup"]) == 2
    assert "PREFECT_API_URL is not set" in capsys.readouterr().err
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert main(["setup"]) == 1
    assert "no Prefect server answers at http://127.0.0.1:9/api" in capsys.readouterr().err


def test_a_file_without_deployments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"cannot be read .*--prefect-file"):
        read_prefect_file(tmp_path / "prefect.yaml")
    (tmp_path / "prefect.yaml").write_text("name: something\n")
    with pytest.raises(ParameterError, match="holds no deployments"):
        read_prefect_file(tmp_path / "prefect.yaml")


@pytest.mark.slow
def test_the_command_registers_deployments_once_and_the_event_trigger_starts_a_run(tmp_path: Path) -> None:
    with running_server(tmp_path / "home") as server, connected(server):
        first = setup(server, SPHEROVEM_GPU_POOL="our gpus")
        assert "unchanged" not in first
        with get_client(sync_client=True) as client:
            before = everything(client)
            again = setup(server, SPHEROVEM_GPU_POOL="our gpus")
            assert everything(client) == before
        assert " made" not in again
        assert "changed " not in again.replace("unchanged", "")
        pools = {deployment["name"]: deployment["work_pool_name"] for deployment in before["deployments"]}
        assert pools == {
            "on-landing": "our gpus",
            "ad-hoc": "our gpus",
            "scan-landing": "cpu",
            "backlog": "cpu",
            "correct-labels": "our gpus",
            "finetune-segmentation": "our gpus",
        }
        moved = setup(server)
        assert "process-acquisition/on-landing               changed (on pool gpu)" in moved
        assert "scan-landing/scan-landing                    unchanged" in moved
        with get_client(sync_client=True) as client:
            (trigger,) = client.read_automations_by_name("spherovem-landed-event")
            assert not trigger.enabled
            client.resume_automation(trigger.id)
            parameters = {
                "acquisition": {"name": 'sphe"roid ü', "source": "/land/a", "results_root": "/results"},
                "parameters": {"registration": {"model": "rigid"}},
                "execution": {"device": "cpu"},
            }
            sent_at = [-math.inf]

            def has_started() -> bool:
                # A busy server takes a while until a resumed trigger is at work, and drops the events before.
                if time.monotonic() > sent_at[0] + 20.0 and not started(client):
                    sent_at[0] = time.monotonic()
                    send_event(
                        client,
                        "spherovem.acquisition.landed",
                        "spherovem.acquisition.spheroid",
                        {"flow_parameters": parameters},
                    )
                return bool(started(client))

            wait_until(has_started, 120, lambda: server.output)
            run = started(client)[0]
            assert run.parameters == parameters
            assert run.work_pool_name == "gpu"


def started(client: SyncPrefectClient) -> list[FlowRun]:
    """List the flow runs without those that the server scheduled."""
    return [run for run in client.read_flow_runs() if not run.auto_scheduled]


def setup(server: PrefectServer, **settings: str) -> str:
    return run_command([SPHEROVEM, "setup"], server.client_environment(**settings), server.home).stdout
