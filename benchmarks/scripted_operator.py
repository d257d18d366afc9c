"""A scripted operator: planted errors of labels found by the review and undone by its suggestions, with the command line alone.

    python benchmarks/scripted_operator.py [--case bulk] [--enlarge 1] [--seeds 61 62 63] [--rounds 3] [--folder DIR]

The true cells of a phantom get 20 merged pairs of neighbours and 20 cells cut in two, and enter an acquisition as own labels
(``spherovem process --already aligned denoised --labels``). The script takes the first 60 of ``spherovem labels review``. Like
an operator, it looks at the truth only to say yes or no to the suggested operation, and applies what it agreed to with
``spherovem labels apply``. Errors that are left are sought in further rounds, among the first 60 suspects that were not refused.

Printed are the planted errors among the first 60 suspects; F1 (intersection over union 0.5) with the labels before planting,
after each round; whether all tables hold bit for bit what those of a full run on the same labels hold (a copy of the folder
without its tables, distance map and known measurements, processed again; histories with their times are left out); and the
processor's seconds of `apply` with its tables and report, against that run and against a run from the slices on.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from _pipeline_runs import write_slices
from _planted_errors import Plant, plant_errors, seeds_of
from _review_bases import CASES, Base, make_base
from numpy.typing import NDArray

from spherovem_core.parameters import EvaluationParameters
from spherovem_core.segmentation.evaluation import evaluate_labels
from spherovem_core.store import Layout, open_array
from spherovem_core.store.layout import DISTANCE, labels_group
from spherovem_core.store.table_content import table_content

Labels = NDArray[np.uint32]
Suspect = dict[str, Any]
FIRST = 60
ROOT = Path(__file__).parents[1]


@dataclass
class Operator:
    """One acquisition with planted errors, and the person that corrects it."""

    base: Base
    plants: Sequence[Plant]
    slices: Path
    results: Path
    arguments: Sequence[str]
    refused: set[tuple[str, int, int]] = field(default_factory=set)

    @property
    def folder(self) -> Path:
        """Results folder."""
        return self.results / self.slices.name

    def process(self, results: Path) -> float:
        """Process the acquisition into a folder; return the seconds."""
        return spherovem("process", str(self.slices), "--results-root", str(results), *self.arguments)[1]

    def labels(self) -> Labels:
        """Return the present labels."""
        found: Labels = open_array(Layout(self.folder), labels_group("cells"))[:]
        return found

    def f1(self) -> float:
        """Return F1 of the present labels with those before planting."""
        parameters = EvaluationParameters(boundary_error=False)
        found = evaluate_labels(self.base.labels, self.labels(), self.base.spacing_nm, parameters)
        return float(found.figures["f1"])

    def suspects(self) -> list[Suspect]:
        """Return the first suspects that suggest what was not refused before."""
        every = str(FIRST + len(self.refused))
        text, _ = spherovem(
            "labels", "review", self.slices.name, "--results-root", str(self.results), "--kind", "cells",
            "--top", every, "--json",
        )  # fmt: skip
        rows: list[Suspect] = json.loads(text)["suspects"]
        return [row for row in rows if key(row) not in self.refused][:FIRST]

    def found(self, suspects: Sequence[Suspect]) -> int:
        """Count the planted errors among suspects, with the right remedy."""
        before, spacing = self.base.labels, self.base.spacing_nm
        return sum(any(plant.is_undone_by(row, before, spacing) for row in suspects) for plant in self.plants)

    def agreed(self, suspects: Sequence[Suspect]) -> list[dict[str, Any]]:
        """Return the operations that the truth agrees with, at most one for each object; remember the others."""
        labels, edits, touched = self.labels(), [], set()
        for row in suspects:
            objects = {row["label"], row["other_label"]} - {0}
            if touched & objects:
                continue
            if row["operation"] == "split":
                seeds = seeds_of(row, self.base.spacing_nm)
                right = len({int(self.base.labels[seed]) for seed in seeds}) == 2
                anchors = [point_of(seed, self.base.spacing_nm) for seed in seeds]
            elif row["operation"] == "merge":
                right = self.cell_of(labels, row["label"]) == self.cell_of(labels, row["other_label"])
                anchors = [inner_point(labels, label, self.base.spacing_nm) for label in sorted(objects)]
            else:
                continue
            if right:
                touched |= objects
                objects_at = [{"point_um": anchor} for anchor in anchors]
                edits.append({"operation": row["operation"], "objects": objects_at})
            else:
                self.refused.add(key(row))
        return edits

    def cell_of(self, labels: Labels, label: int) -> int:
        """Return the true cell that makes up most of an object."""
        return int(np.bincount(self.base.labels[labels == label]).argmax())

    def apply(self, edits: Sequence[dict[str, Any]]) -> float:
        """Apply operations with the command line; return the seconds."""
        path = self.results / "edits.jsonl"
        path.write_text("".join(json.dumps(edit) + "\n" for edit in edits))
        return spherovem(
            "labels", "apply", self.slices.name, str(path), "--results-root", str(self.results), "--kind", "cells"
        )[1]  # fmt: skip

    def measure_fully(self, results: Path) -> tuple[float, list[str]]:
        """Measure a copy without anything measured; return the seconds and the tables that differ."""
        shutil.copytree(self.folder, results / self.slices.name)
        layout = Layout(results / self.slices.name)
        for folder in (layout.tables, layout.scratch, layout.volume / DISTANCE):
            shutil.rmtree(folder)
        seconds = self.process(results)
        own, other = (contents(Layout(root / self.slices.name).tables) for root in (self.results, results))
        return seconds, sorted(name for name in own.keys() | other.keys() if own.get(name) != other.get(name))


def key(row: Suspect) -> tuple[str, int, int]:
    """Return what identifies a suggestion."""
    return row["operation"], row["label"], row["other_label"]


def contents(tables: Path) -> dict[str, str]:
    """Return digests of the columns and values of all tables."""
    found = tables.rglob("*.parquet")
    return {str(path.relative_to(tables)): table_content(pq.read_table(path)) for path in found}


def point_of(index: Sequence[int], spacing_nm: Sequence[float]) -> list[float]:
    """Return the position of a voxel in µm."""
    return [i * side / 1000 for i, side in zip(index, spacing_nm, strict=True)]


def inner_point(labels: Labels, label: int, spacing_nm: Sequence[float]) -> list[float]:
    """Return a position in an object."""
    places = np.argwhere(labels == label)
    return point_of(places[len(places) // 2].tolist(), spacing_nm)


def spherovem(*arguments: str) -> tuple[str, float]:
    """Run the command line; return what it printed and the seconds of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "deployments.command_line", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"spherovem {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def make_operator(base: Base, seed: int, folder: Path, merges: int = 20, splits: int = 20) -> Operator:
    """Plant errors, and write slices and labels as a user has them."""
    rng = np.random.default_rng(seed)
    spacing = np.array(base.spacing_nm) / 1000
    labels, plants = plant_errors(base.labels, spacing, base.usable(), rng, merges, splits)
    slices = write_slices(base.image, base.spacing_nm, folder / "specimen")
    np.save(folder / "cells.npy", labels)
    np.save(folder / "nuclei.npy", base.nuclei.astype(np.uint32))
    given = [f"{kind}={folder / kind}.npy" for kind in ("cells", "nuclei")]
    arguments = ["--start-at", "shape", "--already", "aligned", "denoised", "--labels", *given]
    return Operator(base, plants, slices, folder / "results", arguments)


