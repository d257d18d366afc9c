"""Costs of steps and rates of earlier runs: sizes in closed form, work by parameters."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spherovem_core.execution import ExecutionSettings
from spherovem_core.forecast import Forecast, ForecastRow, calibration, forecast, known_rates
from spherovem_core.forecast.calibration import Kernel
from spherovem_core.parameters import PipelineParameters
from spherovem_core.registry import PIPELINE
from spherovem_core.workflow import OutputSize, SourceVolume

SPACING = (120.0, 40.0, 40.0)
VOLUME = SourceVolume((64, 512, 512), 1, SPACING)
# Levels double y and x until they are as long as z: 512, 256, 128 pixels, all with 64 slices.
PYRAMID = 64 * (512**2 + 256**2 + 128**2)
SPARSE = 64 * (512**2 + 128**2)


def with_values(**changed: dict[str, Any]) -> PipelineParameters:
    return PipelineParameters.model_validate(changed)


def output_sizes(volume: SourceVolume, parameters: PipelineParameters) -> dict[str, OutputSize]:
    return {step.name: step.cost.size(volume, parameters) for step in PIPELINE.steps}


def work_units(volume: SourceVolume, parameters: PipelineParameters) -> dict[str, float]:
    return {step.name: step.cost.work(volume, parameters) for step in PIPELINE.steps}


def peak_memory(volume: SourceVolume, **settings: int) -> int:
    own = ExecutionSettings.model_validate(settings)
    return max(step.cost.memory(volume, PipelineParameters(), own) for step in PIPELINE.steps)


def shipped(name: str, variant: str = "") -> float:
    return PIPELINE.step(name).cost.seconds[variant]


def test_images_take_the_bytes_of_all_levels() -> None:
    sizes = output_sizes(VOLUME, PipelineParameters())
    assert sizes["ingest"].plain_bytes == SPARSE
    assert sizes["registration"].plain_bytes == PYRAMID
    assert sizes["nanoparticles"].plain_bytes == (4 + 2) * PYRAMID
    sixteen = output_sizes(SourceVolume(VOLUME.shape, 2, SPACING), PipelineParameters())
    assert sixteen["ingest"].plain_bytes == 2 * SPARSE
    assert sixteen["denoising"].plain_bytes == sizes["denoising"].plain_bytes


def test_flows_take_four_half_floats_per_voxel() -> None:
    sizes = output_sizes(
        VOLUME,
        with_values(segmentation={"cells": {"flow_spacing_nm": 120.0}, "nuclei": {"flow_spacing_nm": 90.0}}),
    )
    assert sizes["flows_cells"].plain_bytes == 8 * 64 * 171 * 171
    assert sizes["flows_nuclei"].plain_bytes == 8 * math.ceil(64 * 120 / 90) * 228 * 228


def test_flows_pass_through_sums_of_two_passes_on_disk() -> None:
    size = output_sizes(VOLUME, with_values(segmentation={"cells": {"flow_spacing_nm": 120.0}}))[
        "flows_cells"
    ]
    voxels = 64 * 171 * 171
    assert 4 * voxels < size.passing_bytes <= 12 * voxels
    sections = {"flow_spacing_nm": 120.0, "planes": "xy"}
    assert (
        output_sizes(VOLUME, with_values(segmentation={"cells": sections}))["flows_cells"].passing_bytes == 0
    )


def test_the_work_of_flows_is_their_tiles() -> None:
    volume = SourceVolume((512, 512, 512), 1, (100.0, 100.0, 100.0))

    def work(**values: object) -> float:
        parameters = with_values(segmentation={"cells": {"network": "cpsam_v2", **values}})
        return work_units(volume, parameters)["flows_cells"]

    # Three tiles along each axis.
    assert work() == pytest.approx(3 * 512 * 9 * 256**2 / 1e6)
    assert work(planes="xy") == pytest.approx(work() / 3)
    # A compact network has smaller tiles in small volumes.
    small = SourceVolume((60, 60, 60), 1, (100.0, 100.0, 100.0))
    compact = with_values(segmentation={"cells": {"network": "phantom-compact"}})
    assert work_units(small, compact)["flows_cells"] == pytest.approx(180 * 80**2 / 1e6)
    # Sections by themselves: the number of slices does not count for the side of their tiles.
    high = SourceVolume((300, 60, 60), 1, (100.0, 100.0, 100.0))
    sections = with_values(segmentation={"cells": {"network": "phantom-compact", "planes": "xy"}})
    assert work_units(high, sections)["flows_cells"] == pytest.approx(300 * 80**2 / 1e6)


@pytest.mark.parametrize(
    ("mask_spacing_nm", "side"), [(30.0, 512), (50.0, 512), (70.0, 256), (150.0, 128), (1e4, 128)]
)
def test_masks_and_distances_lie_on_the_level_of_the_masks(mask_spacing_nm: float, side: int) -> None:
    chosen = {"mask_spacing_nm": mask_spacing_nm}
    sizes = output_sizes(VOLUME, with_values(segmentation={"cells": chosen, "nuclei": chosen}))
    voxels = 64 * sum(n**2 for n in (512, 256, 128) if n <= side)
    assert sizes["masks_cells"].plain_bytes == 4 * voxels
    # Distances lie on the same levels, without the second if there are three.
    left_out = 64 * 256**2 if side == 512 else 0
    assert sizes["spatial"].plain_bytes == 4 * (voxels - left_out)


def test_twice_the_slices_need_twice_the_disk_and_the_same_memory() -> None:
    twice = SourceVolume((8192, 512, 512), 1, SPACING)
    once = SourceVolume((4096, 512, 512), 1, SPACING)
    parameters = with_values(denoising={"model": "model.ckpt"})
    for key, size in output_sizes(once, parameters).items():
        double = output_sizes(twice, parameters)[key]
        if key in ("output", "denoising"):  # what does not grow lies beside the arrays
            assert 1 <= double.stored_bytes / size.stored_bytes < 2
        else:
            assert double.stored_bytes == pytest.approx(2 * size.stored_bytes, rel=1e-3)
    for key, work in work_units(once, parameters).items():
        factor = 1 if key == "output" else 2
        # Planes are padded to whole tiles.
        tolerance = 0.02 if key.startswith("flows") else 1e-3
        assert work_units(twice, parameters)[key] == pytest.approx(factor * work, rel=tolerance)
    assert peak_memory(once) == peak_memory(twice)


def test_larger_blocks_need_more_memory() -> None:
    large = SourceVolume((2000, 4000, 4000), 1, (30.0, 10.0, 10.0))
    assert peak_memory(large, block_voxels=512) > peak_memory(large, block_voxels=256) > 1e9


def test_training_counts_unless_a_model_is_given() -> None:
    own = {"training_slices": 10, "patches_per_slice": 5, "patch_size": 32, "epochs": 7}
    trained = work_units(VOLUME, with_values(denoising=own))["denoising"]
    given = work_units(VOLUME, with_values(denoising={**own, "model": "model.ckpt"}))["denoising"]
    assert given == pytest.approx(VOLUME.voxels / 1e6)
    assert trained - given == pytest.approx(6 * 7 * 10 * 5 * 32**2 / 1e6)
    half = with_values(denoising={**own, "network_channels": 16})
    assert work_units(VOLUME, half)["denoising"] == pytest.approx(trained / 4)


def write_run(
    folder: Path, ingest_s: float, flows_s: float, network: str, shape: tuple[int, int, int]
) -> None:
    stages = [
        {"step": "ingest", "device": "cpu", "seconds": ingest_s},
        {"step": "flows_cells", "device": "cuda:1", "seconds": flows_s},
        {"step": "output", "device": "cpu", "seconds": 0.1},
    ]
    provenance = {
        "parameters": with_values(segmentation={"cells": {"network": network}}).model_dump(mode="json"),
        "artifacts": {"ingest": {"shape": shape, "dtype": "uint8", "spacing_nm": SPACING}},
        "stages": stages,
    }
    folder.mkdir(parents=True)
    (folder / "provenance.json").write_text(json.dumps(provenance))


def no_factor(kernel: str, workers: int) -> float:
    raise AssertionError("the machine is measured although earlier runs tell")


def test_rates_are_those_of_earlier_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "one", 3.0, 8.0, "cpsam_v2", (64, 500, 1000))
    write_run(tmp_path / "two", 5.0, 8.0, "mine.pt", (192, 500, 1000))
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "provenance.json").write_text("{torn")
    rates = known_rates(PIPELINE, tmp_path, 2, no_factor)
    assert rates.run_count == 2
    assert "earlier runs beside this one (2)" in rates.origin
    daily = with_values(segmentation={"cells": {"network": "cpsam_v2"}})

    def estimate(name: str, device: str, work: float) -> float | None:
        return rates.estimate(PIPELINE.step(name), device, daily, work)

    fixed = {name: PIPELINE.step(name).cost.fixed_seconds for name in ("ingest", "flows_cells")}
    # What is fixed was spent once per run.
    own = 3 + 5 - 2 * fixed["ingest"]
    assert estimate("ingest", "cpu", 1000) == pytest.approx(fixed["ingest"] + 1000 * own / (32 + 96))
    # Tiles of 256 x 256 on a grid of 77 x 200 x 400 voxels; two along x.
    tiles = 77 * 2 + 200 * 2 + 400
    own = 8 - fixed["flows_cells"]
    assert estimate("flows_cells", "cuda:0", 1000) == pytest.approx(
        fixed["flows_cells"] + 1000 * own / (tiles * 256**2 / 1e6)
    )
    assert estimate("flows_cells", "cpu", 1000) is None


def test_runs_shorter_than_what_is_fixed_still_tell_a_rate(tmp_path: Path) -> None:
    flows = PIPELINE.step("flows_cells")
    brief = flows.cost.fixed_seconds / 2
    write_run(tmp_path / "one", 1.0, brief, "cpsam_v2", (64, 500, 1000))
    daily = with_values(segmentation={"cells": {"network": "cpsam_v2"}})
    work = flows.cost.work(SourceVolume((64, 500, 1000), 1, SPACING), daily)
    found = known_rates(PIPELINE, tmp_path, 2, no_factor).estimate(flows, "cuda:0", daily, work)
    assert found == pytest.approx(flows.cost.fixed_seconds + 0.2 * brief)


def test_shipped_rates_are_scaled_by_the_speed_of_this_machine(tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    def factor(kernel: str, workers: int) -> float:
        asked.append((kernel, workers))
        return {"arrays": 3.0, "network": 0.5}[kernel]

    rates = known_rates(PIPELINE, tmp_path / "absent", 7, factor)
    assert rates.run_count == 0
    assert "demo" in rates.origin
    daily = PipelineParameters()
    for name, times in (("nanoparticles", 3.0), ("spatial", 3.0), ("registration", 0.5), ("denoising", 0.5)):
        step = PIPELINE.step(name)
        expected = times * (step.cost.fixed_seconds + 100 * shipped(name))
        assert rates.estimate(step, "cpu", daily, 100) == pytest.approx(expected)
        assert rates.estimate(step, "cuda:0", daily, 100) is None
    assert asked == [("arrays", 7), ("network", 7)]
    assert "0.5 (network)" in rates.origin
    assert "3 (arrays)" in rates.origin


@pytest.mark.parametrize(
    ("kernel", "alone", "together", "factor"),
    [
        # The machine of the shipped rates itself, whose second core counts in full.
        ("arrays", 1.0, 0.5, 1.0),
        ("network", 1.0, 0.5, 1.0),
        ("network", 2.0, 2.0, 4.0),
        ("arrays", 0.5, 0.05, 0.5 * (0.2 + 0.8 / 10) / (0.2 + 0.8 / 2)),
    ],
)
def test_the_factor_follows_from_one_and_several_threads(
    kernel: Kernel, alone: float, together: float, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = calibration.REFERENCE_SECONDS[kernel]
    for name in ("_seconds_of_arrays", "_seconds_of_network"):
        monkeypatch.setattr(calibration, name, lambda threads: own * (alone if threads == 1 else together))
    calibration.measure_time_factor.cache_clear()
    assert calibration.measure_time_factor(kernel, 16) == pytest.approx(factor)
    calibration.measure_time_factor.cache_clear()


def test_both_kernels_run_and_give_threads_of_torch_back() -> None:
    import torch

    before = torch.get_num_threads()
    for kernel in calibration.REFERENCE_SECONDS:
        assert 0 < calibration.measure_time_factor(kernel, 2) < np.inf
    assert torch.get_num_threads() == before


def test_a_step_that_asks_for_discarded_arrays_needs_their_disk() -> None:
    plain = (
        ForecastRow("masks", 100, 30, 1.0),
        ForecastRow("review", 10, 0, 1.0),
        ForecastRow("output", 5, 0, 1.0),
    )
    lazy = (plain[0], ForecastRow("review", 10, 0, 1.0, 0, 1000, 500), plain[2])
    assert Forecast(plain, 0, 0, "").needed_bytes == 130
    # The flows lie beside the sums from which they are made, later beside what follows.
    assert Forecast(lazy, 0, 0, "").needed_bytes == 100 + 1000 + 500
    assert Forecast(lazy[1:], 0, 0, "").stored_bytes == 15


def test_labels_on_an_image_that_makes_room_are_counted_once(tmp_path: Path) -> None:
    files = {
        "registered/0/c/0/0/0": 1000,
        "registered/labels/cells/0/c/0/0/0": 100,
        "distance_to_nucleus/0/c/0": 10,
    }
    for name, size in files.items():
        place = tmp_path / "volume.zarr" / name
        place.parent.mkdir(parents=True)
        place.write_bytes(bytes(size))
    steps = [PIPELINE.step(name) for name in ("registration", "masks_cells", "spatial")]
    assert forecast._present_bytes(tmp_path, steps) == 1110
    assert forecast._present_bytes(tmp_path, steps[1:]) == 110
