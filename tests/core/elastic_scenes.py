"""Stacks of evolving tissue with planted smooth local fields, for the tests of elastic refinement."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from spherovem_core.registration import Alignment

MARGIN = 16


@dataclass(frozen=True)
class Bent:
    """Slices as acquired, and the displacement (Z, 2, Y, X) of the tissue that each of their pixels shows."""

    slices: NDArray[np.uint8]
    planted: NDArray[np.float64]

    def jitter_px(self, alignment: Alignment) -> NDArray[np.float64]:
        """Return the misplacement of each slice against the mean of its two neighbours, root mean square over the slice."""
        crop = alignment.crop
        y, x = np.arange(crop.y0, crop.y1, 3.0), np.arange(crop.x0, crop.x1, 3.0)
        shown = []
        for z, m in enumerate(alignment.transforms):
            moved = np.stack(np.meshgrid(y, x, indexing="ij"))
            if alignment.fields is not None:
                down, along = alignment.fields.mesh.interpolation(y, x)
                nodes = alignment.fields.nodes[z].astype(float)
                moved += np.stack([down @ nodes[..., k] @ along.T for k in range(2)])
            p = [row[0] * moved[0] + row[1] * moved[1] + row[2] for row in m]
            tissue = [
                q + ndimage.map_coordinates(field, p, order=1, mode="nearest")
                for q, field in zip(p, self.planted[z], strict=True)
            ]
            shown.append(np.stack(tissue))
        places = np.stack(shown)
        bend = places[1:-1] - 0.5 * (places[:-2] + places[2:])
        return np.sqrt((bend**2).sum(1).mean((1, 2)))


def bend_stack(
    count: int, shape: tuple[int, int], size_px: float, seed: int = 0, resin: bool = False
) -> Bent:
    """Show tissue that changes with depth, each slice bent by a field of random splines of the given peak."""
    rng = np.random.default_rng(seed)
    full = (count + 8, shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN)
    cells, grains = (_noise(rng, full, scale) for scale in (14.0, 2.5))
    tissue = (140.0 + 14.0 * grains - 70.0 * np.exp(-((cells / 0.2) ** 2)))[4:-4]
    if resin:
        tissue[:, :, full[2] // 2 :] = 150.0
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    slices, planted = [], []
    for image in tissue:
        field = np.stack(
            [ndimage.zoom(rng.normal(0.0, 1.0, (7, 7)), np.array(shape) / 7.0) for _ in range(2)]
        )
        field *= size_px / np.hypot(*field).max()
        shown = ndimage.map_coordinates(
            ndimage.gaussian_filter(image, 0.8), [y + field[0] + MARGIN, x + field[1] + MARGIN], order=3
        )
        slices.append(np.clip(np.rint(shown + rng.normal(0.0, 5.0, shape)), 0, 255).astype(np.uint8))
        planted.append(field)
    return Bent(np.stack(slices), np.stack(planted))


def _noise(rng: np.random.Generator, shape: tuple[int, int, int], scale: float) -> NDArray[np.float64]:
    white = rng.standard_normal(shape)
    field = fft.irfftn(ndimage.fourier_gaussian(fft.rfftn(white), (scale, scale, scale), n=shape[2]), shape)
    return np.asarray(field / field.std())
