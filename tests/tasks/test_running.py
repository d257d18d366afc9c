"""Steps without Prefect: under the lock of their result, retried after faults that may pass, and without importing Prefect."""

import errno
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spherovem_core.errors import ParameterError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.references import Acquisition
from tasks import running
from tasks.locks import acquisition_locks

SETTINGS = ExecutionSettings(device="cpu", workers=1)


class Plan:
    """The part of a plan that is used here."""

    key = "step-0123"
    step = SimpleNamespace(title="step")

    def __init__(self, root: Path) -> None:
        self.acquisition = Acquisition(name="one", source=root, results_root=root)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    delays: list[float] = []
    monkeypatch.setattr(running.time, "sleep", delays.append)
    return delays


def run(root: Path, faults: list[Exception], monkeypatch: pytest.MonkeyPatch) -> Any:
    plan = Plan(root)
    locks = acquisition_locks(plan.acquisition)

    def step(own: Any, execution: ExecutionSettings) -> str:
        assert locks.is_locked(plan.key)
        if faults:
            raise faults.pop(0)
        return "done"

    monkeypatch.setattr(running, "run_step", step)
    try:
        return running.run_step_without_prefect(plan, SETTINGS)  # type: ignore[arg-type]
    finally:
        assert not locks.is_locked(plan.key)


def test_a_fault_that_may_pass_is_tried_again(
    tmp_path: Path, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: list[Exception] = [OSError(errno.EIO, "stale"), MemoryError()]
    assert run(tmp_path, faults, monkeypatch) == "done"
    assert [5 <= slept[0] <= 7.5, 10 <= slept[1] <= 15, len(slept)] == [True, True, 2]


def test_the_fourth_fault_ends_the_run(
    tmp_path: Path, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OSError, match="stale"):
        run(tmp_path, [OSError(errno.EIO, "stale") for _ in range(4)], monkeypatch)
    assert len(slept) == 3


@pytest.mark.parametrize("fault", [ParameterError("bad"), OSError(errno.ENOSPC, "full"), ValueError("wrong")])
def test_other_faults_are_not(
    fault: Exception, tmp_path: Path, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(type(fault)):
        run(tmp_path, [fault], monkeypatch)
    assert not slept


def test_prefect_is_not_imported() -> None:
    modules = "tasks.running, flows.corrected_run, flows.imported_labels, flows.pipeline, deployments.command_line.labels.apply"
    ask = f"import sys, {modules}; print('prefect' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"
