"""Tasks of steps: cache, disk, locks, retries and history, on a pipeline of two steps that add numbers."""

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prefect import flow
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
from spherovem_core.region_of_interest import WHOLE
from spherovem_core.store import Layout, open_array, table_history
from spherovem_core.workflow import ArrayOutput, Cost, Pipeline, Quality, Step, StepPlan, TableOutput
from spherovem_core.workflow.compute import compute_step
from spherovem_core.workflow.cost import image_work
from spherovem_core.workflow.run import StepRun
from tasks.policies import with_local_records
from tasks.steps import arguments_of, step_task

pytestmark = pytest.mark.usefixtures("prefect_server")

SPACING = (50.0, 10.0, 10.0)
SHAPE = (4, 24, 20)


class Add(StageParameters):
    """Parameters of the steps."""

    value: int = 1


ONE = Add()
RAW = ArrayOutput("raw", "image", "z y x", ("uint8",), "", "An image.")
ROWS = TableOutput("first", "a slice")
DENOISED = ArrayOutput("denoised", "image", "z y x", ("uint8",), "", "Another image.")
THIRD_ROWS = TableOutput("third", "a slice")
computed: list[str] = []
faults: list[Exception] = []


def _first(run: StepRun[Add]) -> Quality:
    computed.append("first")
    if faults:
        raise faults.pop()
    writer = run.writer(RAW, SHAPE, "uint8", SPACING, by_slice=True)
    for block in writer.pending(slab_grid(SHAPE, 1)):
        writer.write(block, np.full((1, *SHAPE[1:]), run.parameters.value, np.uint8))
        run.execution.report(block.index[0] + 1, SHAPE[0])
    run.write_table(ROWS, pd.DataFrame({"z": range(SHAPE[0])}))
    run.finish(writer)
    return Quality("First", {"value": run.parameters.value}, RAW, "Middle slice")


def _second(run: StepRun[Add]) -> Quality:
    computed.append("second")
    source = run.open(RAW)
    writer = run.writer(DENOISED, source.shape, "uint8", source.spacing_nm, by_slice=True)
    for block in writer.pending(slab_grid(SHAPE, 1)):
        writer.write(block, source[block.core] + np.uint8(run.parameters.value))
    run.finish(writer)
    return Quality("Second")


def _third(run: StepRun[Add]) -> Quality:
    run.open(RAW)
    run.table(ROWS)
    run.open(DENOISED)
    run.write_table(THIRD_ROWS, pd.DataFrame({"z": [0]}))
    return Quality("Third")


FIRST = Step("first", "ingest", 1, lambda _: ONE, (RAW, ROWS), _first, Cost(image_work))
SECOND = Step("second", "denoising", 1, lambda _: ONE, (DENOISED,), _second, Cost(image_work), (RAW,))
THIRD = Step(
    "third", "output", 1, lambda _: ONE, (THIRD_ROWS,), _third, Cost(image_work), (RAW, ROWS, DENOISED)
)
PIPELINE = Pipeline((FIRST, SECOND, THIRD))


def plan_of(
    step: Step[Add], acquisition: Acquisition, parameters: Add = ONE, **inputs: ArtifactRef
) -> StepPlan[Add]:
    return StepPlan(PIPELINE, step, acquisition, WHOLE, parameters, {}, inputs)


@flow(name="two-steps")
def two_steps(acquisition: Acquisition, one: Add = ONE, two: Add = ONE) -> tuple[str, ArtifactRef]:
    settings = ExecutionSettings()
    first = with_local_records(step_task("first", PIPELINE), acquisition).with_options(
        retry_delay_seconds=0.01
    )
    raw = first(**arguments_of(plan_of(FIRST, acquisition, one), settings))
    second = with_local_records(step_task("second", PIPELINE), acquisition)
    done = second(**arguments_of(plan_of(SECOND, acquisition, two, first=raw), settings))
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    return str(context.flow_run.id), done


@pytest.fixture(autouse=True)
def _fresh() -> None:
    computed.clear()
    faults.clear()


@pytest.fixture
def acquisition(tmp_path: Path) -> Acquisition:
    return Acquisition(name="spheroid 3", source=tmp_path / "landing", results_root=tmp_path / "results")


States = Callable[[str, int], dict[str, str]]


def test_second_run_is_cached_and_says_so(acquisition: Acquisition, task_states: States) -> None:
    _, one = two_steps(acquisition)
    run, again = two_steps(acquisition)
    assert computed == ["first", "second"]
    assert again == one
    assert task_states(run, 2) == {"first of spheroid 3": "Cached", "second of spheroid 3": "Cached"}
    assert np.all(open_array(Layout(acquisition.folder), "denoised")[:] == 2)


def test_changed_parameter_recomputes_that_step_and_later_ones(acquisition: Acquisition) -> None:
    two_steps(acquisition)
    two_steps(acquisition, two=Add(value=5))
    assert computed == ["first", "second", "second"]
    two_steps(acquisition, one=Add(value=7), two=Add(value=5))
    assert computed == ["first", "second", "second", "first", "second"]
    assert np.all(open_array(Layout(acquisition.folder), "denoised")[:] == 12)


def test_the_digest_counts_parameters_inputs_and_external_digests(acquisition: Acquisition) -> None:
    plain = plan_of(FIRST, acquisition)
    assert plan_of(FIRST, acquisition, Add(value=2)).digest != plain.digest
    assert replace(plain, external={"source": "a"}).digest != plain.digest
    assert plan_of(SECOND, acquisition, first=plain.expected).digest != plain.digest
    assert arguments_of(plain, ExecutionSettings(workers=3))["parameters"] == ONE


