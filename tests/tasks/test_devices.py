"""The GPU's slot: taken where a step computes on a GPU, one at a time, and made where it does not exist."""

import threading
import time

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from spherovem_core.workflow import GpuLibrary
from tasks import devices

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.mark.parametrize(("library", "device"), [(None, "auto"), ("torch", "cpu"), ("cupy", "cpu")])
def test_no_slot_is_taken_without_a_gpu(
    library: GpuLibrary | None, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "gpu_limit_name", lambda: "gpu:not-made")
    with devices.gpu_slot(library, device):
        pass
    with get_client(sync_client=True) as client, pytest.raises(ObjectNotFound):
        client.read_global_concurrency_limit_by_name("gpu:not-made")


def test_two_steps_do_not_share_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "runs_on_gpu", lambda library, device: True)
    monkeypatch.setattr(devices, "gpu_limit_name", lambda: "gpu:test-host")
    inside: list[int] = []
    most: list[int] = []

    @task
    def step(number: int) -> None:
        with devices.gpu_slot("torch", "cuda"):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.2)
            inside.remove(number)

    @flow
    def run(number: int) -> None:
        step(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert most == [1, 1, 1]
    with get_client(sync_client=True) as client:
        limit = client.read_global_concurrency_limit_by_name("gpu:test-host")
    assert limit.limit == 1
    assert limit.active_slots == 0