def correct(operator: Operator, rounds: int, folder: Path) -> dict[str, float]:
    """Work through the suspects, print what it gave, and return the figures."""
    from_slices = operator.process(operator.results)
    cells = len(np.unique(operator.base.labels)) - 1
    print(f"  {cells} cells, {len(operator.plants)} errors planted; F1 {operator.f1():.4f}", flush=True)
    figures: dict[str, float] = {}
    for number in range(1, rounds + 1):
        suspects = operator.suspects()
        if number == 1:
            figures["found"] = operator.found(suspects) / len(operator.plants)
            print(f"  {figures['found']:.1%} of the planted errors in the first {FIRST} suspects")
        edits = operator.agreed(suspects)
        if not edits:
            break
        seconds, f1 = operator.apply(edits), operator.f1()
        print(f"  round {number}: {len(edits)} operations, {seconds:.0f} s; F1 {f1:.4f}", flush=True)
        figures["f1"] = f1
        if number > 1:
            continue
        figures["f1 after one round"] = f1
        full, different = operator.measure_fully(folder / "full")
        figures |= {
            "of a full measurement": seconds / full,
            "of a run from the slices": seconds / from_slices,
        }
        figures["different tables"] = len(different)
        print(
            f"  apply {seconds:.0f} s: {seconds / full:.0%} of measuring fully ({full:.0f} s), "
            f"{seconds / from_slices:.0%} of a run from the slices ({from_slices:.0f} s); "
            f"tables that differ from it: {', '.join(different) or 'none'}",
            flush=True,
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", choices=CASES, default="bulk")
    parser.add_argument(
        "--enlarge",
        type=float,
        default=2.0,
        help="factor of the phantom's sides; bulk has some 140 cells, with 2 some 900",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[61, 62, 63])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the files here")
    options = parser.parse_args()
    every = []
    for seed in options.seeds:
        print(f"{options.case}, sides times {options.enlarge:g}, seed {seed}", flush=True)
        base = make_base(options.case, seed, predicted=False, enlarge=options.enlarge)
        with tempfile.TemporaryDirectory(prefix="operator-") as temporary:
            folder = (options.folder or Path(temporary)) / f"{options.case.replace(' ', '_')}_{seed}"
            folder.mkdir(parents=True)
            every.append(correct(make_operator(base, seed, folder), options.rounds, folder))
    for name in every[0]:
        values = [figures[name] for figures in every if name in figures]
        worst = min(values) if name.startswith(("f", "F")) else max(values)
        print(f"worst of {len(values)}, {name}: {worst:.4f}")


if __name__ == "__main__":
    main()
