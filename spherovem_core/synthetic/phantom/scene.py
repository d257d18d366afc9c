"""Scene of a phantom, rendered slice by slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.spacing import spacing_um
from spherovem_core.synthetic.phantom.microscope import Imaging, blur, plan_imaging, to_uint8
from spherovem_core.synthetic.phantom.nanoparticles import Nanoparticles, place_nanoparticles
from spherovem_core.synthetic.phantom.parameters import PhantomParameters
from spherovem_core.synthetic.phantom.staining import CYTOPLASM, MEMBRANE, Stain, make_stain
from spherovem_core.synthetic.phantom.tissue import Tissue, grow_tissue

_ENDOSOME = CYTOPLASM + 10.0
_ENDOSOME_RIM = MEMBRANE + 25.0
_ENDOSOME_ROOM_UM = 0.05


class RenderedSlice(NamedTuple):
    """One slice as acquired, and in the ideal frame its clean image and the owner of each voxel (0: none)."""

    image: NDArray[np.uint8]
    clean: NDArray[np.uint8]
    cells: NDArray[np.uint32]
    nuclei: NDArray[np.uint32]
    particles: NDArray[np.uint32]


@dataclass(frozen=True)
class Scene:
    """Geometry and textures of a phantom, small enough to send to workers."""

    parameters: PhantomParameters
    imaging: Imaging
    margin: int
    tissue: Tissue
    stain: Stain
    particles: Nanoparticles

    def render(self, z: int) -> RenderedSlice:
        """Render slice z, to the same bytes in any process and any order of slices."""
        axes = self._axes(z)
        located = self.tissue.locate_grid(*axes)
        image = self.stain.paint(located, *axes)[0]
        owner = np.zeros(image.shape, np.uint32)
        self._draw_endosomes(image, axes)
        rows = np.flatnonzero(
            np.abs(self.particles.centres_um[:, 0] - axes[0][0]) < self.particles.radii_um + 0.1
        )
        balls = self.particles.take(rows)
        _draw_balls(image, owner, axes, balls.centres_um, balls.radii_um, balls.intensities, rows)
        image = blur(image, self.parameters)
        ideal = (slice(self.margin, -self.margin),) * 2
        cells = np.where(located.cell_depth_um[0] > 0, located.cell[0] + 1, 0).astype(np.uint32)
        nuclei = np.where(located.nucleus_depth_um[0] > 0, located.nucleus[0] + 1, 0).astype(np.uint32)
        return RenderedSlice(
            self.imaging.acquire(image, z, self.margin, self.parameters),
            to_uint8(image[ideal]),
            cells[ideal],
            nuclei[ideal],
            owner[ideal],
        )

    def _axes(self, z: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        dz, dy, dx = spacing_um(self.parameters.spacing_nm)
        rows, columns = (
            np.arange(-self.margin, n + self.margin, dtype=float) for n in self.parameters.shape[1:]
        )
        return np.array([z * dz]), rows * dy, columns * dx

    def _draw_endosomes(self, image: NDArray[np.float32], axes: tuple[NDArray[np.float64], ...]) -> None:
        """Draw a light lumen with a thin rim around the clusters in cells."""
        inside = self.particles.take(self.particles.cells >= 0)
        depth = np.full(image.shape, -np.inf, np.float32)
        _union_depth(depth, axes, inside.centres_um, inside.radii_um + _ENDOSOME_ROOM_UM)
        pixel = np.float32(np.sqrt((axes[1][1] - axes[1][0]) * (axes[2][1] - axes[2][0])))
        for edge, grey, opacity in ((0.0, _ENDOSOME_RIM, 0.7), (0.03, _ENDOSOME, 0.8)):
            covered = np.clip((depth - np.float32(edge)) / pixel + np.float32(0.5), 0, 1)
            image += np.float32(opacity) * covered * (np.float32(grey) - image)


def build_scene(parameters: PhantomParameters) -> Scene:
    """Build the scene, which holds everything random except the noise of each slice."""
    imaging = plan_imaging(parameters)
    margin = imaging.margin(parameters.shape[1:])
    step = np.array(spacing_um(parameters.spacing_nm))
    imaged = (-0.5 * step, (np.array(parameters.shape) - 0.5) * step)
    border = np.array([2 * parameters.nanoparticle_diameter_nm / 1000, margin * step[1], margin * step[2]])
    lower, upper = imaged[0] - border, imaged[1] + border
    tissue = grow_tissue(parameters, lower, upper)
    target = parameters.nanoparticle_volume_fraction * float(np.prod(imaged[1] - imaged[0]))
    particles = place_nanoparticles(parameters, tissue, lower, upper, target, imaged)
    stain = make_stain(parameters, len(tissue.cells.seeds_um), lower, upper)
    return Scene(parameters, imaging, margin, tissue, stain, particles)


@njit(cache=True, nogil=True, error_model="numpy")
def _draw_balls(image, owner, axes, centres, radii, greys, numbers):  # type: ignore[no-untyped-def]
    zs, ys, xs = axes
    pixel = np.sqrt((ys[1] - ys[0]) * (xs[1] - xs[0]))
    for n in range(radii.size):
        first_y, stop_y = _window(ys, centres[n, 1], radii[n] + pixel)
        first_x, stop_x = _window(xs, centres[n, 2], radii[n] + pixel)
        for j in range(first_y, stop_y):
            for i in range(first_x, stop_x):
                depth = radii[n] - _distance(zs[0], ys[j], xs[i], centres[n])
                covered = min(max(depth / pixel + 0.5, 0.0), 1.0)
                image[j, i] += covered * (greys[n] - image[j, i])
                if depth > 0:
                    owner[j, i] = numbers[n] + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _union_depth(depth, axes, centres, radii):  # type: ignore[no-untyped-def]
    """Raise `depth` to the depth of each pixel inside the union of balls; far from them it stays -inf."""
    zs, ys, xs = axes
    pixel = np.sqrt((ys[1] - ys[0]) * (xs[1] - xs[0]))
    for n in range(radii.size):
        reach = radii[n] + pixel
        if abs(zs[0] - centres[n, 0]) > reach:
            continue
        first_y, stop_y = _window(ys, centres[n, 1], reach)
        first_x, stop_x = _window(xs, centres[n, 2], reach)
        for j in range(first_y, stop_y):
            for i in range(first_x, stop_x):
                inside = radii[n] - _distance(zs[0], ys[j], xs[i], centres[n])
                depth[j, i] = max(depth[j, i], inside)


@njit(cache=True, nogil=True, error_model="numpy")
def _window(axis, centre, reach):  # type: ignore[no-untyped-def]
    step = axis[1] - axis[0]
    first = max(int((centre - reach - axis[0]) / step), 0)
    return first, min(int((centre + reach - axis[0]) / step) + 2, axis.size)


@njit(cache=True, nogil=True, error_model="numpy")
def _distance(z, y, x, centre):  # type: ignore[no-untyped-def]
    return np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
