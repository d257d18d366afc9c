"""The whole scene of a phantom, and its rendering slice by slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.phantom.microscope import Imaging, blur, plan_imaging, to_uint8
from spherovem_core.phantom.nanoparticles import Nanoparticles, place_nanoparticles
from spherovem_core.phantom.parameters import PhantomParameters
from spherovem_core.phantom.staining import CYTOPLASM, MEMBRANE, Stain, make_stain
from spherovem_core.phantom.tissue import Tissue, grow_tissue
from spherovem_core.spacing import spacing_um

_ENDOSOME = CYTOPLASM + 10.0
_ENDOSOME_ROOM_UM = 0.05


class RenderedSlice(NamedTuple):
    """One slice: as acquired, and in the ideal frame its clean image and who owns each voxel (0: none)."""

    image: NDArray[np.uint8]
    clean: NDArray[np.uint8]
    cells: NDArray[np.uint32]
    nuclei: NDArray[np.uint32]
    particles: NDArray[np.uint32]


@dataclass(frozen=True)
class Scene:
    """Everything a slice is rendered from: small, so that it travels to any worker."""

    parameters: PhantomParameters
    imaging: Imaging
    margin: int
    tissue: Tissue
    stain: Stain
    particles: Nanoparticles

    def render(self, z: int) -> RenderedSlice:
        """Render slice z: the same bytes in whichever process, and after whichever other slice."""
        axes = self._axes(z)
        located = self.tissue.locate_grid(*axes)
        image = self.stain.paint(located, *axes)[0]
        owner = np.zeros(image.shape, np.uint32)
        self._draw_endosomes(image, axes)
        near = np.abs(self.particles.centres_um[:, 0] - axes[0][0]) < self.particles.radii_um + 0.1
        rows = np.flatnonzero(near)
        _draw_balls(
            image, owner, axes[0][0], axes[1], axes[2],
            self.particles.centres_um[rows], self.particles.radii_um[rows],
            self.particles.intensities[rows], rows,
        )  # fmt: skip
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
        inside = self.particles.cells >= 0
        _draw_endosomes(
            image, axes[0][0], axes[1], axes[2],
            self.particles.centres_um[inside], self.particles.radii_um[inside] + _ENDOSOME_ROOM_UM,
            _ENDOSOME, MEMBRANE + 25,
        )  # fmt: skip


def build_scene(parameters: PhantomParameters) -> Scene:
    """Draw everything random about a phantom except what is drawn slice by slice."""
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
def _draw_balls(image, owner, z, ys, xs, centres, radii, greys, numbers):  # type: ignore[no-untyped-def]
    dy, dx = ys[1] - ys[0], xs[1] - xs[0]
    pixel = np.sqrt(dy * dx)
    for n in range(radii.size):
        reach = radii[n] + pixel
        first_y = max(int((centres[n, 1] - reach - ys[0]) / dy), 0)
        first_x = max(int((centres[n, 2] - reach - xs[0]) / dx), 0)
        for j in range(first_y, min(int((centres[n, 1] + reach - ys[0]) / dy) + 2, ys.size)):
            for i in range(first_x, min(int((centres[n, 2] + reach - xs[0]) / dx) + 2, xs.size)):
                away = np.sqrt(
                    (z - centres[n, 0]) ** 2 + (ys[j] - centres[n, 1]) ** 2 + (xs[i] - centres[n, 2]) ** 2
                )
                share = min(max((radii[n] - away) / pixel + 0.5, 0.0), 1.0)
                image[j, i] += share * (greys[n] - image[j, i])
                if away < radii[n]:
                    owner[j, i] = numbers[n] + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _draw_endosomes(image, z, ys, xs, centres, radii, lumen, rim):  # type: ignore[no-untyped-def]
    """Draw the union of balls as a lumen with a thin rim."""
    dy, dx = ys[1] - ys[0], xs[1] - xs[0]
    pixel = np.sqrt(dy * dx)
    depth = np.full(image.shape, -np.inf, np.float32)
    for n in range(radii.size):
        reach = radii[n] + pixel
        if abs(z - centres[n, 0]) > reach:
            continue
        first_y = max(int((centres[n, 1] - reach - ys[0]) / dy), 0)
        first_x = max(int((centres[n, 2] - reach - xs[0]) / dx), 0)
        for j in range(first_y, min(int((centres[n, 1] + reach - ys[0]) / dy) + 2, ys.size)):
            for i in range(first_x, min(int((centres[n, 2] + reach - xs[0]) / dx) + 2, xs.size)):
                away = np.sqrt(
                    (z - centres[n, 0]) ** 2 + (ys[j] - centres[n, 1]) ** 2 + (xs[i] - centres[n, 2]) ** 2
                )
                depth[j, i] = max(depth[j, i], radii[n] - away)
    for j in range(ys.size):
        for i in range(xs.size):
            if depth[j, i] > -pixel:
                outer = min(max(depth[j, i] / pixel + 0.5, 0.0), 1.0)
                image[j, i] += 0.7 * outer * (rim - image[j, i])
                inner = min(max((depth[j, i] - 0.03) / pixel + 0.5, 0.0), 1.0)
                image[j, i] += 0.8 * inner * (lumen - image[j, i])