@pytest.mark.parametrize("lost", ["volume.zarr/raw", "tables/stages/first.parquet", "volume.zarr/raw/0/c/2"])
def test_deleted_output_is_recomputed_although_prefect_remembers(
    acquisition: Acquisition, lost: str, task_states: States
) -> None:
    two_steps(acquisition)
    path = acquisition.folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    run, _ = two_steps(acquisition)
    assert computed == ["first", "second", "first"]
    assert task_states(run, 2) == {"first of spheroid 3": "Completed", "second of spheroid 3": "Cached"}
    assert np.all(open_array(Layout(acquisition.folder), "raw")[:] == 1)


def test_nothing_is_recomputed_in_another_prefect_home_or_without_records(
    acquisition: Acquisition, tmp_path: Path
) -> None:
    two_steps(acquisition)
    with temporary_settings({PREFECT_HOME: tmp_path / "other home"}):
        two_steps(acquisition)
    shutil.rmtree(Layout(acquisition.folder).scratch)
    two_steps(acquisition)
    assert computed == ["first", "second"]


def test_two_results_roots_share_no_record(acquisition: Acquisition, tmp_path: Path) -> None:
    other = acquisition.model_copy(update={"results_root": tmp_path / "elsewhere"})
    _, here = two_steps(acquisition)
    _, there = two_steps(other)
    assert computed == ["first", "second"] * 2
    assert here.digest == there.digest
    assert (here.store, there.store) == (str(acquisition.folder), str(other.folder))


def test_moved_results_are_found_where_they_are(acquisition: Acquisition, tmp_path: Path) -> None:
    two_steps(acquisition)
    acquisition.results_root.rename(tmp_path / "moved")
    moved = acquisition.model_copy(update={"results_root": tmp_path / "moved"})
    _, done = two_steps(moved)
    assert computed == ["first", "second"]
    assert done.store == str(moved.folder)


def test_history_names_every_step_that_led_to_an_array(acquisition: Acquisition) -> None:
    two_steps(acquisition, two=Add(value=3))
    entries = open_array(Layout(acquisition.folder), "denoised").history
    assert [(entry["stage"], entry["step"]) for entry in entries] == [
        ("ingest", "first"),
        ("denoising", "second"),
    ]
    assert entries[1]["parameters"] == {"value": 3}
    assert entries[1]["inputs"] == [open_array(Layout(acquisition.folder), "raw").digest]
    assert entries[1]["peak_memory_bytes"] > 0
    json.dumps(entries)


def test_history_lists_a_step_with_several_outputs_once(acquisition: Acquisition) -> None:
    _, done = two_steps(acquisition)
    raw = plan_of(FIRST, acquisition).find()
    assert raw is not None
    compute_step(plan_of(THIRD, acquisition, first=raw, second=done), ExecutionSettings())
    entries = table_history(Layout(acquisition.folder), THIRD_ROWS.path)
    assert [entry["step"] for entry in entries] == ["first", "second", "third"]


def test_an_input_that_a_step_did_not_declare_is_refused(acquisition: Acquisition) -> None:
    two_steps(acquisition)
    raw = plan_of(FIRST, acquisition).find()
    assert raw is not None

    def greedy(run: StepRun[Add]) -> Quality:
        run.table(ROWS)
        return Quality("Greedy")

    step = replace(SECOND, compute=greedy)
    plan = StepPlan(PIPELINE, step, acquisition, WHOLE, Add(value=9), {}, {"first": raw})
    with pytest.raises(KeyError, match=r"second reads tables/stages/first\.parquet; declare it"):
        compute_step(plan, ExecutionSettings())


def device_out_of_memory() -> Exception:
    return type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory")


@pytest.mark.parametrize("make", [lambda: OSError(5, "I/O error"), MemoryError, device_out_of_memory])
def test_a_transient_fault_is_retried(acquisition: Acquisition, make: Callable[[], Exception]) -> None:
    faults.append(make())
    two_steps(acquisition)
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
def test_a_permanent_fault_is_not_retried(
    acquisition: Acquisition, error: Exception, raised: type[Exception]
) -> None:
    faults.append(error)
    with pytest.raises(raised):
        two_steps(acquisition)
    assert computed == ["first"]


def test_a_full_disk_error_names_the_remedy(acquisition: Acquisition) -> None:
    faults.append(OSError(28, "No space left on device"))
    with pytest.raises(StoreNotWritableError, match=r"No space left.*free or add disk space"):
        two_steps(acquisition)


def test_a_step_past_its_deadline_continues_from_its_ledger(acquisition: Acquisition) -> None:
    plan = plan_of(FIRST, acquisition)
    with pytest.raises(DeadlineError, match="after 1 of 4 blocks"):
        compute_step(plan, ExecutionSettings(stage_timeout_s=1e-9))
    assert plan.find() is None
    written: list[str] = []

    def spying(run: StepRun[Add]) -> Quality:
        writer = run.writer(RAW, SHAPE, "uint8", SPACING, by_slice=True)
        written.extend(block.key for block in writer.pending(slab_grid(SHAPE, 1)))
        return _first(run)

    compute_step(replace(plan, step=replace(FIRST, compute=spying)), ExecutionSettings())
    assert len(written) == 3


def test_a_step_that_forgets_an_output_is_refused(acquisition: Acquisition) -> None:
    step = replace(FIRST, compute=lambda run: Quality("Nothing"))
    with pytest.raises(IncompleteArtifactError, match=r"raw/0, tables/stages/first.parquet"):
        compute_step(StepPlan(PIPELINE, step, acquisition, WHOLE, ONE, {}, {}), ExecutionSettings())


def test_two_runs_at_once_compute_each_step_once(acquisition: Acquisition) -> None:
    threads = [threading.Thread(target=two_steps, args=(acquisition,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert computed == ["first", "second"]
