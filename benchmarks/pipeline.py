"""The whole pipeline at three numbers of slices and three areas: time, memory and bytes of each step, and how they grow.

    python benchmarks/pipeline.py [--quick] [--depths N N N] [--sides N N N] [--workers 2] [--json FILE] [--page [FILE]]

All stages run on phantoms of constant density, on the CPU, by the steps of the registry, without Prefect. Parameters are the
defaults except: the compact network, which is shipped, at a voxel size that fits the small cells of the phantom; and a denoising
model that is trained once, briefly, and given to all runs, so that the cost per voxel is that of the prediction. Training is
measured by itself. Each size has a process of its own, in which a small run comes first; a run of the small size gives the
fixed costs. Processor time is measured, because it depends less on what else the machine does.

Ends with exit code 1 if a step's processor time grows with an exponent above 1.1 in voxels, beyond twice its standard error (5 %
and 0.1 s per time), or if its peak memory at the largest number of slices is above that at the middle one by more than 32 MiB and
10 %. `--page` writes docs/validation/scale.md with an extrapolation to 100 and 500 GB.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from _pipeline_growth import Figures, Shape, cost, exponent_of, problems, voxels
from _pipeline_page import Report, Training, write_page
from _pipeline_runs import write_slices

from spherovem_core.parameters import PipelineParameters
from spherovem_core.synthetic.phantom import make_phantom

PAGE = Path(__file__).parents[1] / "docs" / "validation" / "scale.md"
SPACING = (60.0, 20.0, 20.0)
PHANTOM: dict[str, Any] = {
    "spacing_nm": SPACING,
    "seed": 7,
    "cell_diameter_um": 2.5,
    "nanoparticle_volume_fraction": 0.003,
}
TRAINING = {"epochs": 1, "training_slices": 8, "validation_slices": 2}
NETWORKS = {
    kind: {"network": "phantom-compact", "flow_spacing_nm": 160.0, "min_diameter_um": 1.0}
    for kind in ("cells", "nuclei")
}
SMALL: Shape = (12, 128, 128)
DEPTHS, SIDES = (48, 144, 576), (512, 1152, 2560)
DEPTH_SIDE, AREA_DEPTH = 320, 24
QUICK_DEPTHS, QUICK_SIDES = (48, 96, 144), (160, 226, 320)
QUICK_DEPTH_SIDE, QUICK_AREA_DEPTH = 160, 24


class Bench:
    """Runs of the pipeline on phantoms, in a folder for their files."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.workers = workers
        self.small = self._source(SMALL)

    def _source(self, shape: Shape) -> Path:
        target = self.folder / "sources" / "x".join(map(str, shape))
        if not target.exists():
            with ThreadPoolExecutor(self.workers) as pool:
                image = make_phantom(shape=shape, executor=pool, **PHANTOM).image
            write_slices(image, SPACING, target)
        return target

    def run(self, shape: Shape, denoising: Mapping[str, Any], *stages: str, keep: bool = False) -> Figures:
        """Run the stages, all by default, on a phantom of a shape and return the figures; results go unless kept."""
        source = self._source(shape)
        results = self.folder / "results"
        shutil.rmtree(results, ignore_errors=True)
        shutil.rmtree(f"{results}-small", ignore_errors=True)
        results.mkdir()
        parameters = PipelineParameters.model_validate(
            {"denoising": dict(denoising), "segmentation": NETWORKS}
        )
        settings = self.folder / "parameters.json"
        settings.write_text(parameters.model_dump_json())
        script = Path(__file__).with_name("_pipeline_measurement.py")
        command = [sys.executable, script, source, results, settings, str(self.workers), self.small, *stages]
        started = time.monotonic()
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True)
        figures: Figures = json.loads(done.stdout.splitlines()[-1])
        processor = sum(step["processor_s"] for step in figures["steps"].values())
        print(
            f"{' x '.join(map(str, shape))}: {processor:.0f} s of processor time, "
            f"{time.monotonic() - started:.0f} s with the start",
            flush=True,
        )
        if not keep:
            shutil.rmtree(results)
            if shape != SMALL:
                shutil.rmtree(source)
        return figures

    def train(self, shape: Shape) -> tuple[Path, float]:
        """Train a model briefly; return its file and the processor seconds of the step, prediction included."""
        whole = self.run(shape, TRAINING, "ingest", "denoising", keep=True)
        (found,) = (self.folder / "results").glob("*/models/n2v-*/*.ckpt")
        model = self.folder / "model.ckpt"
        shutil.copy(found, model)
        return model, float(whole["steps"]["denoising"]["processor_s"])


