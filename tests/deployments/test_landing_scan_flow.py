"""The scheduled backup of the watcher: one look, with the settings of the machine it runs on."""

import time
from pathlib import Path

import pytest
from landing_scenes import landing_settings, write_acquisition
from landing_servers import set_up
from landing_to_finished import landed_runs
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.deployments import run_deployment
from prefect_servers import connected, running_server, running_worker
from trivial_deployments import wait_for_state, wait_until

from deployments.landing.rules import LandingRules
from deployments.landing.watcher import only_watcher
from flows.scan_landing import scan_landing

pytestmark = pytest.mark.slow


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LandingRules:
    """Rules of a watcher, and the same as settings of this machine."""
    settings = landing_settings(tmp_path, deployment="process-acquisition/test-of-the-scan")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPHEROVEM_LANDING_FOLDERS", str(settings.landing_folders[0]))
    monkeypatch.setenv("SPHEROVEM_RESULTS_ROOT", str(settings.results_root))
    monkeypatch.setenv("SPHEROVEM_SETTLE_SECONDS", str(settings.settle_seconds))
    monkeypatch.setenv("SPHEROVEM_DEPLOYMENT", settings.deployment)
    return LandingRules.from_settings(settings)


@pytest.mark.usefixtures("prefect_server")
def test_it_hands_over_what_is_ready_and_leaves_a_watcher_alone(rules: LandingRules) -> None:
    from flows.process_acquisition import process_acquisition

    process_acquisition.to_deployment("test-of-the-scan").apply()
    name = "landed without a watcher"
    write_acquisition(rules.folders[0] / name)
    (rules.folders[0] / name / rules.sentinel).touch()
    with only_watcher(rules.results_root, 0.0) as alone:
        assert alone
        scan_landing()
    assert count_runs(name) == 0
    scan_landing()
    time.sleep(rules.settle_seconds)
    scan_landing()
    assert count_runs(name) == 1


@pytest.mark.usefixtures("prefect_server")
def test_what_is_left_undone_fails_the_run(rules: LandingRules, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPHEROVEM_DEPLOYMENT", "process-acquisition/absent")
    write_acquisition(rules.folders[0] / "a")
    (rules.folders[0] / "a" / rules.sentinel).touch()
    scan_landing()
    time.sleep(rules.settle_seconds)
    with pytest.raises(RuntimeError, match="no deployment process-acquisition/absent"):
        scan_landing()


def test_it_is_scheduled_and_a_worker_runs_it(tmp_path: Path) -> None:
    settings = landing_settings(tmp_path)
    variables = {
        "SPHEROVEM_LANDING_FOLDERS": str(settings.landing_folders[0]),
        "SPHEROVEM_RESULTS_ROOT": str(settings.results_root),
        "SPHEROVEM_SETTLE_SECONDS": "0.5",
    }
    write_acquisition(settings.landing_folders[0] / "a")
    with running_server(tmp_path / "home") as server, connected(server):
        set_up(server)
        with get_client(sync_client=True) as client, running_worker(server, "cpu", **variables):
            scan = client.read_deployment_by_name("scan-landing/scan-landing")
            wait_until(
                lambda: any(run.deployment_id == scan.id for run in client.read_flow_runs()),
                60.0,
                lambda: f"no run was scheduled:\n{server.output[-3000:]}",
            )
            for handed_over in (0, 1):
                run = run_deployment("scan-landing/scan-landing", timeout=0)
                assert (
                    wait_for_state(client, run.id, {"Completed", "Failed", "Crashed"}).state_name
                    == "Completed"
                )
                assert len(landed_runs()) == handed_over


def count_runs(name: str) -> int:
    """Runs that were started for an acquisition."""
    wanted = FlowRunFilter(name=FlowRunFilterName(any_=[name]))
    with get_client(sync_client=True) as client:
        return len(client.read_flow_runs(flow_run_filter=wanted))
