"""A finished step of flows: what a kill left beside its output goes with the next run."""

from pathlib import Path
from typing import Any

import pytest
from killable_flows import SETTINGS, compute, plan_flows, prepare

from spherovem_core.workflow.run import StepRun
from tasks.running import run_step


def killed(_: "StepRun[Any]") -> None:
    raise KeyboardInterrupt


def test_provisional_arrays_go_after_a_kill_behind_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    plan = plan_flows(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(StepRun, "discard_provisional", killed)
        with pytest.raises(KeyboardInterrupt):
            compute(plan)
    assert plan.find() is not None
    assert plan.layout.provisional("flows-cells").exists()
    run_step(plan, SETTINGS)
    assert not plan.layout.provisional("flows-cells").exists()
