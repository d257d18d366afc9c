"""Many acquisitions on a Dask cluster."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from dask_clusters import cluster
from distributed import LocalCluster
from ingest_samples import SPACING_NM, textured, truncate, write_slices

from flows.process_backlog import BacklogError, process_backlog
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition

COMPACT = {"network": "phantom-compact"}
PARAMETERS = PipelineParameters.model_validate({"segmentation": {"cells": COMPACT, "nuclei": COMPACT}})
EXECUTION = ExecutionSettings(device="cpu", workers=1)


def landed(folder: Path, name: str, seed: int) -> Acquisition:
    source = write_slices(folder / "landing" / name, textured((5, 40, 64), seed=seed))
    (source / "acquisition.json").write_text(json.dumps({"spacing_nm": SPACING_NM}))
    return Acquisition(name=name, source=source, results_root=folder / "results")


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_one_broken_acquisition_does_not_stop_the_others(tmp_path: Path) -> None:
    acquisitions = [landed(tmp_path, name, seed) for seed, name in enumerate(("one", "two", "three"))]
    broken = acquisitions[1].source / "slice_0002.tif"
    whole = broken.read_bytes()
    truncate(broken)
    with cluster() as scheduler:
        with pytest.raises(BacklogError, match=r"1 of 3 acquisitions failed.*two: .*slice_0002"):
            process_backlog(acquisitions, PARAMETERS, EXECUTION, stop_after="ingest", scheduler=scheduler)
        finished = {name: raw_written(tmp_path / "results" / name) for name in ("one", "three")}
        broken.write_bytes(whole)
        folders = process_backlog(
            acquisitions, PARAMETERS, EXECUTION, stop_after="ingest", scheduler=scheduler
        )
    assert folders == [str(tmp_path / "results" / name) for name in ("one", "two", "three")]
    assert raw_written(tmp_path / "results" / "two")
    assert finished == {name: raw_written(tmp_path / "results" / name) for name in ("one", "three")}


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_another_worker_continues_the_work_of_a_dead_one(tmp_path: Path) -> None:
    acquisitions = [landed(tmp_path, name, seed) for seed, name in enumerate(("one", "two", "three", "four"))]
    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, memory_limit=0
    ) as workers:
        victim = next(iter(workers.workers.values())).pid
        killer = threading.Thread(target=kill_when_begun, args=(victim, tmp_path / "results"))
        killer.start()
        folders = process_backlog(
            acquisitions, PARAMETERS, EXECUTION, stop_after="ingest", scheduler=workers.scheduler_address
        )
        killer.join()
        survivors = {worker.pid for worker in workers.workers.values()}
    assert victim not in survivors, "no worker died"
    assert folders == [str(acquisition.folder) for acquisition in acquisitions]
    assert all(raw_written(acquisition.folder) for acquisition in acquisitions)


def kill_when_begun(process: int, results: Path) -> None:
    """Kill a process as soon as a results folder is there."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if results.is_dir() and any(results.iterdir()):
            os.kill(process, signal.SIGKILL)
            return
        time.sleep(0.01)


def raw_written(folder: Path) -> dict[str, int]:
    """Return the files of the raw array with the times at which they were written."""
    files = (folder / "volume.zarr" / "raw").rglob("*")
    times = {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in files if file.is_file()}
    assert times, f"no raw image in {folder}"
    return times


@pytest.mark.usefixtures("prefect_server")
def test_two_acquisitions_of_one_name_are_refused_before_anything_starts(tmp_path: Path) -> None:
    twins = [
        Acquisition(name="same", source=tmp_path / side, results_root=tmp_path / "results")
        for side in ("left", "right")
    ]
    with pytest.raises(
        BacklogError, match=r"left and .*right are both named same.*give them different names"
    ):
        process_backlog(twins)
    assert not (tmp_path / "results").exists()
