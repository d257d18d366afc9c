"""One finished run of the tiny acquisition for all tests of the flow, and copies of it to be changed."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_acquisition import Finished
from tiny_pipeline import PHANTOM, TINY

from deployments.command_line.demo_run import run_demo
from deployments.run_parameters import build_parameters
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.workflow import compute as computing


@pytest.fixture(scope="session")
def parameters() -> PipelineParameters:
    return build_parameters([TINY])


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, prefect_server: None) -> Finished:
    root = tmp_path_factory.mktemp("results")
    figures = run_demo(root, "tiny", {"device": "cpu"}, PHANTOM, TINY)
    return Finished(
        Acquisition(name="tiny", source=root / "acquisitions" / "tiny", results_root=root), figures
    )


@pytest.fixture
def finished(demo: Finished) -> Acquisition:
    return demo.acquisition


@pytest.fixture
def copy(finished: Acquisition, tmp_path: Path) -> Acquisition:
    """A copy of a finished acquisition, to be changed, without what Prefect noted of it."""
    own = finished.model_copy(update={"results_root": tmp_path})
    shutil.copytree(finished.folder, own.folder, ignore=shutil.ignore_patterns("records", "history"))
    return own


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the steps that were computed, in order."""
    names: list[str] = []
    compute = computing.compute_step

    def note(plan: Any, *arguments: Any) -> Any:
        result = compute(plan, *arguments)
        names.append(plan.step.name)
        return result

    monkeypatch.setattr("tasks.running.compute_step", note)
    return names
