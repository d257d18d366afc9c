"""The step that predicts flows on disk: kills, versions, progress, and files."""

import random
from pathlib import Path

import killable_flows
import numpy as np
import pytest
from killable_flows import PARAMETERS, SHAPE, SPACING, compute, plan_flows, prepare
from killed_processes import kill

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution
from spherovem_core.segmentation import flow_grid, load_network, predict_flows
from spherovem_core.segmentation.flows import ALL_PLANES
from spherovem_core.status import acquisition_state
from spherovem_core.steps.segmentation import FLOWS, SUMS
from spherovem_core.store import Layout, open_array
from spherovem_core.workflow.compute import compute_step

SLABS = 3 + 4 + 2
"""Of planes xz, yz and xy of a grid of 18 x 35 x 55 voxels."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Flows of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    prepare(folder)
    compute(plan_flows(folder))
    assert not provisional(folder).folder.exists()
    return flows_in(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(tmp_path)
    return tmp_path


def flows_in(folder: Path) -> np.ndarray:
    return open_array(Layout(folder / "one"), FLOWS["cells"].group)[:]


def provisional(folder: Path) -> Layout:
    return Layout(Layout(folder / "one").provisional("flows-cells"))


def stopping_at(stop: int) -> killable_flows.Progress:
    def progress(done: int, total: int) -> None:
        assert total == SLABS
        if done == stop:
            raise KeyboardInterrupt

    return progress


def test_flows_on_disk_equal_those_in_memory(whole: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spherovem_core.segmentation.flows.tile_size", lambda *_: killable_flows.TILE)
    grid = flow_grid(SHAPE, SPACING, PARAMETERS)
    expected = np.zeros((4, *grid.shape), np.float16)
    network = load_network("phantom-compact", "cells", "cpu")
    image = killable_flows.image()
    predict_flows(image, SPACING, grid, network, MemorySink(expected), PARAMETERS, Execution("cpu"))
    assert np.array_equal(whole, expected)


def test_sections_need_no_provisional_array(folder: Path) -> None:
    seen: list[bool] = []
    plan = plan_flows(folder, PARAMETERS.model_copy(update={"planes": "xy"}))
    compute(plan, lambda *_: seen.append(provisional(folder).folder.exists()))
    assert not any(seen)
    assert not flows_in(folder)[0].any()


@pytest.mark.parametrize("stop", [1, 4, 8])
def test_a_stopped_step_continues_with_the_same_bits(folder: Path, whole: np.ndarray, stop: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        compute(plan_flows(folder), stopping_at(stop))
    seen: list[int] = []
    compute(plan_flows(folder), lambda done, _: seen.append(done))
    assert seen[0] == stop
    assert np.array_equal(flows_in(folder), whole)


def test_a_changed_file_of_the_sums_is_computed_again(folder: Path, whole: np.ndarray) -> None:
    with pytest.raises(KeyboardInterrupt):
        compute(plan_flows(folder), stopping_at(5))
    for part, place in (("yz", "c/0/0/0/0"), ("image", "c/0/0/0")):
        (provisional(folder).volume / part / "0" / place).write_bytes(b"torn")
    compute(plan_flows(folder))
    assert np.array_equal(flows_in(folder), whole)


def test_work_of_an_older_version_is_begun_again(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        compute(plan_flows(folder, version=1), stopping_at(6))
    seen: list[int] = []
    compute(plan_flows(folder), lambda done, _: seen.append(done))
    assert seen[0] == 0
    assert sorted(set(seen)) == list(range(SLABS + 1))


def test_the_state_shows_the_progress_of_three_passes(folder: Path) -> None:
    seen: list[float] = []

    def progress(done: int, total: int) -> None:
        state = next(each for each in acquisition_state(folder / "one").steps if each.name == "flows_cells")
        seen.append(state.fraction or 0.0)

    compute(plan_flows(folder), progress)
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-2] > 0.8
    assert [each.name for each in ALL_PLANES[:-1]] == list(SUMS)


@pytest.mark.slow
def test_kills_at_any_moment_change_no_bit(folder: Path, whole: np.ndarray) -> None:
    """Kill after a random number of files, of any of the four arrays."""
    chance = random.Random(0)

    def files() -> int:
        own = Layout(folder / "one").path(FLOWS["cells"].path)
        places = [*provisional(folder).folder.rglob("c/**/*"), *own.rglob("c/**/*")]
        return sum(path.is_file() for path in places)

    for _ in range(8):
        enough = files() + chance.randint(0, 2)
        kill(
            killable_flows.predict,
            folder,
            reached=lambda enough=enough: files() >= enough,
            seconds=chance.uniform(0, 0.05),
        )
    compute(plan_flows(folder))
    assert np.array_equal(flows_in(folder), whole)


@pytest.mark.parametrize("values", [{"planes": "xy"}, {"segmenter": "none"}])
def test_provisional_arrays_of_other_parameters_go(folder: Path, values: dict[str, str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        compute(plan_flows(folder), stopping_at(5))
    assert provisional(folder).folder.exists()
    compute_step(plan_flows(folder, PARAMETERS.model_copy(update=values)), killable_flows.SETTINGS)
    assert not provisional(folder).folder.exists()
