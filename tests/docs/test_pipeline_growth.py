"""Growth of the pipeline with the size of the volume: planted exponents, fixed costs and memory are found."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pages import benchmarks_on_path

from spherovem_core.parameters import DenoisingParameters

SMALL = (12, 128, 128)
BY_DEPTH = [(48, 320, 320), (144, 320, 320), (576, 320, 320)]
BY_AREA = [(24, 512, 512), (24, 1152, 1152), (24, 2560, 2560)]
FIXED_S, PER_GIGAVOXEL = 3.0, 800.0


@pytest.fixture(scope="module")
def benchmark() -> Iterator[Any]:
    """Import the modules of the benchmark."""
    with benchmarks_on_path():
        yield SimpleNamespace(
            growth=importlib.import_module("_pipeline_growth"), page=importlib.import_module("_pipeline_page")
        )


def runs_of(exponent: float, noise: float = 0.0, bytes_per_slice: float = 0.0) -> dict[Any, Any]:
    """Plant the figures of a pipeline of one step, whose time grows with an exponent beyond the smallest run."""
    generator = np.random.default_rng(5)
    runs = {}
    for shape in (SMALL, *BY_DEPTH, *BY_AREA):
        voxels = float(np.prod(shape)) / 1e9
        least = float(np.prod(BY_DEPTH[0])) / 1e9
        seconds = FIXED_S + PER_GIGAVOXEL * least * (voxels / least) ** exponent
        step = {
            "processor_s": seconds * (1 + noise * generator.standard_normal()),
            "peak_bytes": int(50e6 + bytes_per_slice * shape[0]),
            "written_bytes": int(5e9 * voxels),
            "kept_bytes": int(2e9 * voxels),
            "gpu": "",
        }
        runs[shape] = {"base_bytes": 10**9, "steps": {"nanoparticles": step}}
    return runs


@pytest.mark.parametrize("exponent", [0.9, 1.0, 1.05])
def test_linear_steps_pass_also_with_noise(benchmark: Any, exponent: float) -> None:
    for noise in (0.0, 0.05):
        assert benchmark.growth.problems(runs_of(exponent, noise), SMALL, BY_DEPTH, BY_AREA) == []


def test_growing_step_is_named_for_slices_and_area(benchmark: Any) -> None:
    runs = runs_of(1.35, 0.05)
    found = benchmark.growth.problems(runs, SMALL, BY_DEPTH, BY_AREA)
    assert [text.partition(" by an")[0] for text in found] == [
        "nanoparticles: time grows with the slices",
        "nanoparticles: time grows with the area",
    ]
    measured = benchmark.growth.exponent_of(runs_of(1.35), SMALL, BY_AREA, "nanoparticles")
    # The costs of the small run are not quite the fixed ones.
    assert measured.value == pytest.approx(1.35, abs=0.03)
    assert measured.error < 0.05


def test_memory_that_grows_with_the_slices_is_named(benchmark: Any) -> None:
    (found,) = benchmark.growth.problems(runs_of(1.0, bytes_per_slice=320 * 320), SMALL, BY_DEPTH, BY_AREA)
    assert found.startswith("nanoparticles: peak memory of 52, 62, 104 MiB at 48, 144, 576 slices")
    assert benchmark.growth.problems(runs_of(1.0, bytes_per_slice=2e4), SMALL, BY_DEPTH, BY_AREA) == []


def test_fixed_costs_are_separated_from_those_per_voxel(benchmark: Any) -> None:
    found = benchmark.growth.cost(runs_of(1.0), "nanoparticles", "processor_s")
    assert found.fixed == pytest.approx(FIXED_S, rel=1e-3)
    assert found.per_slice == pytest.approx(0.0, abs=1e-6)
    assert found.per_voxel * 1e9 == pytest.approx(PER_GIGAVOXEL, rel=1e-3)


def test_costs_per_slice_are_separated_from_those_per_voxel(benchmark: Any) -> None:
    runs = runs_of(1.0)
    for shape, run in runs.items():
        run["steps"]["nanoparticles"]["processor_s"] += 0.05 * shape[0]
    found = benchmark.growth.cost(runs, "nanoparticles", "processor_s")
    assert found.per_slice == pytest.approx(0.05, rel=1e-3)
    assert found.of((1000, 5000, 5000)) == pytest.approx(FIXED_S + 50 + PER_GIGAVOXEL * 25, rel=1e-3)


def test_step_shorter_than_its_noise_is_not_judged(benchmark: Any) -> None:
    exponent = benchmark.growth.growth_exponent([10**6, 10**7, 10**8], [0.11, 0.13, 0.12], (10**5, 0.1))
    assert not exponent.known
    assert not exponent.exceeds
    assert str(exponent) == "too short to tell"


def test_page_extrapolates_in_proportion_and_invents_no_gpu(benchmark: Any, tmp_path: Path) -> None:
    runs = runs_of(1.0)
    for run in runs.values():
        run["steps"]["denoising"] = {**run["steps"]["nanoparticles"], "gpu": "torch"}
    page = benchmark.page
    training = page.Training(2.0, DenoisingParameters(), epochs=1, training_slices=8, validation_slices=2)
    report = page.Report(
        runs, SMALL, BY_DEPTH, BY_AREA, training, [], "python benchmarks/pipeline.py --page", 20.0
    )
    page.write_page(tmp_path / "scale.md", report)
    text = (tmp_path / "scale.md").read_text()
    hours = (FIXED_S + PER_GIGAVOXEL * 100) / 3600
    assert f"| nanoparticles | {hours / 2:.1f} to {hours:.1f} h | on the CPU | on the CPU |" in text
    assert f"| denoising | {hours / 2:.1f} to {hours:.1f} h | not measured | not measured |" in text
    assert f"| all | {hours:.1f} to {2 * hours:.1f} h | not measured | not measured |" in text
    assert training.daily_s == pytest.approx(2.0 * 72 / 10 * 30)
    assert "no step exceeds a limit" in text
    small = {shape: run for shape, run in runs.items() if shape[1] <= 320}
    report = page.Report(small, SMALL, BY_DEPTH, BY_DEPTH, training, [], "--quick", 5.0)
    page.write_page(tmp_path / "quick.md", report)
    text = (tmp_path / "quick.md").read_text()
    assert "are not given: they would reach" in text
    assert " h |" not in text


def test_interrupted_benchmark_continues_from_its_file(benchmark: Any, tmp_path: Path) -> None:
    pipeline = importlib.import_module("pipeline")
    done: list[Any] = []

    class Bench:
        def train(self, shape: Any) -> tuple[Path, float]:
            return tmp_path / "model.ckpt", 7.0 + len(done)

        def run(self, shape: Any, denoising: Any) -> Any:
            if len(done) == 2:
                raise KeyboardInterrupt
            done.append(shape)
            return {"steps": {}, "shape": list(shape)}

    file = tmp_path / "figures.json"
    shapes = [SMALL, *BY_DEPTH]
    with pytest.raises(KeyboardInterrupt):
        pipeline.measure(Bench(), shapes, file)
    before, done[:] = list(done), []
    with pytest.raises(KeyboardInterrupt):
        pipeline.measure(Bench(), [*shapes, BY_AREA[0]], file)
    assert before + done == shapes
    runs, training_s = pipeline.measure(Bench(), shapes, file)
    assert [tuple(run["shape"]) for run in runs.values()] == list(runs) == shapes
    assert training_s == 7.0
