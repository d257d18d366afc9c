"""Report chapter on denoising, for a residual with and without structure."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from denoising_scenes import add_noise, smooth_stack

from spherovem_core.blocks import slab_grid
from spherovem_core.denoising import choose_grey_map
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


MEASURED = {
    "variance": {"constant": 20.0, "gain": 0.4, "floor": 10.0},
    "correlation": {"y": [0.0, 0.0, 0.0, 0.0], "x": [0.78, 0.37, 0.3, 0.0]},
    "clipped_low": 0.0,
    "clipped_high": 0.03,
}
CHOICE = {"method": "r2r", "width": 0.0, "errors": {"gaussian 0.7": 25.0, "r2r": 16.0, "unchanged": 100.0}}


def test_what_was_measured_and_chosen_is_shown(tmp_path: Path) -> None:
    facts = dict(section(tmp_path, measured=MEASURED, choice=CHOICE).facts)
    assert facts["Method"] == "network trained by R2R (CAREamics)"
    expected = facts["Expected error of each method (grey values)"]
    assert expected == "r2r 4.00, gaussian 0.7 5.00, unchanged 10.00"
    assert facts["Variance of the noise"] == "20 + 0.4 × grey value"
    assert facts["Correlation of the noise along y, 1 to 4 pixels"] == "none"
    assert facts["Correlation of the noise along x, 1 to 4 pixels"] == "0.78, 0.37, 0.30, 0.00"
    assert "Map of grey values to 8 bits" not in facts


def test_a_map_with_shoulders_is_stated_and_inverted_for_the_residual(tmp_path: Path) -> None:
    grey_map = choose_grey_map(50.0, 60_000.0, (80.0, 180.0)).model_dump()
    facts = dict(section(tmp_path, measured=MEASURED, choice=CHOICE, grey_map=grey_map).facts)
    assert facts["Map of grey values to 8 bits"] == (
        "linear from 50 (level 0) to 255 (level 223), logarithmic beyond"
    )


def test_correlated_noise_in_the_residual_is_no_structure_where_auto_removed_it(tmp_path: Path) -> None:
    lags = {"y": [0.0, 0.0, 0.0], "x": [0.7, 0.4, 0.3]}
    found = section(tmp_path, measured=MEASURED, choice=CHOICE, autocorrelation=lags)
    assert found.warnings == [
        "3 % of the raw voxels have the brightest grey value of the detector: their true value is lost; "
        "lower the detector's contrast in the next acquisition"
    ]


def test_correlated_noise_left_to_noise2void_gives_a_warning(tmp_path: Path) -> None:
    found = section(tmp_path, measured={**MEASURED, "clipped_high": 0.0})
    assert len(found.warnings) == 1
    assert found.warnings[0].endswith("it stays in the image; set algorithm to auto")
