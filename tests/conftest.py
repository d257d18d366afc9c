"""Fixtures of all tests."""

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings
from session_folders import KEPT, left_processes, use_own_folder

from deployments.environment import prepare_environment

# The first example compiles a numba kernel, so examples have no deadline.
settings.register_profile("spherovem", deadline=None)
settings.load_profile("spherovem")

# Before anything asks for a folder for temporary files.
OWN_FOLDER = use_own_folder()

# Each process of parallel tests has its own Prefect home: servers started by tests would lock a shared database.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="spherovem-prefect-")
atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)

# Prefect sets up logging when it is imported, and test modules import it before any fixture runs.
prepare_environment()

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Keep the folder of temporary files if a test failed, and name processes that were left."""
    if OWN_FOLDER is None:
        return
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        (OWN_FOLDER / KEPT).touch()
        terminalreporter.write_line(f"temporary files of this session: {OWN_FOLDER}")
    for process in left_processes(OWN_FOLDER):
        terminalreporter.write_line(f"left behind: {process}", red=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data; skip the test if it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start one Prefect server with an empty database for all tests of this process; the start takes seconds."""
    from prefect import settings as prefect
    from prefect.testing.utilities import prefect_test_harness

    updates = {
        prefect.PREFECT_HOME: tmp_path_factory.mktemp("prefect"),
        prefect.PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE: 50,
        prefect.PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE: 50,
        prefect.PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL: 1,
        prefect.PREFECT_SERVER_ANALYTICS_ENABLED: False,
        prefect.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        prefect.PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    with prefect.temporary_settings(updates), prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def task_states(prefect_server: None) -> Callable[[Any, int], dict[str, str]]:
    """Return a function that reads names and states of a flow run's task runs, once the server has recorded them all."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    def read(flow_run_id: Any, count: int) -> dict[str, str]:
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(str(flow_run_id))]))
        states: dict[str, str] = {}
        for _ in range(150):
            with get_client(sync_client=True) as client:
                runs = client.read_task_runs(flow_run_filter=wanted)
            states = {run.name: str(run.state_name) for run in runs}
            if len(states) == count and not {"Pending", "Running"} & set(states.values()):
                return states
            time.sleep(0.2)
        raise AssertionError(f"expected {count} finished task runs, the server has {states}")

    return read
