"""The course of a stage: cache, disk, locks, retries and history, on a stage that doubles numbers."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prefect import flow, task
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_HOME, temporary_settings

from spherovem_core.blocks import slab_grid
from spherovem_core.errors import (
    DeadlineError,
    IncompleteArtifactError,
    ParameterError,
    StoreNotWritableError,
)
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import StageParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.store import Layout, open_array, table_history
from tasks.plans import Stage
from tasks.policies import bound, stage_policy
from tasks.stage import StageRun, run_stage

pytestmark = pytest.mark.usefixtures("prefect_server")

SPACING = (50.0, 10.0, 10.0)
SHAPE = (4, 24, 20)


class Add(StageParameters):
    """Parameters of the two stages."""

    value: int = 1


ONE = Add()
FIRST = Stage("first", 1, ("volume.zarr/raw/0", "tables/stages/first.parquet"))
SECOND = Stage("second", 1, ("volume.zarr/denoised/0",))
computed: list[str] = []
trouble: list[Exception] = []


@task(**stage_policy(FIRST))
def first(
    acquisition: Acquisition, parameters: Add, execution: ExecutionSettings = ExecutionSettings()
) -> ArtifactRef:
    return run_stage(FIRST, locals(), _first)


def _first(run: StageRun, acquisition: Acquisition, parameters: Add) -> None:
    computed.append("first")
    if trouble:
        raise trouble.pop()
    writer = run.writer("raw", "image", SHAPE, "uint8", SPACING, by_slice=True)
    for block in writer.pending(slab_grid(SHAPE, 1)):
        writer.write(block, np.full((1, *SHAPE[1:]), parameters.value, np.uint8))
        run.execution.report(block.index[0] + 1, SHAPE[0])
    run.write_table(run.plan.outputs[1], pd.DataFrame({"z": range(SHAPE[0])}))
    run.finish(writer)


@task(**stage_policy(SECOND))
def second(
    image: ArtifactRef, parameters: Add, execution: ExecutionSettings = ExecutionSettings()
) -> ArtifactRef:
    return run_stage(SECOND, locals(), _second)


def _second(run: StageRun, image: ArtifactRef, parameters: Add) -> None:
    computed.append("second")
    source = run.open(image)
    writer = run.writer("denoised", "image", source.shape, "uint8", source.spacing_nm, by_slice=True)
    for block in writer.pending(slab_grid(SHAPE, 1)):
        writer.write(block, source[block.core] + np.uint8(parameters.value))
    run.finish(writer)


@flow(name="two-stages")
def two_stages(acquisition: Acquisition, one: Add = ONE, two: Add = ONE) -> tuple[str, ArtifactRef]:
    raw = bound(first, acquisition).with_options(retry_delay_seconds=0.01)(acquisition, one)
    done = bound(second, acquisition)(raw, two)
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    return str(context.flow_run.id), done


@pytest.fixture(autouse=True)
def _fresh() -> None:
    computed.clear()
    trouble.clear()


@pytest.fixture
def acquisition(tmp_path: Path) -> Acquisition:
    return Acquisition(name="spheroid 3", source=tmp_path / "landing", results_root=tmp_path / "results")


States = Callable[[str, int], dict[str, str]]


def test_second_run_is_cached_and_says_so(acquisition: Acquisition, task_states: States) -> None:
    _, one = two_stages(acquisition)
    run, again = two_stages(acquisition)
    assert computed == ["first", "second"]
    assert again == one
    assert task_states(run, 2) == {"first of spheroid 3": "Cached", "second of spheroid 3": "Cached"}
    assert np.all(open_array(Layout(acquisition.folder), "denoised")[:] == 2)


def test_changed_parameter_recomputes_that_stage_and_those_after(acquisition: Acquisition) -> None:
    two_stages(acquisition)
    two_stages(acquisition, two=Add(value=5))
    assert computed == ["first", "second", "second"]
    two_stages(acquisition, one=Add(value=7), two=Add(value=5))
    assert computed == ["first", "second", "second", "first", "second"]
    assert np.all(open_array(Layout(acquisition.folder), "denoised")[:] == 12)


def test_execution_settings_do_not_enter_the_fingerprint(acquisition: Acquisition) -> None:
    plain = FIRST.plan({"acquisition": acquisition, "parameters": Add(), "execution": ExecutionSettings()})
    other = FIRST.plan(
        {
            "acquisition": acquisition,
            "parameters": Add(),
            "execution": ExecutionSettings(workers=3, device="cpu"),
        }
    )
    changed = FIRST.plan({"acquisition": acquisition, "parameters": Add(value=2)})
    assert plain.digest == other.digest
    assert plain.digest != changed.digest


@pytest.mark.parametrize("lost", ["volume.zarr/raw", "tables/stages/first.parquet", "volume.zarr/raw/0/c/2"])
def test_deleted_output_is_recomputed_although_prefect_remembers(
    acquisition: Acquisition, lost: str, task_states: States
) -> None:
    two_stages(acquisition)
    path = acquisition.folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    run, _ = two_stages(acquisition)
    assert computed == ["first", "second", "first"]
    assert task_states(run, 2) == {"first of spheroid 3": "Completed", "second of spheroid 3": "Cached"}
    assert np.all(open_array(Layout(acquisition.folder), "raw")[:] == 1)


def test_nothing_is_recomputed_in_another_prefect_home_or_without_records(
    acquisition: Acquisition, tmp_path: Path
) -> None:
    two_stages(acquisition)
    with temporary_settings({PREFECT_HOME: tmp_path / "other home"}):
        two_stages(acquisition)
    shutil.rmtree(Layout(acquisition.folder).scratch)
    two_stages(acquisition)
    assert computed == ["first", "second"]


def test_two_results_roots_share_no_record(acquisition: Acquisition, tmp_path: Path) -> None:
    other = acquisition.model_copy(update={"results_root": tmp_path / "elsewhere"})
    _, here = two_stages(acquisition)
    _, there = two_stages(other)
    assert computed == ["first", "second"] * 2
    assert here.digest == there.digest
    assert (here.store, there.store) == (str(acquisition.folder), str(other.folder))


def test_moved_results_are_found_where_they_are(acquisition: Acquisition, tmp_path: Path) -> None:
    two_stages(acquisition)
    acquisition.results_root.rename(tmp_path / "moved")
    moved = acquisition.model_copy(update={"results_root": tmp_path / "moved"})
    _, done = two_stages(moved)
    assert computed == ["first", "second"]
    assert done.store == str(moved.folder)


def test_history_names_every_stage_that_led_to_an_array(acquisition: Acquisition) -> None:
    two_stages(acquisition, two=Add(value=3))
    entries = open_array(Layout(acquisition.folder), "denoised").history
    assert [entry["stage"] for entry in entries] == ["first", "second"]
    assert entries[1]["parameters"] == {"parameters": {"value": 3}}
    assert entries[1]["inputs"] == [open_array(Layout(acquisition.folder), "raw").digest]
    assert entries[1]["peak_memory_bytes"] > 0
    json.dumps(entries)


def test_history_counts_a_run_once_whatever_it_wrote(acquisition: Acquisition) -> None:
    _, done = two_stages(acquisition)
    raw = FIRST.plan({"acquisition": acquisition, "parameters": ONE})
    reference = raw.find()
    assert reference is not None
    third = Stage("third", 1, ("tables/stages/third.parquet",))

    def compute(run: StageRun, image: ArtifactRef, other: ArtifactRef) -> None:
        run.open(image)
        run.open(other)
        run.table(FIRST.outputs[1], reference.digest)
        run.write_table(third.outputs[0], pd.DataFrame({"z": [0]}))

    run_stage(third, {"image": reference, "other": done}, compute)
    entries = table_history(Layout(acquisition.folder), third.outputs[0])
    assert [entry["stage"] for entry in entries] == ["first", "second", "third"]


def device_out_of_memory() -> Exception:
    return type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory")


@pytest.mark.parametrize("make", [lambda: OSError(5, "I/O error"), MemoryError, device_out_of_memory])
def test_what_may_pass_next_time_is_tried_again(
    acquisition: Acquisition, make: Callable[[], Exception]
) -> None:
    trouble.append(make())
    two_stages(acquisition)
    assert computed == ["first", "first", "second"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ParameterError("no"), ParameterError),
        (ValueError("no"), ValueError),
        (PermissionError(13, "no"), PermissionError),
        (OSError(28, "No space left on device"), StoreNotWritableError),
    ],
)
def test_what_will_not_pass_is_tried_once(
    acquisition: Acquisition, error: Exception, raised: type[Exception]
) -> None:
    trouble.append(error)
    with pytest.raises(raised):
        two_stages(acquisition)
    assert computed == ["first"]


def test_a_full_disk_says_what_to_do(acquisition: Acquisition) -> None:
    trouble.append(OSError(28, "No space left on device"))
    with pytest.raises(StoreNotWritableError, match=r"No space left.*free or add disk space"):
        two_stages(acquisition)


def test_a_stage_past_its_deadline_goes_on_from_its_ledger(acquisition: Acquisition) -> None:
    arguments: dict[str, Any] = {"acquisition": acquisition, "parameters": Add()}
    with pytest.raises(DeadlineError, match="after 1 of 4 blocks"):
        run_stage(FIRST, {**arguments, "execution": ExecutionSettings(stage_timeout_s=1e-9)}, _first)
    assert FIRST.plan(arguments).find() is None
    writes: list[str] = []

    def spying(run: StageRun, **own: Any) -> None:
        writer = run.writer("raw", "image", SHAPE, "uint8", SPACING, by_slice=True)
        writes.extend(block.key for block in writer.pending(slab_grid(SHAPE, 1)))
        _first(run, **own)

    run_stage(FIRST, arguments, spying)
    assert len(writes) == 3


def test_a_stage_that_forgets_an_output_is_refused(acquisition: Acquisition) -> None:
    with pytest.raises(IncompleteArtifactError, match=r"raw/0, tables/stages/first.parquet"):
        run_stage(FIRST, {"acquisition": acquisition, "parameters": Add()}, lambda run, **own: None)


def test_two_runs_at_once_compute_each_stage_once(acquisition: Acquisition) -> None:
    threads = [threading.Thread(target=two_stages, args=(acquisition,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert computed == ["first", "second"]


def test_a_plan_needs_a_place() -> None:
    with pytest.raises(TypeError, match="none of the arguments"):
        SECOND.plan({"parameters": Add()})
