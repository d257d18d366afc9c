"""A step that makes labels and applies their journal, in a process that can be killed."""

from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
from correction_scenes import boxes

from spherovem_core.blocks import block_grid
from spherovem_core.corrections import append_edits, parse_edits, undo_operations
from spherovem_core.corrections.label_import import plan_import, record_import
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters, ShapeParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.steps.corrections import journal_digest, with_corrections
from spherovem_core.store import Layout
from spherovem_core.store.layout import labels_group
from spherovem_core.workflow import (
    ArrayOutput,
    Cost,
    Pipeline,
    Quality,
    RunRequest,
    Step,
    StepPlan,
    plan_step,
)
from spherovem_core.workflow.compute import compute_step
from spherovem_core.workflow.run import StepRun

SPACING_NM = (50.0, 20.0, 20.0)
SHAPE = (40, 300, 400)
LABELS = ArrayOutput(labels_group("cells"), "label", "z y x", ("uint32",), "label", "Cells.")


def automatic_labels(seed: int = 0) -> np.ndarray:
    """Boxes that another seed moves a little."""
    return boxes(SHAPE, seed)


def _compute(run: StepRun[ShapeParameters]) -> Quality:
    labels = automatic_labels(run.parameters.min_voxels)
    with (run.layout.folder / "computed.txt").open("a") as file:
        file.write("computed\n")
    writer = run.writer(LABELS, labels.shape, "uint32", SPACING_NM)
    for block in writer.pending(block_grid(labels.shape, writer.spec.shards)):
        writer.write(block, labels[block.core])
    run.finish(writer, count=int(labels.max()))
    return Quality("Labels")


STEP: Step[ShapeParameters] = Step(
    name="masks_cells",
    stage="segmentation",
    version=1,
    parameters=lambda parameters: parameters.shape,
    outputs=(LABELS,),
    compute=lambda run: with_corrections(run, "cells", LABELS, _compute),
    cost=Cost(lambda volume, parameters: 1.0),
    external=lambda request: journal_digest("cells", request),
    journal="cells",
    corrected=(LABELS,),
)


def plan(root: Path, seed: int = 1) -> StepPlan[ShapeParameters]:
    """Plan the step; the seed stands for the parameters of a segmentation."""
    acquisition = Acquisition(name="one", source=root, results_root=root)
    parameters = PipelineParameters(shape=ShapeParameters(min_voxels=seed))
    request = RunRequest(acquisition, parameters)
    return plan_step(Pipeline((STEP,)), STEP, request, STEP.external(request), {})


def run(root: Path, seed: int = 1, settings: ExecutionSettings | None = None) -> ArtifactRef:
    """Compute the step unless it is complete."""
    own = plan(root, seed)
    found = own.find()
    settings = settings or ExecutionSettings(device="cpu", workers=1)
    return compute_step(own, settings)[0] if found is None else found


def apply_and_run(root: Path, lines: list[str], begun: Event) -> None:
    """Add edits and apply them."""
    begun.set()
    append_edits(Layout(root / "one"), "cells", parse_edits(lines))
    run(root)


def import_and_run(root: Path, file: str, begun: Event) -> None:
    """Import labels that another program edited, and apply the differences."""
    begun.set()
    layout = Layout(root / "one")
    record_import(layout, plan_import(layout, "cells", file))
    run(root)


def undo_and_run(root: Path, count: int, begun: Event) -> None:
    """Take back the last edits, and apply what is left."""
    begun.set()
    undo_operations(Layout(root / "one"), "cells", count)
    run(root)
