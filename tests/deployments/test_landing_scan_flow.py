"""Flow scan-landing: one scan with the settings of its machine, as a backup of the watcher."""

import time
from pathlib import Path

import pytest
from landing_runs import landed_runs
from landing_scenes import landing_settings, write_acquisition
from landing_servers import set_up
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.deployments import run_deployment
from prefect_servers import connected, running_server, running_worker
from trivial_deployments import wait_for_state, wait_until

from deployments.landing.rules import LandingRules
from deployments.landing.watcher import watcher_lock
from flows.scan_landing import scan_landing

pytestmark = pytest.mark.slow


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LandingRules:
    """Set the settings of this machine by variables, and return the rules that follow from them."""
    settings = landing_settings(tmp_path, deployment="process-acquisition/test-of-the-scan")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPHEROVEM_LANDING_FOLDERS", str(settings.landing_folders[0]))
    monkeypatch.setenv("SPHEROVEM_RESULTS_ROOT", str(settings.results_root))
    monkeypatch.setenv("SPHEROVEM_SETTLE_SECONDS", str(settings.settle_seconds))
    monkeypatch.setenv("SPHEROVEM_DEPLOYMENT", settings.deployment)
    return LandingRules.from_settings(settings)


@pytest.mark.usefixtures("prefect_server")
def test_a_scan_hands_over_once_and_does_nothing_beside_a_watcher(rules: LandingRules) -> None:
    from flows.process_acquisition import process_acquisition

    process_acquisition.to_deployment("test-of-the-scan").apply()
    name = "landed without a watcher"
    write_acquisition(rules.folders[0] / name)
    (rules.folders[0] / name / rules.sentinel).touch()
    with watcher_lock(rules.results_root, 0.0) as held:
        assert held
        scan_landing()
    assert count_runs(name) == 0
    scan_landing()
    time.sleep(rules.settle_seconds)
    scan_landing()
    assert count_runs(name) == 1


@pytest.mark.usefixtures("prefect_server")
def test_a_scan_that_cannot_hand_over_fails_its_run(
    rules: LandingRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPHEROVEM_DEPLOYMENT", "process-acquisition/absent")
    write_acquisition(rules.folders[0] / "a")
    (rules.folders[0] / "a" / rules.sentinel).touch()
    scan_landing()
    time.sleep(rules.settle_seconds)
    with pytest.raises(RuntimeError, match="no deployment process-acquisition/absent"):
        scan_landing()


def test_the_scan_is_scheduled_and_a_worker_runs_it(tmp_path: Path) -> None:
    settings = landing_settings(tmp_path)
    variables = {
        "SPHEROVEM_LANDING_FOLDERS": str(settings.landing_folders[0]),
        "SPHEROVEM_RESULTS_ROOT": str(settings.results_root),
        "SPHEROVEM_SETTLE_SECONDS": "0.5",
    }
    write_acquisition(settings.landing_folders[0] / "a")
    with running_server(tmp_path / "home") as server, connected(server):
        set_up(server)
        with get_client(sync_client=True) as client:
            scan = client.read_deployment_by_name("scan-landing/scan-landing")
            wait_until(
                lambda: any(run.deployment_id == scan.id for run in client.read_flow_runs()),
                60.0,
                lambda: f"no run was scheduled:\n{server.output[-3000:]}",
            )
            # A scan that begins at a quarter of an hour would cancel those of the test, or hand over before them.
            client.update_deployment_schedule(scan.id, scan.schedules[0].id, active=False)
            assert not any(run.deployment_id == scan.id for run in client.read_flow_runs())
        with get_client(sync_client=True) as client, running_worker(server, "cpu", **variables):
            for handed_over in (0, 1):
                run = run_deployment("scan-landing/scan-landing", timeout=0)
                assert (
                    wait_for_state(client, run.id, {"Completed", "Failed", "Crashed"}).state_name
                    == "Completed"
                )
                assert len(landed_runs()) == handed_over


def count_runs(name: str) -> int:
    """Count the runs that were started for an acquisition."""
    wanted = FlowRunFilter(name=FlowRunFilterName(any_=[name]))
    with get_client(sync_client=True) as client:
        return len(client.read_flow_runs(flow_run_filter=wanted))
