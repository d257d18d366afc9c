"""Deployments of prefect.yaml on a server, and one of them run by a worker."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import prefect.settings
import pytest
import yaml
from fine_tuning_scenes import write_labelled_slices
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.deployments import run_deployment

from deployments.server.provisioning import ensure_work_pool

PROJECT = Path(__file__).parents[2]
ENTRYPOINTS = {
    "process-acquisition/on-landing": "flows.process_acquisition.process_acquisition",
    "scan-landing/scan-landing": "flows.scan_landing.scan_landing",
    "process-backlog/backlog": "flows.process_backlog.process_backlog",
    "process-acquisition/ad-hoc": "flows.process_acquisition.process_acquisition",
    "correct-labels/correct-labels": "flows.correct_labels.correct_labels",
    "finetune-segmentation/finetune-segmentation": "flows.finetune_segmentation.finetune_segmentation",
}
ON_CPU = ("scan-landing/scan-landing", "process-backlog/backlog")

pytestmark = pytest.mark.usefixtures("prefect_server")


def run_prefect(folder: Path, *arguments: str) -> None:
    """Run the prefect command of this environment against the server of the tests."""
    environment = {
        **os.environ,
        "PREFECT_API_URL": str(prefect.settings.PREFECT_API_URL.value()),
        "PREFECT_HOME": str(prefect.settings.PREFECT_HOME.value()),
    }
    command = [str(Path(sys.executable).with_name("prefect")), "--no-prompt", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def deploy(client: SyncPrefectClient, folder: Path) -> dict[str, Any]:
    """Deploy from a folder that holds only prefect.yaml; return the deployments on the server."""
    (folder / "prefect.yaml").write_text((PROJECT / "prefect.yaml").read_text())
    run_prefect(folder, "deploy", "--all")
    return {name: client.read_deployment_by_name(name) for name in ENTRYPOINTS}


@pytest.fixture(scope="module")
def client(prefect_server: None) -> Any:
    with get_client(sync_client=True) as client:
        ensure_work_pool(client, "gpu", "")
        ensure_work_pool(client, "cpu", "")
        yield client


@pytest.mark.slow
def test_deployments_hold_no_path_and_deploying_twice_keeps_their_ids(
    client: SyncPrefectClient, tmp_path: Path
) -> None:
    (tmp_path / "a folder").mkdir()
    first = deploy(client, tmp_path / "a folder")
    again = deploy(client, tmp_path)
    for name, entrypoint in ENTRYPOINTS.items():
        assert first[name].id == again[name].id
        assert again[name].entrypoint == entrypoint
        assert again[name].work_pool_name == ("cpu" if name in ON_CPU else "gpu")
        assert "spherovem" in again[name].tags
        assert again[name].job_variables["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
        assert str(tmp_path) not in again[name].model_dump_json()
    written = yaml.safe_load((PROJECT / "prefect.yaml").read_text())
    assert str(PROJECT) not in str(written)
    landing = again["process-acquisition/on-landing"]
    assert landing.concurrency_options.collision_strategy == "ENQUEUE"
    assert landing.global_concurrency_limit.limit == 4
    (schedule,) = again["scan-landing/scan-landing"].schedules
    assert schedule.active
    (trigger,) = client.read_automations_by_name("spherovem-landed-event")
    assert not trigger.enabled, "the event trigger would start a second run of every acquisition"


@pytest.mark.slow
def test_a_worker_runs_the_fine_tuning_deployment(client: SyncPrefectClient, tmp_path: Path) -> None:
    deploy(client, tmp_path)
    write_labelled_slices(tmp_path / "slices", per_plane=3, side_px=96)
    run = run_deployment(
        "finetune-segmentation/finetune-segmentation",
        parameters={
            "folders": {"slices": str(tmp_path / "slices"), "out": str(tmp_path / "network")},
            "parameters": {"network": "phantom-compact", "epochs": 2, "crop_px": 96, "learning_rate": 1e-3},
            "execution": {"device": "cpu", "workers": 1},
        },
        timeout=0,
    )
    run_prefect(tmp_path, "worker", "start", "--pool", "gpu", "--run-once", "--limit", "1")
    assert client.read_flow_run(run.id).state_name == "Completed"
    assert (tmp_path / "network" / "weights.pt").is_file()
