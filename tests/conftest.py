"""What all tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The first example pays for compiling a numba kernel; no test judges by time.
settings.register_profile("spherovem", deadline=None)
settings.load_profile("spherovem")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Prefect server with an empty database for all tests that need it; it takes seconds to start."""
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
