"""Servers that other tests start: they keep their data over a kill and leave no process."""

from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect_servers import connected, running_server, running_worker


@pytest.mark.slow
def test_a_killed_server_keeps_its_data_and_leaves_no_process(tmp_path: Path) -> None:
    with running_server(tmp_path / "home") as server:
        first = server.pid
        with running_worker(server, "pool") as worker:
            assert worker.running
            server.kill()
            assert not server.healthy()
            server.start()
            assert server.pid != first
            with connected(server), get_client(sync_client=True) as client:
                assert [pool.name for pool in client.read_work_pools()] == ["pool"]
    assert not psutil.pid_exists(server.pid)
    assert not psutil.pid_exists(worker.pid)
