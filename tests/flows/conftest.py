"""One finished run of the tiny acquisition for all tests of the flow."""

import pytest
from tiny_acquisition import Finished
from tiny_pipeline import PHANTOM, TINY

from deployments.command_line.demo_run import run_demo
from deployments.run_parameters import build_parameters
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition


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