def measure(bench: Bench, shapes: Sequence[Shape], file: Path | None) -> tuple[dict[Shape, Figures], float]:
    """Run all shapes but those that the file of figures holds already, and add each to the file as soon as it is done.

    Returns
    -------
    runs
        Figures by shape.
    training_s
        Processor seconds of the denoising step with a short training, at the first shape but the smallest.
    """
    known = json.loads(file.read_text()) if file and file.exists() else {"runs": {}}
    model, seconds = bench.train(shapes[1])
    known.setdefault("training_s", seconds)
    for shape in shapes:
        name = "x".join(map(str, shape))
        if name not in known["runs"]:
            known["runs"][name] = bench.run(shape, {"model": str(model)})
        if file:
            file.write_text(json.dumps(known, indent=1) + "\n")
    return {shape: known["runs"]["x".join(map(str, shape))] for shape in shapes}, known["training_s"]


def show(runs: Mapping[Shape, Figures], by_depth: Sequence[Shape], by_area: Sequence[Shape]) -> None:
    """Print the figures of every step."""
    print(
        f"{'step':22s} {'s/GV':>7s} {'s/1000 slices':>13s} {'fixed s':>8s} {'exponent, slices':>18s} {'exponent, area':>18s} "
        f"{'peak MiB by slices':>20s} {'by area':>16s} {'written':>8s} {'kept B/voxel':>12s}"
    )
    largest = max(runs, key=voxels)
    for step in runs[SMALL]["steps"]:
        time_cost = cost(runs, step, "processor_s")
        peaks = [
            " ".join(f"{runs[shape]['steps'][step]['peak_bytes'] / 2**20:.0f}" for shape in series)
            for series in (by_depth, by_area)
        ]
        written, kept = (
            runs[largest]["steps"][step][f"{w}_bytes"] / voxels(largest) for w in ("written", "kept")
        )
        print(
            f"{step:22s} {time_cost.per_voxel * 1e9:7.0f} {time_cost.per_slice * 1e3:13.1f} {time_cost.fixed:8.2f} "
            f"{exponent_of(runs, SMALL, by_depth, step)!s:>18s} {exponent_of(runs, SMALL, by_area, step)!s:>18s} "
            f"{peaks[0]:>20s} {peaks[1]:>16s} {written:8.2f} {kept:12.2f}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 1 if a step grows beyond its limits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, a few minutes of processor time")
    parser.add_argument("--depths", type=int, nargs=3, help="numbers of slices")
    parser.add_argument("--sides", type=int, nargs=3, help="sides of the slices")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file for the figures; runs that it holds are not repeated")
    parser.add_argument(
        "--page", type=Path, nargs="?", const=PAGE, help=f"page to write, {PAGE.name} by default"
    )
    options = parser.parse_args(arguments)
    depths = options.depths or (QUICK_DEPTHS if options.quick else DEPTHS)
    sides = options.sides or (QUICK_SIDES if options.quick else SIDES)
    side, depth = (QUICK_DEPTH_SIDE, QUICK_AREA_DEPTH) if options.quick else (DEPTH_SIDE, AREA_DEPTH)
    by_depth: list[Shape] = [(n, side, side) for n in sorted(depths)]
    by_area: list[Shape] = [(depth, n, n) for n in sorted(sides)]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.workers)
        shapes = sorted({SMALL, *by_depth, *by_area}, key=voxels)
        runs, with_training = measure(bench, shapes, options.json)
    seconds = max(0.0, with_training - cost(runs, "denoising", "processor_s").of(shapes[1]))
    training = Training(seconds, PipelineParameters().denoising, **TRAINING)
    found = problems(runs, SMALL, by_depth, by_area)
    minutes = (time.monotonic() - started) / 60
    show(runs, by_depth, by_area)
    print(f"{training}\n{minutes:.0f} minutes")
    if options.page:
        given = ["--quick"] * options.quick
        for name in ("depths", "sides"):
            given += [f"--{name}", *map(str, getattr(options, name))] if getattr(options, name) else []
        command = " ".join(
            ["python benchmarks/pipeline.py", *given, f"--workers {options.workers}", "--page"]
        )
        write_page(options.page, Report(runs, SMALL, by_depth, by_area, training, found, command, minutes))
    print("\n".join(found) or "every step is within its limits")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
