"""Report chapter on denoising, for a residual with and without structure."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from denoising_scenes import add_noise, smooth_stack

from spherovem_core.blocks import slab_grid
from spherovem_core.denoising.chapter import denoising_section
from spherovem_core.execution import Execution
from spherovem_core.parameters import PipelineParameters
from spherovem_core.report import ReportInputs
from spherovem_core.report.page import Section
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, finish_multiscale, slice_shards
from spherovem_core.store.layout import DENOISED, RAW

CLEAN = smooth_stack()
SPACING_NM = (50.0, 10.0, 12.0)
SAMPLE = {
    "low": 50.0,
    "high": 250.0,
    "noise": {"constant": 16.0, "gain": 0.06, "floor": 1.0},
    "autocorrelation": {"y": [-0.1, 0.0, 0.02], "x": [0.3, 0.04, 0.01]},
}


def section(folder: Path, key: str = "sample", **changed: Any) -> Section:
    layout = Layout(folder)
    for group, values in ((RAW, add_noise(CLEAN)), (DENOISED, ((CLEAN - 50) / 200 * 255).astype(np.uint8))):
        spec = ArraySpec(
            group, "image", CLEAN.shape, np.dtype(np.uint8), *slice_shards(CLEAN.shape), SPACING_NM
        )
        writer = ArrayWriter(layout, spec, group)
        for block in slab_grid(CLEAN.shape, 1):
            writer.write(block, values[block.core])
        details = {"algorithm": "n2v", "clipped_fraction": 0.002, key: {**SAMPLE, **changed}}
        finish_multiscale(writer, Execution(), (), denoising=details)
    slices = pd.DataFrame({"z": range(len(CLEAN)), "residual_mean": 0.0, "residual_std": 25.0})
    return denoising_section(ReportInputs("one", layout, PipelineParameters(), {"slices": slices}, {}, 256))


@pytest.mark.parametrize("key", ["sample", pytest.param("survey", id="version 0.1")])
def test_method_noise_and_residual_are_shown(tmp_path: Path, key: str) -> None:
    found = section(tmp_path, key)
    assert dict(found.facts) == {
        "Method": "n2v (CAREamics) and the measured pixel",
        # 16 and 0.06 times 150.
        "Noise at grey value 150": "5.00 (standard deviation)",
        "Autocorrelation of the residual along y, 1 to 3 pixels": "-0.10, 0.00, 0.02",
        "Autocorrelation of the residual along x, 1 to 3 pixels": "0.30, 0.04, 0.01",
        "Voxels outside the 8-bit range": "0.2 %",
    }
    assert found.warnings == []
    assert len(found.pictures) == 3


@pytest.mark.parametrize("axis", ["y", "x"])
def test_structure_in_the_residual_gives_a_warning(tmp_path: Path, axis: str) -> None:
    found = section(
        tmp_path, noise=None, autocorrelation={**SAMPLE["autocorrelation"], axis: [0.6, 0.4, 0.2]}
    )
    assert dict(found.facts)["Method"] == "n2v (CAREamics)"
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("the residual is correlated over 3 pixels (correlation 0.20)")
