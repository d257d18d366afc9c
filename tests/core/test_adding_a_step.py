"""A step is added by a module and a line, and removed the same way: a copy of the code is changed so, and run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("spherovem_core", "tasks", "flows", "deployments", "docs/extensions", "tests/core")
LINE = '    "brightness",\n'

MODULE = '''
"""Brightness of the registered slices."""

from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.report.chapter import Chapter
from spherovem_core.report.page import Section
from spherovem_core.steps.registration import REGISTERED
from spherovem_core.workflow import Cost, Quality, Step, TableOutput
from spherovem_core.workflow.cost import image_work
from spherovem_core.workflow.run import StepRun

TABLE = TableOutput("brightness", "a slice")


def _compute(run: StepRun[NanoparticleParameters]) -> Quality:
    import pandas as pd

    image = run.open(REGISTERED)
    means = [float(image[z].mean()) for z in range(image.shape[0])]
    run.write_table(TABLE, pd.DataFrame({"z": range(len(means)), "mean_grey": means}))
    return Quality("Brightness", {"slices": len(means)})


def _chapter() -> Chapter:
    return Chapter("Brightness", lambda inputs: Section("brightness", "Brightness", [("Slices", "12")]))


STEPS = (
    Step(
        name="brightness",
        stage="nanoparticles",
        version=1,
        parameters=lambda parameters: parameters.nanoparticles,
        inputs=(REGISTERED,),
        outputs=(TABLE,),
        compute=_compute,
        cost=Cost(image_work, seconds={"": 1.0}),
        chapter=_chapter,
    ),
)
'''

PROBE = """
import json, sys
from pathlib import Path

from results_scenes import write_results

from spherovem_core.execution import ExecutionSettings
from spherovem_core.forecast import forecast_steps
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.registry import PIPELINE
from spherovem_core.status import acquisition_state
from spherovem_core.workflow import RunRequest, plan_step
from spherovem_core.workflow.artifacts import find_newest
from spherovem_core.workflow.compute import compute_step
from reference_tables import step_rows
from tasks.steps import step_task

folder = Path(sys.argv[1])
layout = write_results(folder)
acquisition = Acquisition(name=folder.name, source=folder, results_root=folder.parent)
request = RunRequest(acquisition, PipelineParameters())
done = {}
for step in PIPELINE.steps:
    done[step.name] = find_newest(layout, step.outputs)
forecast = forecast_steps(
    PIPELINE,
    request,
    PIPELINE.of_stages(["nanoparticles"]),
    {step.name: {} for step in PIPELINE.steps},
    done,
    ExecutionSettings(),
    lambda library, device: "cpu",
)
before = {step.name: step.state for step in acquisition_state(folder).steps}
if "brightness" in PIPELINE:
    layout.path("tables/stages/brightness.parquet").unlink(missing_ok=True)
    before = {step.name: step.state for step in acquisition_state(folder).steps}
    plan = plan_step(PIPELINE, PIPELINE.step("brightness"), request, {}, done)
    compute_step(plan, ExecutionSettings())
print(
    json.dumps(
        {
            "order": [step.name for step in PIPELINE.steps],
            "before": before,
            "after": {step.name: step.state for step in acquisition_state(folder).steps},
            "forecast": [row.title for row in forecast.rows],
            "chapters": [chapter.title for chapter in PIPELINE.chapters()],
            "documentation": [row[1] for row in step_rows()],
            "tasks": [step_task(step.name).name for step in PIPELINE.steps],
        }
    )
)
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def look(copy: Path, results: Path) -> dict[str, Any]:
    """Ask the copy for its steps, in a process of its own."""
    folders = [copy, copy / "docs/extensions", copy / "tests/core"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    command = [sys.executable, "-c", PROBE, str(results)]
    done = subprocess.run(command, env=environment, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_module_and_a_line_add_a_step(copy: Path, tmp_path: Path) -> None:
    registry = copy / "spherovem_core/registry.py"
    original = registry.read_text()
    plain = look(copy, tmp_path / "plain")
    assert "brightness" not in plain["order"]

    (copy / "spherovem_core/steps/brightness.py").write_text(MODULE)
    registry.write_text(original.replace('    "nanoparticles",\n', f'    "nanoparticles",\n{LINE}'))
    added = look(copy, tmp_path / "added")
    assert added["order"].index("brightness") == added["order"].index("nanoparticles") + 1
    assert added["before"]["brightness"] == "absent"
    assert added["after"]["brightness"] == "complete"
    assert "brightness" in added["forecast"]
    assert "Brightness" in added["chapters"]
    assert "brightness" in added["documentation"]
    assert "brightness" in added["tasks"]

    registry.write_text(original)
    (copy / "spherovem_core/steps/brightness.py").unlink()
    assert look(copy, tmp_path / "removed") == plain
