"""Errors of the shape descriptors on solids with a closed form, beside their limits.

    python benchmarks/shape_accuracy.py [--draws 8] [--only sphere]

Each row is one solid at one spacing, at random offsets and orientations: the mean error over the draws and, in brackets, the
largest. Sizes are in voxels of the largest side, 10 nm or 50 nm; z is the first axis. The limits are those of equal spacing,
and three times as large below a radius of 8 voxels.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "tests" / "core"))
from shape_solids import Solid, capsule, cube, cylinder, ellipsoid, half_ball, sphere, torus

from spherovem_core.shape import measure_labels

SPACINGS = {"equal": (10.0, 10.0, 10.0), "50:10:10": (50.0, 10.0, 10.0)}
LIMITS = {
    "volume": 0.005,
    "area": 0.005,
    "sphericity": 0.005,
    "mean": 0.01,
    "gaussian": 0.02,
    "dimension": 0.03,
}
Maker = Callable[[float, Any, Any], Solid]


def cases() -> Iterator[tuple[str, float, Maker]]:
    """Yield name, thickness radius in voxels, and a function of voxel side, spacing and generator."""
    for radius in (4, 5, 6, 8, 10, 12, 16, 20, 30, 40):
        yield f"sphere {radius}", radius, lambda h, s, rng, r=radius: sphere(r * h, s, rng)
    for scale in (0.4, 0.6, 1.0):
        axes = np.array([40.0, 25.0, 15.0]) * scale
        name = "ellipsoid " + ", ".join(f"{a:g}" for a in axes)
        yield name, float(axes.min()), lambda h, s, rng, a=axes: ellipsoid(a * h, s, rng)
    for ring, tube in ((10, 4), (16, 8), (28, 12)):
        yield f"torus {ring}, {tube}", tube, lambda h, s, rng, a=ring, b=tube: torus(a * h, b * h, s, rng)
    for radius, length in ((4, 12), (8, 20), (12, 30)):
        yield (
            f"capsule {radius}, {length}",
            radius,
            lambda h, s, rng, a=radius, b=length: capsule(a * h, b * h, s, rng),
        )
    for radius, length in ((8, 16), (12, 30), (20, 30)):
        yield (
            f"cylinder {radius}, {length}",
            radius,
            lambda h, s, rng, a=radius, b=length: cylinder(a * h, b * h, s, rng),
        )
    for radius in (12, 16, 24):
        yield f"half ball {radius}", radius / 2, lambda h, s, rng, r=radius: half_ball(r * h, s, rng)
    for side in (16, 24, 32, 40, 50, 64):
        yield f"cube {side}", side / 2, lambda h, s, rng, a=side: cube(a * h, s, rng)


def errors(solid: Solid) -> dict[str, float]:
    """Compute relative errors; those of dimension and total Gaussian curvature are absolute, the latter over 4 pi."""
    row = measure_labels(solid.labels, solid.spacing_nm).iloc[0]
    area, total_gaussian = (
        row.surface_area_um2 * 1e6,
        row.gaussian_curvature_mean_per_um2 * row.surface_area_um2,
    )
    round_area = np.pi ** (1 / 3) * (6 * solid.volume) ** (2 / 3)
    return {
        "volume": row.volume_um3 * 1e9 / solid.volume - 1,
        "area": area / solid.area - 1,
        "sphericity": row.sphericity / (round_area / solid.area) - 1,
        "mean": row.mean_curvature_mean_per_um / 1e3 / (solid.total_mean_curvature / solid.area) - 1,
        "gaussian": (total_gaussian - solid.total_gaussian_curvature) / (4 * np.pi),
        "dimension": row.fractal_dimension - 2,
        "index": row.shape_index_mean,
    }


def main() -> None:
    """Print one row per case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--only", default="")
    parser.add_argument("--spacing", choices=SPACINGS, action="append")
    options = parser.parse_args()
    print("solid | spacing | " + " | ".join(LIMITS) + " | shape index | beyond the limit")
    for name, radius, make in cases():
        if options.only not in name:
            continue
        for spacing_name in options.spacing or SPACINGS:
            spacing = SPACINGS[spacing_name]
            draws = max(2, min(options.draws, round(options.draws * 12 / radius)))
            rng = np.random.default_rng(7)
            found = [errors(make(max(spacing), spacing, rng)) for _ in range(draws)]
            factor = 1.0 if radius >= 8 else 3.0
            cells, beyond = [], []
            for key, limit in LIMITS.items():
                values = np.array([row[key] for row in found])
                largest = np.abs(values).max()
                form = "{:+.3f} ({:.3f})" if key == "dimension" else "{:+.2%} ({:.2%})"
                cells.append(form.format(values.mean(), largest))
                if not largest <= factor * limit:
                    beyond.append(key if abs(values.mean()) <= factor * limit else key.upper())
            index = np.mean([row["index"] for row in found])
            print(
                f"{name} | {spacing_name} | {' | '.join(cells)} | {index:.3f} | {' '.join(beyond)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
