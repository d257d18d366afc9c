"""A small tissue of cells with membranes and nuclei, and errors in its labels."""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from spherovem_core.review import ReviewLevel
from spherovem_core.segmentation import PlacedVolume

SPACING = (120.0, 60.0, 60.0)
SHAPE = (36, 80, 80)


@dataclass(frozen=True)
class Tissue:
    """Cells that fill a volume, with dark membranes; a nucleus in each but those of `without_nucleus`."""

    image: NDArray[np.uint8]
    cells: NDArray[np.uint32]
    nuclei: NDArray[np.uint32]
    flows: PlacedVolume
    centres: NDArray[np.float64] = field(repr=False)

    def level(self, labels: NDArray[np.uint32], *, image: bool = True, nuclei: bool = True) -> ReviewLevel:
        return ReviewLevel(
            labels,
            SPACING,
            image=self.image if image else None,
            nuclei=self.nuclei if nuclei else None,
        )


@cache
def tissue(seed: int = 3) -> Tissue:
    """Make a tissue of some 30 cells of about 1.6 µm on a jittered lattice."""
    rng = np.random.default_rng(seed)
    lattice = np.stack(
        np.meshgrid(*[np.arange(0.8, n * s / 1000, 1.6) for n, s in zip(SHAPE, SPACING, strict=True)]), -1
    )
    centres = lattice.reshape(-1, 3) + rng.uniform(-0.25, 0.25, (lattice.size // 3, 3))
    # meshgrid's default swaps the first two axes of the grid, not of the coordinates.
    points = np.indices(SHAPE).reshape(3, -1).T * np.array(SPACING) / 1000
    distance, nearest = cKDTree(centres).query(points, k=2)
    cells = (nearest[:, 0] + 1).reshape(SHAPE).astype(np.uint32)
    membrane = (distance[:, 1] - distance[:, 0]).reshape(SHAPE)
    radius = distance[:, 0].reshape(SHAPE)
    nuclei = np.where(radius < 0.42, cells, 0).astype(np.uint32)
    image = 150 + 12 * ndimage.gaussian_filter(rng.standard_normal(SHAPE), 1.0) / 0.1 * 0.1
    image[membrane < 0.12] = 60
    image[(radius > 0.38) & (radius < 0.45)] -= 40
    image = np.clip(image + rng.normal(0, 4, SHAPE), 0, 255).astype(np.uint8)
    inwards = centres[cells.ravel() - 1] - points
    inwards /= np.linalg.norm(inwards, axis=1, keepdims=True) + 1e-6
    flows = np.concatenate([5 * inwards.T.reshape(3, *SHAPE), 30 * np.clip(membrane[None], 0, 0.6) - 3])
    return Tissue(image, cells, nuclei, PlacedVolume(flows.astype(np.float16), SPACING), centres)


def neighbours(scene: Tissue) -> tuple[int, int]:
    """Return two cells in the middle of the volume that share a large face."""
    middle = np.array(SHAPE) * np.array(SPACING) / 2000
    first = int(np.linalg.norm(scene.centres - middle, axis=1).argmin())
    away = np.linalg.norm(scene.centres - scene.centres[first], axis=1)
    away[first] = np.inf
    return first + 1, int(away.argmin()) + 1


def merged(scene: Tissue) -> tuple[NDArray[np.uint32], int]:
    """Join two neighbours; return the labels and the number of the joined object."""
    one, other = neighbours(scene)
    labels = scene.cells.copy()
    labels[labels == other] = one
    return labels, one


def divided(
    scene: Tissue, fraction: float, direction: tuple[float, float, float], gap: bool = False
) -> tuple[NDArray[np.uint32], tuple[int, int]]:
    """Cut the cell in the middle by a plane; return the labels and the numbers of both parts."""
    cell = neighbours(scene)[0]
    labels = scene.cells.copy()
    places = np.argwhere(labels == cell)
    along = places * np.array(SPACING) @ np.array(direction)
    part = places[along < np.quantile(along, fraction)]
    new = int(labels.max()) + 1
    labels[tuple(part.T)] = new
    if gap:
        labels[ndimage.binary_dilation(labels == cell) & (labels == new)] = 0
    return labels, (cell, new)
