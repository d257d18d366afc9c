"""Validation page of cells and nuclei: the whole pipeline on scenes of the phantom."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _page_tables import number
from _scene_effort import Effort, ScenePage, gathered, pool
from _scene_images import phantom_image
from _scene_runs import run_scene

from spherovem_core.errors import SpheroVemError
from spherovem_core.parameters import PipelineParameters
from spherovem_core.stages import STAGE_NAMES
from spherovem_core.synthetic.comparison import compare_with_truth, read_measured

CELL_SCENES = (
    (),
    ("resin",),
    ("dead-cells",),
    ("many-nuclei",),
    ("droplets",),
    ("thickness",),
    ("correlated",),
    ("clipped",),
    ("contrast-drift",),
    ("dividing-cells",),
    ("no-nuclei",),
    ("stage-jumps",),
    ("wild-slice",),
)
"""Scenes that change how cells look or where slices lie; the first four are those of a quick page."""
QUICK_SCENES = 4
FIGURES = {
    "cells_f1": "{:.2f}",
    "nuclei_f1": "{:.2f}",
    "cells_volume_error_median": "{:.1%}",
    "nucleus_cell_right": "{:.0%}",
    "parent_cell_right": "{:.0%}",
    "distance_error_median_um": "{:.3f}",
}
# The worst value of an error is its largest, that of a score its smallest.
ERRORS = ("cells_volume_error_median", "distance_error_median_um")
METHOD = (
    "All stages on scenes of the phantom, 24 slices of 256² with jitter and drift. Parameters are those of the demo; its "
    "networks for cells and nuclei were trained on phantoms without scenes. "
)


def cells_page(effort: Effort) -> ScenePage:
    """Run all stages on scenes of the phantom and compare cells, nuclei and their relations with the truth."""
    scenes = CELL_SCENES[:QUICK_SCENES] if effort.quick else CELL_SCENES
    rows: list[tuple[str, list[dict[str, float]]]] = []
    with pool(effort) as executor:
        todo = [
            (
                names,
                [
                    executor.submit(compare_scene, names, seed, effort.demo_parameters)
                    for seed in effort.seeds
                ],
            )
            for names in scenes
        ]
        for names, futures in todo:
            name = " + ".join(names) or "phantom"
            rows.append((name, gathered(name, futures)))
    failed = tuple(f"{name}: {row['failure']}" for name, found in rows for row in found if "failure" in row)
    lines = [METHOD + effort.says(), "", *cell_table(rows), ""]
    lines += [*(f"- {line}" for line in failed), ""] if failed else []
    lines += ["`python benchmarks/validation.py --only cells`"]
    return ScenePage("\n".join(lines) + "\n", failed)


def compare_scene(names: Sequence[str], seed: int, parameters: PipelineParameters) -> dict[str, Any]:
    """Make a phantom, run all stages on it and compare the results with the truth."""
    scene = phantom_image(names, seed)
    own = parameters.nanoparticles.model_copy(update=dict(scene.nanoparticles))
    parameters = parameters.model_copy(update={"nanoparticles": own})
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = run_scene(scene, parameters, Path(folder), STAGE_NAMES)
            return compare_with_truth(scene.truth, read_measured(run.layout, parameters))
    except SpheroVemError as error:
        return {"failure": str(error)}


def cell_table(rows: Sequence[tuple[str, Sequence[dict[str, Any]]]]) -> Iterator[str]:
    """Write one line per scene with the worst seed of each figure."""
    yield (
        "| scene | cells | F1 of cells | F1 of nuclei | volume error of cells | nuclei in the right cell | "
        "particles in the right cell | error of the distance to the nucleus (µm) |"
    )
    yield "|" + " --- |" * 8
    for name, found in rows:
        figures = [number(worst_of(found, figure), form) for figure, form in FIGURES.items()]
        yield f"| {name} | {found[0].get('cells_count_true', '–')} | {' | '.join(figures)} |"


def worst_of(found: Sequence[dict[str, Any]], figure: str) -> float:
    """Take the worst value of a figure over the seeds; NaN where none has one."""
    values = np.array([row.get(figure, np.nan) for row in found], dtype=float)
    if np.isnan(values).all():
        return float("nan")
    return float(np.nanmax(values) if figure in ERRORS else np.nanmin(values))
