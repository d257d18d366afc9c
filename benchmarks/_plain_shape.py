"""The plain method to measure a label's shape, baseline of `benchmarks/shape.py`.

Two distance transforms of SciPy make a signed distance, a Gaussian of three voxels smooths it, marching cubes give mesh, area
and volume, differences of the whole box give curvatures at the vertices, and a third distance transform, from the surface, the
tube volumes.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import marching_cubes, mesh_surface_area

MARGIN = 12
SMOOTHING = 3.0


def measure_plainly(
    labels: NDArray[np.uint32], spacing: tuple[float, float, float]
) -> list[dict[str, float]]:
    """Measure volume, area, sphericity, mean curvatures and fractal dimension of every label, in the spacing's unit."""
    boxes = ndimage.find_objects(labels)
    return [_measure(labels[box] == i, spacing) for i, box in enumerate(boxes, 1) if box is not None]


def _measure(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> dict[str, float]:
    mask = np.pad(mask, MARGIN)
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing)
    inside = ndimage.distance_transform_edt(mask, sampling=spacing)
    distance = ndimage.gaussian_filter(outside - inside, SMOOTHING)
    vertices, faces, _, _ = marching_cubes(distance, 0, spacing=spacing)
    area = mesh_surface_area(vertices, faces)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    volume = abs(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6
    mean, gaussian = _curvatures(distance, spacing, vertices)
    return {
        "volume": volume,
        "area": area,
        "sphericity": np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / area,
        "mean": float(mean.mean()),
        "gaussian": float(gaussian.mean()),
        "dimension": _fractal_dimension(mask, spacing),
    }


def _curvatures(distance, spacing, vertices):
    first = np.gradient(distance, *spacing)
    second = [np.gradient(component, *spacing) for component in first]
    at = (vertices / spacing).T
    g = np.stack([ndimage.map_coordinates(component, at, order=1) for component in first])
    h = np.stack([[ndimage.map_coordinates(f, at, order=1) for f in row] for row in second])
    square = (g**2).sum(axis=0)
    bend = np.einsum("in,ijn,jn->n", g, h, g)
    mean = (square * np.trace(h) - bend) / (2 * square**1.5)
    cofactors = np.stack(
        [
            [
                h[(i + 1) % 3, (j + 1) % 3] * h[(i + 2) % 3, (j + 2) % 3]
                - h[(i + 1) % 3, (j + 2) % 3] * h[(i + 2) % 3, (j + 1) % 3]
                for j in range(3)
            ]
            for i in range(3)
        ]
    )
    return mean, np.einsum("in,ijn,jn->n", g, cofactors, g) / square**2


def _fractal_dimension(mask, spacing):
    surface = mask & ~ndimage.binary_erosion(mask)
    distance = ndimage.distance_transform_edt(~surface, sampling=spacing)
    radii = np.geomspace(2, MARGIN - 2, 12) * max(spacing)
    volumes = [np.count_nonzero(distance <= radius) for radius in radii]
    return 3 - np.polyfit(np.log(radii), np.log(volumes), 1)[0]
