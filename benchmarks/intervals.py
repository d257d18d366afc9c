"""Coverage of intervals, by part (`--parts`).

`random`: random and clustered particles of known pattern, compared with random places by the stage spatial. For each geometry
of cells and size of particles, many patterns that are random by construction: the fraction that a test calls otherwise at 5
%, the fraction of rows outside the pointwise envelope, the enrichment over all patterns, and the fraction of 95 % intervals
that hold 1. `dense`: particles so dense that those at the border leave others little room. `clusters`: clusters of known
size. `large`: time and memory of a large volume. `audit`: simulated audits of volumes with missed, false, merged and divided
objects. `means`: mean volumes of objects of many sizes of which a window shows a part. `uptake`: rank correlations.
`objects`: sizes of cells and nuclei, particles, doses, totals and distances of segmented phantoms, two of four kinds with
scenes; the constants of these intervals come from other seeds (`--fit` prints them).
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from _audits import audit_scene, run_audit
from _interval_coverage import distance_coverage, dose_coverage, object_coverage, particle_coverage
from _interval_fit import fit_objects, fit_particles
from _interval_rows import interval_rows, joined
from _peak_memory import peak_mib
from _sampled_objects import SPREADS, WINDOWS, window_of_objects
from scipy import stats

sys.path.append(str(Path(__file__).parents[1] / "tests" / "core"))
from particle_patterns import (
    GEOMETRIES,
    SPACING,
    clustered_centres,
    matern,
    paint_particles,
    thomas,
)

from spherovem_core.execution import Execution
from spherovem_core.output.acquisition_means import acquisition_means, border_weights
from spherovem_core.output.uptake import rank_correlation
from spherovem_core.parameters import SpatialParameters
from spherovem_core.spatial import measure_space

SIZES = {"points": (0.0, 200), "320 nm": (320.0, 120), "640 nm": (640.0, 40)}
"""Diameter in nm, and number of particles."""

STATISTICS = ("ripley_l", "pair_correlation", "nearest_neighbour", "enrichment", "radial_rank")
CURVES = (
    ("clustering", "ripley_l_excess", "_um"),
    ("clustering", "pair_correlation", ""),
    ("clustering", "neighbour_fraction", ""),
    ("enrichment", "enrichment", ""),
)


def random_patterns(repeats: int) -> None:
    """Print how often random patterns are called otherwise."""
    print("fraction of random patterns with p <= 0.05, by statistic; of rows outside the pointwise envelope;")
    print("enrichment by bin over all patterns; fraction of enrichment intervals that hold 1")
    pooled: dict[str, list[float]] = {name: [] for name in STATISTICS}
    pooled_rows: dict[str, list[float]] = {name: [] for _, name, _ in CURVES}
    for geometry, make in GEOMETRIES.items():
        cells, nuclei = make()
        for size, (diameter, count) in SIZES.items():
            small: dict[str, list[float]] = {name: [] for name in STATISTICS}
            rows: dict[str, list[float]] = {name: [] for _, name, _ in CURVES}
            found, random, held, forced, used = [], [], [], 0.0, 0
            for repeat in range(repeats):
                rng = np.random.default_rng([repeat, len(geometry), int(diameter)])
                particles = paint_particles(cells, nuclei, SPACING, diameter, count, rng)
                parameters = SpatialParameters(null_seed=repeat)
                space = measure_space(cells, nuclei, particles, SPACING, parameters)
                for row in space.tests.itertuples():
                    small[row.statistic].append(row.p_value <= 0.05)
                for table, name, unit in CURVES:
                    own = getattr(space, table)
                    low, high = own[f"{name}_random_low{unit}"], own[f"{name}_random_high{unit}"]
                    known = low.notna() & (high > low)
                    value = own[f"{name}{unit}"]
                    rows[name] += ((value < low) | (value > high))[known].tolist()
                found.append(space.enrichment["pattern_volume_um3"].to_numpy())
                random.append(space.enrichment["random_volume_um3"].to_numpy())
                inside = space.enrichment["enrichment_low"].notna()
                held += (
                    (space.enrichment["enrichment_low"] <= 1) & (space.enrichment["enrichment_high"] >= 1)
                )[inside].tolist()
                forced += space.forced_fraction / repeats
                used += int((space.nanoparticles["pattern_note"] == "").sum())
            bins = min(map(len, found))
            total, expected = (sum(each[:bins] for each in values) for values in (found, random))
            enough = expected > 0.02 * expected.sum()
            ratio = (total / np.where(expected > 0, expected, np.nan))[enough]
            # Standard error by patterns.
            with np.errstate(invalid="ignore"):
                parts = np.array([own[:bins] for own in found]) - np.array([own[:bins] for own in random])
                error = (parts.std(axis=0) * np.sqrt(repeats) / expected)[enough]
            print(
                f"{geometry:7s} {size:7s} {used // repeats:4d} particles  p: "
                + " ".join(f"{np.mean(small[name]):.3f}" for name in STATISTICS)
                + "  rows: "
                + " ".join(f"{np.mean(rows[name]):.3f}" for _, name, _ in CURVES)
                + "  enrichment: "
                + " ".join(f"{r:.3f}±{e:.3f}" for r, e in zip(ratio, error, strict=True))
                + f"  intervals: {np.mean(held) if held else np.nan:.2f}  stayed: {forced:.3f}  {space.admission}",
                flush=True,
            )
            for name in STATISTICS:
                pooled[name] += small[name]
            for name in pooled_rows:
                pooled_rows[name] += rows[name]
    print("all p:   " + " ".join(f"{name} {np.mean(pooled[name]):.3f}" for name in STATISTICS))
    print("all rows: " + " ".join(f"{name} {np.mean(values):.3f}" for name, values in pooled_rows.items()))


DENSE = {"rods": 250, "packed": 250, "packed, 400": 400}


def dense_patterns(repeats: int) -> None:
    """Print how often random particles are called otherwise where they fill 12 to 21 % of the cytoplasm."""
    print("\ndense particles of 640 nm: fraction of random patterns with p <= 0.05")
    for name, count in DENSE.items():
        cells, nuclei = GEOMETRIES[name.split(",")[0]]()
        small: dict[str, list[float]] = {statistic: [] for statistic in STATISTICS}
        filled = 0.0
        for repeat in range(repeats):
            rng = np.random.default_rng([repeat, count])
            particles = paint_particles(cells, nuclei, SPACING, 640.0, count, rng)
            filled += float((particles > 0).sum() / ((cells > 0) & (nuclei == 0)).sum() / repeats)
            space = measure_space(cells, nuclei, particles, SPACING, SpatialParameters(null_seed=repeat))
            for row in space.tests.itertuples():
                small[row.statistic].append(row.p_value <= 0.05)
        print(
            f"{name:12s} {filled:.2f} of the cytoplasm  p: "
            + " ".join(f"{statistic} {np.mean(small[statistic]):.2f}" for statistic in STATISTICS),
            flush=True,
        )


def cluster_patterns(repeats: int) -> None:
    """Print the sizes of clusters that are found."""
    cells, nuclei = GEOMETRIES["balls"]()
    for name, scatter, truth in (
        ("Thomas, s = 150 nm", thomas(150.0), np.sqrt(3) * 0.15),
        ("Thomas, s = 250 nm", thomas(250.0), np.sqrt(3) * 0.25),
        ("Matérn, R = 300 nm", matern(300.0), np.sqrt(3 / 5) * 0.3),
    ):
        found, p_values = [], []
        for repeat in range(repeats):
            rng = np.random.default_rng([repeat, 7])
            centres = clustered_centres(cells, nuclei, SPACING, 40, scatter, rng)
            particles = paint_particles(cells, nuclei, SPACING, 0.0, 300, rng, centres=centres)
            tests = measure_space(cells, nuclei, particles, SPACING).tests.set_index("statistic")
            p_values.append(tests.loc["ripley_l", "p_value"])
            found.append(tests.loc["pair_correlation", "cluster_radius_um"])
        print(
            f"{name}: p <= 0.05 in {np.mean(np.array(p_values) <= 0.05):.2f}, radius of gyration "
            f"{np.nanmedian(found):.3f} µm (quartiles {np.nanquantile(found, 0.25):.3f} to {np.nanquantile(found, 0.75):.3f}), "
            f"truth {truth:.3f} µm",
            flush=True,
        )


def large_volume(size: int, cells_wanted: int, count: int) -> None:
    """Time the comparison in a volume of `size` voxels per side."""
    from spatial import packed_tissue

    spacing = (50.0, 25.0, 25.0)
    cells, nuclei = packed_tissue(size)
    cells[cells > cells_wanted] = 0
    rng = np.random.default_rng(0)
    particles = paint_particles(cells, nuclei, spacing, 320.0, count, rng)
    parameters = SpatialParameters()
    with ThreadPoolExecutor(2) as pool:
        execution = Execution(executor=pool, workers=2)
        started = {}
        for simulations in (19, 99):
            own = parameters.model_copy(update={"null_simulations": simulations})
            clock, cpu = time.perf_counter(), time.process_time()
            space = measure_space(cells, nuclei, particles, spacing, own, execution)
            started[simulations] = time.perf_counter() - clock, time.process_time() - cpu
    print(
        f"{size}³, {len(space.cells)} cells, {len(space.nanoparticles)} particles: whole stage "
        + "; ".join(
            f"{simulations} simulations {wall:.1f} s ({cpu:.1f} s cpu)"
            for simulations, (wall, cpu) in started.items()
        )
        + f"; peak memory {peak_mib() / 1024:.2f} GiB",
        flush=True,
    )
    shown = space.enrichment[space.enrichment["random_fraction"] > 0.02]
    print(
        "  enrichment: "
        + " ".join(
            f"{row.enrichment:.3f} [{row.enrichment_low:.3f}, {row.enrichment_high:.3f}]"
            for row in shown.itertuples()
        )
    )
    print("  p: " + " ".join(f"{row.statistic} {row.p_value:.2f}" for row in space.tests.itertuples()))


FAULTS = {"many faults": 1.0, "few faults": 0.25}
"""Factor of the largest rates of planted faults."""

AUDITED_OBJECTS = (120, 240, 360)


def audits(repeats: int) -> None:
    """Print how often the intervals of simulated audits hold the truth."""
    print(
        f"{repeats} simulated audits each of {', '.join(map(str, AUDITED_OBJECTS))} objects (before faults), by quantity:"
    )
    print(
        "fraction of 95 % intervals that hold the truth; lie above it; lie below it; mean truth, estimate and width"
    )
    for name, faults in FAULTS.items():
        rows: dict[str, list[tuple[float, float, float, float]]] = {}
        for repeat in range(repeats):
            rng = np.random.default_rng([repeat, 77])
            scene = audit_scene(rng, int(rng.choice(AUDITED_OBJECTS)), faults)
            for row in run_audit(scene, repeat, stated_sizes=repeat % 2 == 0).itertuples():
                own = rows.setdefault(row.quantity, [])
                own.append((scene.figures[row.quantity], row.value, row.low, row.high))
        for quantity, values in rows.items():
            truth, value, low, high = np.array(values).T
            above, below = low > truth + 1e-9, high < truth - 1e-9
            print(
                f"{name:12s} {quantity:16s} {np.mean(~above & ~below):.3f} {above.mean():.3f} {below.mean():.3f}  "
                f"{truth.mean():8.3f} {value.mean():8.3f} {(high - low).mean():8.3f}",
                flush=True,
            )


def means(repeats: int) -> None:
    """Print how often the intervals of mean volumes hold the mean of the population."""
    print(
        "sizes, volume: whole objects; fraction of 95 % intervals that hold the truth, of all and of those without a note;"
    )
    print("relative error of the weighted mean, and of the mean of whole objects without weights")
    for spread_name, spread in SPREADS.items():
        for window_name, window in WINDOWS.items():
            held, noted, error, plain, whole = [], [], [], [], []
            for repeat in range(repeats):
                table, truth = window_of_objects(np.random.default_rng([repeat, 3]), spread, window)
                row = acquisition_means({"cells": table}, {"cells": window}).iloc[0]
                if np.isnan(row["mean_low"]):
                    continue
                used = border_weights(table, window) > 0
                held.append(row["mean_low"] <= truth <= row["mean_high"])
                noted.append(row["note"] != "")
                error.append(row["mean"] / truth - 1)
                plain.append(table["volume_um3"][used].mean() / truth - 1)
                whole.append(row["whole_objects"])
            clean = np.array(held)[~np.array(noted)]
            print(
                f"{spread_name}, {window_name}: {np.mean(whole):.0f}; {np.mean(held):.3f} of {len(held)}, "
                f"{clean.mean() if len(clean) else np.nan:.3f} of {len(clean)}; {np.mean(error):+.3f}, {np.mean(plain):+.3f}",
                flush=True,
            )


def uptake(repeats: int) -> None:
    """Print how often the intervals of rank correlations hold the truth, also where most cells have no particle."""
    print(
        "cells, correlation of normal values, cells with a particle: fraction of 95 % intervals that hold the truth"
    )
    cases = [(n, rho, n) for n in (10, 20, 50) for rho in (0.0, 0.6)] + [(20, 0.6, n) for n in (8, 5, 4, 3)]
    for count, rho, others in cases:
        rng = np.random.default_rng([count, others, int(10 * rho)])
        truth = _rank_correlation_of(rng, 200_000, rho, others / count)
        held = []
        for repeat in range(repeats):
            x, y = _correlated(rng, count, rho)
            # As many as wanted, the largest.
            y[np.argsort(y)[: count - others]] = y.min() if others == count else -10.0
            _, low, high = rank_correlation(x, y, repeat)
            held.append(low <= truth <= high)
        print(f"{count:3d} {rho:.1f} {others:3d}  {np.mean(held):.3f}", flush=True)


def _correlated(rng: np.random.Generator, count: int, rho: float) -> tuple[np.ndarray, np.ndarray]:
    x, rest = rng.standard_normal((2, count))
    return x, rho * x + np.sqrt(1 - rho**2) * rest


def _rank_correlation_of(rng: np.random.Generator, count: int, rho: float, fraction: float) -> float:
    x, y = _correlated(rng, count, rho)
    if fraction < 1:
        y[y < np.quantile(y, 1 - fraction)] = -10.0
    return float(stats.spearmanr(x, y).statistic)


def objects(seeds: int, folder: Path, fit: bool) -> None:
    """Print the coverage of the intervals of objects and particles, or fit them."""
    chosen = [seed for seed in range(seeds) if (seed // 4 % 2 == 0) == fit]
    rows = joined([interval_rows(seed, folder) for seed in chosen])
    own, particles = rows.objects, rows.particles
    print(f"{len(chosen)} phantoms, seeds {', '.join(map(str, chosen))}")
    if fit:
        fit_objects(own)
        fit_particles(particles)
        return
    print(
        "quantity, phantoms: intervals; hold the truth; lie above it; below it; median error, median width by median truth"
    )
    for lines in (
        object_coverage(own),
        particle_coverage(particles),
        dose_coverage(rows),
        distance_coverage(particles, own),
    ):
        for line in lines:
            print(line, flush=True)


PARTS = ("random", "dense", "clusters", "large", "audit", "means", "uptake", "objects")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--repeats", type=int, default=100, help="patterns per geometry and size; audits per rate of faults"
    )
    parser.add_argument(
        "--size", type=int, default=512, help="voxels per side of the large volume; 0 for none"
    )
    parser.add_argument("--fit", action="store_true", help="of part objects: print the constants instead")
    parser.add_argument(
        "--seeds", type=int, default=40, help="of part objects: phantoms, half of them for the fit"
    )
    parser.add_argument(
        "--rows",
        type=Path,
        default=Path("build/intervals"),
        help="of part objects: folder for what was measured",
    )
    options = parser.parse_args()
    if "random" in options.parts:
        random_patterns(options.repeats)
    if "dense" in options.parts:
        dense_patterns(max(1, options.repeats // 5))
    if "clusters" in options.parts:
        cluster_patterns(max(1, options.repeats // 5))
    if "large" in options.parts and options.size:
        large_volume(options.size, 300, 3000)
    if "audit" in options.parts:
        audits(options.repeats)
    if "means" in options.parts:
        means(options.repeats)
    if "uptake" in options.parts:
        uptake(options.repeats)
    if "objects" in options.parts:
        objects(options.seeds, options.rows, options.fit)


if __name__ == "__main__":
    main()
