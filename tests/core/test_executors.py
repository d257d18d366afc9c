"""Processes and Dask clusters, also one that loses a worker, give the same bits as one thread."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from dask_clusters import cluster, killable_cluster
from executor_scenes import PARTS, same

from spherovem_core.execution import Execution, ExecutionSettings, open_executor

# Registration and nanoparticles have tests of their own with each executor.
BLOCKS_OF_LABELS = ("masks", "shape", "spatial")


@pytest.mark.parametrize("name", BLOCKS_OF_LABELS)
def test_dask_cluster_gives_the_same_bits(tmp_path: Path, name: str) -> None:
    pytest.importorskip("distributed", reason="the extra 'scale' is not installed")
    part = PARTS[name]
    part.prepare(tmp_path)
    with cluster() as address, open_executor(ExecutionSettings(executor=address)) as executor:
        found = part.compute(tmp_path, Execution("cpu", executor, 2))
    same(found, part.compute(tmp_path, Execution("cpu")))


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS_OF_LABELS)
def test_processes_give_the_same_bits(tmp_path: Path, name: str) -> None:
    part = PARTS[name]
    part.prepare(tmp_path)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        found = part.compute(tmp_path, Execution("cpu", executor, 2))
    same(found, part.compute(tmp_path, Execution("cpu")))


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_worker_killed_half_way_changes_nothing(tmp_path: Path, name: str) -> None:
    pytest.importorskip("distributed", reason="the extra 'scale' is not installed")
    part = PARTS[name]
    part.prepare(tmp_path)
    killed: list[tuple[int, int]] = []
    with (
        killable_cluster() as (address, workers),
        open_executor(ExecutionSettings(executor=address)) as executor,
    ):

        def kill_once(done: int, total: int) -> None:
            if not killed and 2 * done >= total:
                os.kill(workers()[0], signal.SIGKILL)
                killed.append((done, total))

        found = part.compute(tmp_path, Execution("cpu", executor, 2, progress=kill_once))
    assert len(killed) == 1
    same(found, part.compute(tmp_path, Execution("cpu")))
