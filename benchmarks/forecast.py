"""Forecast of each step's time before a first run, beside what the step took.

    python benchmarks/forecast.py RESULTS [RESULTS ...]
    python benchmarks/_pipeline_measurement.py SOURCE ROOT PARAMETERS.json 2 WARM_UP > F
    python benchmarks/forecast.py RESULTS --measured F

The seconds of results are those of the clock in their provenance: of a machine that was idle, with two workers, they are what the
forecast means; the last step is not known there. `--measured` gives processor seconds and the clock of a busy machine beside:
with two threads, the clock of an idle one would have shown between half of the processor seconds and all, but for networks,
whose threads burn time while they wait for each other. `--here` multiplies the forecast by the factors of this machine now.
"""

import argparse
import json
from pathlib import Path

from spherovem_core.forecast import known_rates
from spherovem_core.forecast.calibration import measure_time_factor
from spherovem_core.forecast.rates import TimeFactor
from spherovem_core.overrides import in_todays_names
from spherovem_core.parameters import PipelineParameters
from spherovem_core.registry import PIPELINE
from spherovem_core.store import Layout, read_json
from spherovem_core.workflow import SourceVolume


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--measured", type=Path)
    parser.add_argument("--here", action="store_true")
    given = parser.parse_args()
    factor: TimeFactor = measure_time_factor if given.here else lambda kernel, workers: 1.0
    rates = known_rates(PIPELINE, Path("/nonexistent"), 2, factor)
    for folder in given.results:
        provenance = read_json(Layout(folder).provenance) or {}
        parameters = PipelineParameters.model_validate(in_todays_names(provenance["parameters"]))
        raw = provenance["artifacts"]["ingest"]
        volume = SourceVolume(
            tuple(raw["shape"]), 1 if raw["dtype"] == "uint8" else 2, tuple(raw["spacing_nm"])
        )
        spent = {
            entry["step"]: [float(entry["seconds"])]
            for entry in provenance["stages"]
            if entry["step"] != PIPELINE.steps[-1].name
        }
        if given.measured is not None:
            steps = json.loads(given.measured.read_text().splitlines()[-1])["steps"]
            spent = {name: [each["processor_s"], each["wall_s"]] for name, each in steps.items()}
        columns = ("clock",) if given.measured is None else ("processor", "clock")
        print(
            f"{folder}: {' x '.join(map(str, volume.shape))} voxels; foreseen, {', '.join(columns)} (s), ratios"
        )
        rows = []
        for step in PIPELINE.steps:
            found = rates.estimate(step, "cpu", parameters, step.cost.work(volume, parameters))
            if step.name in spent and found is not None:
                rows.append((step.title, [found, *spent[step.name]]))
        rows.append(("all", [sum(figures) for figures in zip(*(row[1] for row in rows), strict=True)]))
        for title, (found, *real) in rows:
            seconds = "".join(f"{each:9.2f}" for each in (found, *real))
            print(f"  {title:22s} {seconds}  " + "".join(f"{found / each:7.2f}" for each in real))
    if given.here:
        print(rates.origin)


if __name__ == "__main__":
    main()
