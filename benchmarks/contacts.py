"""Contacts and depth: errors against closed forms, seconds and peak memory, with counted voxel faces as the baseline.

    python benchmarks/contacts.py [--sizes 256 512] [--skip-accuracy]

Accuracy: a ball cut in two by planes at 30 random angles and 6 nearly along axes (contact: a disc), and a ball in a shell
(contact: a sphere), at several radii and two voxel shapes; depth of random points in a ball of specimen. Speed: the packed tissue
of `benchmarks/spatial.py`, in one thread.
"""

import argparse
from functools import partial

import numpy as np
from _peak_memory import peak_mib
from numpy.typing import NDArray
from spatial import cost, packed_tissue

from spherovem_core.label_statistics import collect_label_statistics
from spherovem_core.spacing import SpacingNm
from spherovem_core.spatial import Placement, find_surface, measure_contacts, measure_depth_of_cells
from spherovem_core.spatial.depth import depth_at

SHAPES: tuple[SpacingNm, ...] = ((40.0, 40.0, 40.0), (50.0, 10.0, 10.0))
OFFSET = (0.31, 0.12, 0.43)


def positions(half_um: float, spacing: SpacingNm) -> NDArray[np.float64]:
    axes = [
        (np.arange(n) - n / 2 + shift) * side / 1000
        for side, shift in zip(spacing, OFFSET, strict=True)
        for n in [int(2000 * half_um / side) + 8]
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def counted_faces(cells: NDArray[np.uint32], spacing: SpacingNm) -> float:
    """Add up the areas of the faces between two labels."""
    side = np.array(spacing) / 1000
    total = 0.0
    for axis in range(3):
        one, two = (np.moveaxis(cells, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        total += np.count_nonzero((one != two) & (one > 0) & (two > 0)) * side.prod() / side[axis]
    return float(total)


def contact_errors(radius_voxels: int, spacing: SpacingNm) -> str:
    """Compare the areas of discs and of a sphere with the truth; the radius is in voxels of the longest side."""
    radius = radius_voxels * max(spacing) / 1000
    place = positions(radius, spacing)
    far = np.linalg.norm(place, axis=-1)
    rng = np.random.default_rng(0)
    normals = np.concatenate(
        [np.repeat(np.eye(3), 2, 0) + 0.07 * rng.normal(size=(6, 3)), rng.normal(size=(30, 3))]
    )
    errors, counted = [], []
    for normal in normals / np.linalg.norm(normals, axis=1, keepdims=True):
        cells = np.where(place @ normal > 0.003, 1, 2).astype(np.uint32)
        cells[far > radius] = 0
        truth = np.pi * (radius**2 - 0.003**2)
        errors.append(float(measure_contacts(cells, spacing, 0.0)["contact_area_um2"][0]) / truth - 1)
        counted.append(counted_faces(cells, spacing) / truth - 1)
    cells = np.where(far < 0.6 * radius, 1, 2).astype(np.uint32)
    cells[far > radius] = 0
    truth = 4 * np.pi * (0.6 * radius) ** 2
    sphere = float(measure_contacts(cells, spacing, 0.0)["contact_area_um2"][0]) / truth - 1
    return (
        f"{min(errors):+.2%} to {max(errors):+.2%}, mean {np.mean(errors):+.2%} (counted faces {min(counted):+.1%} to "
        f"{max(counted):+.1%}); sphere of {0.6 * radius_voxels:.0f} voxels {sphere:+.2%} "
        f"({counted_faces(cells, spacing) / truth - 1:+.1%})"
    )


def depth_errors() -> str:
    """Compare the depth of random points in a ball of specimen with the truth."""
    mask, field = (150.0, 120.0, 100.0), (50.0, 10.0, 10.0)
    place = positions(4.0, mask)
    first = place[0, 0, 0] * 1000
    surface = find_surface(
        np.linalg.norm(place, axis=-1) > 3.4,
        Placement(mask, (float(first[0]), float(first[1]), float(first[2]))),
        Placement(field, (-4200.0, -4200.0, -4200.0)),
        (170, 850, 850),
    )
    points = np.random.default_rng(0).uniform(-3.9, 3.9, (20_000, 3))
    error = np.abs(depth_at(surface, points)[0] - (3.4 - np.linalg.norm(points, axis=1)))
    figures = (np.median(error), np.quantile(error, 0.95), error.max())
    return "median {:.3f} µm, 95 % {:.3f}, largest {:.3f} (voxels of 0.15 x 0.12 x 0.1)".format(*figures)


def time_tissue(size: int) -> None:
    """Time contacts and depths in packed tissue."""
    spacing = SHAPES[1]
    cells, _ = packed_tissue(size)
    before = peak_mib()
    for gap in (0.0, 0.1):
        taken = cost(partial(measure_contacts, cells, spacing, gap))
        memory = peak_mib() - before
        print(f"{size}³, gap of {gap} µm: contacts {taken}, {memory:.0f} MiB above the labels", flush=True)
    statistics = collect_label_statistics(cells)
    outside = np.zeros((24, 64, 64), bool)
    outside[:, :, 40:] = True
    mask = Placement((50.0 * size / 24, 10.0 * size / 64, 10.0 * size / 64))
    surface = find_surface(outside, mask, Placement(spacing), cells.shape)
    centroids = statistics.centroid * np.array(spacing) / 1000
    place = Placement(spacing)
    taken = cost(partial(measure_depth_of_cells, cells, statistics.labels, centroids, place, surface))
    print(f"{size}³: least depth of {len(statistics)} cells {taken}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="voxels per side")
    parser.add_argument("--skip-accuracy", action="store_true", help="speed alone")
    options = parser.parse_args()
    if not options.skip_accuracy:
        for spacing in SHAPES:
            for radius in (6, 12, 20, 30)[: 4 if spacing[0] == spacing[1] else 2]:
                errors = contact_errors(radius, spacing)
                print(f"voxels {spacing}, disc of {radius} voxels: {errors}", flush=True)
        print(f"depth in a ball: {depth_errors()}", flush=True)
    small, _ = packed_tissue(64)
    measure_contacts(small, SHAPES[1], 0.1)
    for size in options.sizes:
        time_tissue(size)


if __name__ == "__main__":
    main()
