"""Prefect server on PostgreSQL, as the containers run it: one run per acquisition, and a restarted server keeps its data."""

import os
import sys
from base64 import b64encode
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from compose_files import services
from landing_flows import note_acquisition
from landing_scenes import write_acquisition
from landing_servers import copy_slowly, watcher, watching
from postgresql_servers import postgresql
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect_servers import PrefectServer, connected, run_command, running_server, running_worker
from trivial_deployments import wait_until

from deployments.command_line.setup import Setup, prepare_server
from deployments.settings import Settings

FOLDERS = os.pathsep.join(str(Path(__file__).parents[1] / name) for name in ("deployments", "core"))
POOL = "noted"


def deploy(client: SyncPrefectClient) -> str:
    """Deploy to a pool of its own: those that `setup` makes let no run choose its environment."""
    client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    client.create_deployment(
        flow_id=client.create_flow(note_acquisition),
        name="on-landing",
        entrypoint="landing_flows.note_acquisition",
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": "."}}],
        work_pool_name=POOL,
        tags=["spherovem"],
        job_variables={"env": {"PYTHONPATH": FOLDERS}},
    )
    return "note-acquisition/on-landing"


def container_settings() -> dict[str, str]:
    """Return the environment of the server's container, but for its place: address, port and database are those of the test."""
    settings: dict[str, str] = dict(services()["server"]["environment"])
    for name in ("API_HOST", "API_PORT", "DATABASE_CONNECTION_URL"):
        del settings[f"PREFECT_SERVER_{name}"]
    return settings


def check_access(server: PrefectServer) -> None:
    """Check what the containers promise: healthy, closed without the password, and to pages of other sites."""
    health = [
        part.replace(":4200/", f":{server.port}/") for part in services()["server"]["healthcheck"]["test"]
    ]
    assert health[:2] == ["CMD", "python"]
    run_command([sys.executable, *health[2:]], os.environ, server.home)
    with pytest.raises(HTTPError, match="401"):
        urlopen(f"{server.url}/admin/version", timeout=10)
    password = b64encode(server.access["PREFECT_API_AUTH_STRING"].encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {password}"}
    with urlopen(Request(f"{server.url}/admin/version", headers=headers), timeout=10) as answer:
        assert answer.status == 200
    with pytest.raises(HTTPError, match="403"):
        urlopen(Request(f"{server.url}/flow_runs/count", data=b"{}", headers=headers), timeout=10)
    asked = Request(f"{server.url}/health", headers={"Origin": "http://evil.example"})
    with urlopen(asked, timeout=10) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] is None


@pytest.mark.environment
def test_an_acquisition_is_processed_once_with_postgresql_behind_the_server(tmp_path: Path) -> None:
    landing, results = tmp_path / "landing", tmp_path / "results"
    source = write_acquisition(tmp_path / "made" / "spheroid")
    with (
        postgresql() as url,
        running_server(tmp_path / "home", database_url=url, settings=container_settings()) as server,
        connected(server),
        get_client(sync_client=True) as client,
    ):
        check_access(server)
        prepare_server(client, Setup(deployments=False), Settings())
        process = watcher(server, landing, results, tmp_path / "watcher.log", deployment=deploy(client))
        with running_worker(server, POOL), watching(process):
            copy_slowly(source, landing / "spheroid", seconds=10)
            wait_until((results / "spheroid" / "runs").exists, 120, lambda: process.output)
        files = sorted(path.name for path in source.iterdir())
        assert (results / "spheroid" / "runs").read_text().count("\n") == 1
        assert all(name in (results / "spheroid" / "runs").read_text() for name in files)
        server.kill()
        server.start()
        (run,) = client.read_flow_runs()
        assert run.name == "spheroid"
        assert {
            change.outcome for change in prepare_server(client, Setup(deployments=False), Settings())
        } == {"unchanged"}
        assert not (server.home / "prefect.db").exists(), "the server kept its data in SQLite"
