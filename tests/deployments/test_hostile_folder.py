"""Commands and flow runs use our packages in a folder that holds other packages of the same names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.deployments import run_deployment
from prefect_servers import connected, run_command, running_server
from trivial_deployments import wait_for_state

from deployments.server.deployment_registration import PREFECT_FILE

SPHEROVEM = str(Path(sys.executable).with_name("spherovem"))
PACKAGES = ("deployments", "flows", "tasks", "spherovem_core")
START_A_CHILD = """
import subprocess, sys
from deployments.environment import prepare_environment
prepare_environment()
subprocess.run([sys.executable, "-c", "import deployments, flows, tasks"], check=True)
"""
SCAN = """
from deployments.environment import prepare_environment
prepare_environment()
from prefect.logging import disable_run_logger
from flows.scan_landing import scan_landing
with disable_run_logger():
    scan_landing.fn()
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Make a folder with packages of our names, each of which raises an error when it is imported."""
    folder = tmp_path / "site"
    for name in PACKAGES:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise ImportError('decoy')\n")
    return folder


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, without the PYTHONSAFEPATH of the tests."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.run(
        arguments, cwd=folder, env=environment | variables, capture_output=True, text=True, check=False
    )


def test_the_foreign_packages_are_imported_without_protection(hostile: Path) -> None:
    done = run(hostile, sys.executable, "-m", "deployments.command_line", "--version")
    assert "decoy" in done.stderr


# -P protects the first process alone, as the folder of a console script does; its children have only its environment.
def test_children_of_a_command_import_our_packages(hostile: Path) -> None:
    done = run(hostile, sys.executable, "-P", "-c", START_A_CHILD)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_of_a_scan_is_ours(hostile: Path) -> None:
    done = run(hostile, sys.executable, "-P", "-c", SCAN, SPHEROVEM_LANDING_FOLDERS="[]")
    assert "ScanError: spherovem: no landing folder:" in done.stderr.splitlines()[-1], done.stderr


def test_processes_of_every_deployment_import_our_packages(hostile: Path) -> None:
    deployments = yaml.safe_load(PREFECT_FILE.read_text())["deployments"]
    jobs = {each["entrypoint"]: each["work_pool"]["job_variables"]["env"] for each in deployments}
    assert len(jobs) == 5
    for entrypoint, variables in jobs.items():
        module = entrypoint.rpartition(".")[0]
        done = run(hostile, sys.executable, "-c", f"import tasks, deployments, {module}", **variables)
        assert (done.returncode, done.stderr) == (0, ""), entrypoint


@pytest.mark.slow
def test_a_worker_started_in_that_folder_imports_our_packages(hostile: Path, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    with running_server(tmp_path / "server") as server:
        variables = {
            "SPHEROVEM_LANDING_FOLDERS": str(landing),
            "SPHEROVEM_RESULTS_ROOT": str(tmp_path / "results"),
        }
        environment = server.client_environment(**variables)
        del environment["PYTHONSAFEPATH"]
        # A site that has this pool for its own project runs everything in the project's folder.
        server.command("work-pool", "create", "cpu", "--type", "process")
        with connected(server), get_client(sync_client=True) as client:
            template = client.read_work_pool("cpu").base_job_template
            template["variables"]["properties"]["working_dir"]["default"] = str(hostile)
            client.update_work_pool("cpu", WorkPoolUpdate(base_job_template=template))
        run_command([SPHEROVEM, "setup", "--gpus", "1"], environment, hostile)
        worker = server.worker("cpu", "worker", 1)
        worker.environment.update(environment)
        worker.environment.pop("PYTHONSAFEPATH", None)
        worker.folder = hostile
        try:
            worker.start()
            with connected(server), get_client(sync_client=True) as client:
                started = run_deployment("scan-landing/scan-landing", timeout=0, as_subflow=False)
                run = wait_for_state(client, started.id, ("Completed", "Failed", "Crashed"))
                assert run.state_name == "Completed", worker.output[-3000:]
        finally:
            worker.stop()
