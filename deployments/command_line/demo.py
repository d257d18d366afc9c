"""``spherovem demo``: the whole pipeline on a phantom, compared with the phantom's truth."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from deployments.command_line.parameter_values import build_parameters, explain
from deployments.command_line.process import print_results, run_flow
from spherovem_core.errors import ParameterError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.references import Acquisition
from spherovem_core.store import Layout, write_json
from spherovem_core.synthetic.phantom import (
    Phantom,
    PhantomParameters,
    make_phantom,
    read_truth,
    write_acquisition,
    write_truth,
)

logger = logging.getLogger("spherovem_core.demo")

DEMO_PHANTOM = PhantomParameters(shape=(64, 512, 512), spacing_nm=(120.0, 40.0, 40.0), seed=1)

DEMO_OVERRIDES: dict[str, Any] = {
    "denoising": {
        "training_slices": 32,
        "validation_slices": 4,
        "patches_per_slice": 16,
        "epochs": 8,
        "batch_size": 8,
        "network_channels": 16,
        "learning_rate": 2e-3,
    },
    "cells": {"network": "phantom-compact", "flow_spacing_nm": 120.0},
    "nuclei": {"network": "phantom-compact", "flow_spacing_nm": 120.0},
}
"""What the demo changes of the daily setting, so that it ends in minutes on two cores."""

ROWS = (
    ("registration residual, slice to slice", "registration_residual_px", "px"),
    ("registration, slow drift", "registration_drift_px", "px"),
    ("cells, true and measured", ("cells_count_true", "cells_count_measured"), ""),
    ("cells: precision", "cells_precision", ""),
    ("cells: recall", "cells_recall", ""),
    ("cells: F1 at IoU 0.5", "cells_f1", ""),
    ("cells: median volume error", "cells_volume_error_median", "%"),
    ("nuclei, true and measured", ("nuclei_count_true", "nuclei_count_measured"), ""),
    ("nuclei: precision", "nuclei_precision", ""),
    ("nuclei: recall", "nuclei_recall", ""),
    ("nuclei: F1 at IoU 0.5", "nuclei_f1", ""),
    ("nuclei: median volume error", "nuclei_volume_error_median", "%"),
    ("nuclei in the right cell", "nucleus_cell_right", "%"),
    ("nanoparticles, true and measured", ("nanoparticles_count_true", "nanoparticles_count_measured"), ""),
    ("nanoparticles: Dice", "nanoparticles_dice", ""),
    ("particles with the right parent cell", "parent_cell_right", "%"),
    ("distance to nucleus: median error", "distance_error_median_um", "µm"),
)


def run_demo(
    results_root: Path,
    name: str,
    execution: Mapping[str, Any],
    phantom: PhantomParameters = DEMO_PHANTOM,
    overrides: Mapping[str, Any] = DEMO_OVERRIDES,
) -> dict[str, float]:
    """Make the acquisition where it is not there yet, run all stages, compare, and print a table."""
    from spherovem_core.synthetic.comparison import compare_with_truth, read_measured

    start = time.monotonic()
    parameters = build_parameters([overrides])
    root = results_root.absolute()
    source = root / "acquisitions" / name
    truth = acquire(source, phantom)
    acquisition = Acquisition(name=name, source=source, results_root=root)
    run_flow(acquisition, parameters, ExecutionSettings.model_validate(dict(execution)))
    layout = Layout(acquisition.folder)
    figures = compare_with_truth(truth, read_measured(layout, parameters))
    write_json(layout.comparison, {key: value if value == value else None for key, value in figures.items()})
    print(format_comparison(figures))
    print_results(acquisition.folder)
    print(f"comparison:  {layout.comparison}")
    print(f"time:        {time.monotonic() - start:.0f} s")
    return figures


def acquire(source: Path, phantom: PhantomParameters) -> Phantom:
    """Write the acquisition, and its truth beside the landing folder, unless they are there already."""
    truth_path = truth_of(source)
    if truth_path.exists():
        truth = read_truth(truth_path)
        if truth.parameters == phantom and (source / "acquisition.json").exists():
            return truth
    logger.info("making a phantom acquisition of %s voxels", " x ".join(map(str, phantom.shape)))
    return _write(make_phantom(phantom), source)


def write_phantom(source: Path, **chosen: Any) -> Phantom:
    """Write a phantom acquisition and its truth.

    Raises
    ------
    ParameterError
        If a field of the phantom is out of bounds.
    """
    try:
        phantom = PhantomParameters.model_validate(chosen)
    except ValidationError as error:
        raise ParameterError(explain(error, PhantomParameters)) from error
    return _write(make_phantom(phantom), source)


def truth_of(source: Path) -> Path:
    """Where the truth of a phantom acquisition lies: beside its folder."""
    return source.with_name(f"{source.name}.truth.npz")


def _write(phantom: Phantom, source: Path) -> Phantom:
    write_acquisition(phantom, source)
    write_truth(phantom, truth_of(source))
    return phantom


def format_comparison(figures: Mapping[str, float]) -> str:
    """Lay the figures out as a table."""
    lines = ["", f"{'measured against the truth':<40}{'':>14}", "-" * 54]
    lines += [f"{title:<40}{_formatted(figures, key, unit):>14}" for title, key, unit in ROWS]
    return "\n".join([*lines, ""])


def _formatted(figures: Mapping[str, float], key: str | tuple[str, ...], unit: str) -> str:
    if isinstance(key, tuple):
        return ", ".join(f"{figures[name]:.0f}" for name in key)
    value = figures[key]
    return f"{100 * value:.1f} %" if unit == "%" else f"{value:.3f} {unit}".strip()
