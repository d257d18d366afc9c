"""Sample of a phantom: all that the microscope images, rendered slice by slice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.spacing import spacing_um
from spherovem_core.synthetic.phantom.balls import Balls, Place, join
from spherovem_core.synthetic.phantom.depth import SignalDepth, signal_depth
from spherovem_core.synthetic.phantom.detector import Stored, polarise, quantise
from spherovem_core.synthetic.phantom.drawing import Axes, draw_balls, mark_balls, union_depth
from spherovem_core.synthetic.phantom.exterior import Exterior
from spherovem_core.synthetic.phantom.microscope import Imaging, blur, plan_imaging
from spherovem_core.synthetic.phantom.nanoparticles import brighten_few, particle_kinds
from spherovem_core.synthetic.phantom.parameters import PhantomParameters
from spherovem_core.synthetic.phantom.placement import place_balls
from spherovem_core.synthetic.phantom.scenes.registry import make_effects
from spherovem_core.synthetic.phantom.scenes.scene import Bodies, Effect, Painter, Space
from spherovem_core.synthetic.phantom.staining import CYTOPLASM, MEMBRANE, Stain, make_stain
from spherovem_core.synthetic.phantom.tissue import Located, Tissue, grow_tissue, surroundings

PAINTED = 2**31
"""Owners of the pixels of painted bodies: this number plus that of the painter."""

# Planes nearer than this are the same.
_SAME_PLANE_UM = 1e-9

_ENDOSOME = CYTOPLASM + 10.0
_ENDOSOME_RIM = MEMBRANE + 25.0


class RenderedSlice(NamedTuple):
    """One slice as acquired, and in the ideal frame its clean image and the owner of each voxel (0: none).

    `specimen` is 1 where the slice shows tissue, 0 elsewhere.
    """

    image: Stored
    clean: Stored
    cells: NDArray[np.uint32]
    nuclei: NDArray[np.uint32]
    particles: NDArray[np.uint32]
    others: NDArray[np.uint32]
    specimen: NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """Geometry, textures and placement of a phantom, small enough to send to workers.

    Attributes
    ----------
    bodies : Balls
        Round bodies that are no nanoparticles; their `kinds` are indices into `body_kinds`.
    planes_um, distances_um : (Z,) ndarray of float64
        Position of each slice along z, and its distance from the next.
    """

    parameters: PhantomParameters
    imaging: Imaging
    margin: int
    tissue: Tissue
    stain: Stain
    particles: Balls
    bodies: Balls
    body_kinds: tuple[Bodies, ...]
    painters: tuple[Painter, ...]
    effects: tuple[Effect, ...]
    planes_um: NDArray[np.float64]
    distances_um: NDArray[np.float64]

    def render(self, z: int) -> RenderedSlice:
        """Render slice z, to the same bytes in any process and any order of slices."""
        axes = self._axes(self.planes_um[z])
        depth = signal_depth(self.parameters, self.distances_um[z])
        located = self.tissue.locate_grid(*axes)
        image, grain, painted = self._paint(located, axes, depth)
        near = 0.1 if depth is None else max(-depth.top_um, depth.bottom_um) + 0.1
        for balls, texture in self._balls(self.planes_um[z], near, grain):
            draw_balls(image, axes, balls, depth, texture)
        image = polarise(blur(image, self.parameters), self.parameters)
        ideal = (slice(self.margin, -self.margin),) * 2
        cells = np.where(located.cell_depth_um[0] > 0, located.cell[0] + 1, 0).astype(np.uint32)
        nuclei = np.where(located.nucleus_depth_um[0] > 0, located.nucleus[0] + 1, 0).astype(np.uint32)
        self._mark(painted, self.bodies, axes, z)
        particles = np.zeros(image.shape, np.uint32)
        self._mark(particles, self.particles, axes, z)
        specimen = (located.outside_um[0][ideal] <= 0).astype(np.uint8)
        self._remove_unusable(specimen, z)
        return RenderedSlice(
            self.imaging.acquire(image, z, self.margin, self.parameters, self.effects),
            quantise(image[ideal], self.parameters),
            cells[ideal],
            nuclei[ideal],
            particles[ideal],
            painted[ideal],
            specimen,
        )

    def _axes(self, plane_um: float) -> Axes:
        _, dy, dx = spacing_um(self.parameters.spacing_nm)
        rows, columns = (
            np.arange(-self.margin, n + self.margin, dtype=float) for n in self.parameters.shape[1:]
        )
        return np.array([plane_um]), rows * dy, columns * dx

    def _paint(
        self, located: Located, axes: Axes, depth: SignalDepth | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint32]]:
        """Paint all but the balls; return the image, a fine texture, and the owners of painted bodies in the plane."""
        if depth is None:
            return self._paint_plane(located, axes)
        image, grain, painted = (
            np.zeros(located.cell[0].shape, t) for t in (np.float32, np.float32, np.uint32)
        )
        seen = False
        for offset, weight in zip(*depth.samples(self.parameters.depth_samples), strict=True):
            central = abs(offset) < _SAME_PLANE_UM
            below = axes if central else (axes[0] + offset, axes[1], axes[2])
            there = located if central else self.tissue.locate_grid(*below)
            plane, fine, bodies = self._paint_plane(there, below)
            image += np.float32(weight) * plane
            grain += np.float32(weight) * fine
            painted, seen = (bodies, True) if central else (painted, seen)
        if self.painters and not seen:
            painted = self._paint_plane(located, axes)[2]
        return image, grain, painted

    def _paint_plane(
        self, located: Located, axes: Axes
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint32]]:
        pixel = np.float32(np.sqrt((axes[1][1] - axes[1][0]) * (axes[2][1] - axes[2][0])))
        noise = self.stain.textures(*axes)
        image = self.stain.paint(located, noise, pixel)[0]
        painted = np.zeros(image.shape, np.uint32)
        for number, painter in enumerate(self.painters):
            painted[painter.paint(image, located, axes, pixel)] = PAINTED + number
        textures = (noise["cloud"][0], noise["grain"][0])
        self.tissue.exterior.paint(image, located.outside_um[0], located.region[0], textures, pixel)
        self._draw_endosomes(image, axes, pixel)
        return image, noise["grain"][0], painted

    def _draw_endosomes(self, image: NDArray[np.float32], axes: Axes, pixel: np.float32) -> None:
        """Draw a light lumen with a thin rim around the clusters in the cytoplasm of cells."""
        inside = self.particles.take(self.particles.places == Place.CYTOPLASM)
        depth = union_depth(image.shape, axes, inside, self.parameters.vesicle_room_nm / 1000)
        for edge, grey, opacity in ((0.0, _ENDOSOME_RIM, 0.7), (0.03, _ENDOSOME, 0.8)):
            covered = np.clip((depth - np.float32(edge)) / pixel + np.float32(0.5), 0, 1)
            image += np.float32(opacity) * covered * (np.float32(grey) - image)

    def _balls(
        self, plane_um: float, near_um: float, grain: NDArray[np.float32]
    ) -> list[tuple[Balls, NDArray[np.float32]]]:
        """List the balls near a plane, in groups of one texture."""
        groups = []
        bodies = self.bodies.take(self.bodies.near(plane_um, near_um))
        for number, body in enumerate(self.body_kinds):
            groups.append((bodies.take(bodies.kinds == number), np.float32(body.texture_sd) * grain))
        groups.append((self.particles.take(self.particles.near(plane_um, near_um)), np.zeros_like(grain)))
        return groups

    def _mark(self, owner: NDArray[np.uint32], balls: Balls, axes: Axes, z: int) -> None:
        rows = balls.near(self.planes_um[z], 0.0)
        some = balls.take(rows)
        nearest = np.abs(some.centres_um[:, :1] - self.planes_um).argmin(axis=1) == z
        mark_balls(owner, axes, some, rows, nearest)

    def _remove_unusable(self, specimen: NDArray[np.uint8], z: int) -> None:
        """Set the specimen to 0 where an effect hides it in the acquired slice."""
        for effect in self.effects:
            hidden = effect.unusable(specimen.shape, z)
            if hidden is None:
                continue
            transform = self.imaging.transforms[z]
            rows, columns = (np.arange(n, dtype=float) for n in specimen.shape)
            y, x = (
                np.rint(line[0] * rows[:, None] + line[1] * columns + line[2]).astype(int)
                for line in transform
            )
            seen = (y >= 0) & (y < hidden.shape[0]) & (x >= 0) & (x < hidden.shape[1])
            specimen[seen] &= ~hidden[y[seen], x[seen]]


def build_sample(parameters: PhantomParameters) -> Sample:
    """Build the sample, which holds everything random except the noise of each slice."""
    effects = make_effects(parameters)
    imaging = plan_imaging(parameters, effects)
    margin = imaging.margin(parameters.shape[1:])
    body_kinds = tuple(body for effect in effects for body in effect.bodies())
    space = _space(parameters, margin, body_kinds)
    exterior = Exterior(tuple(region for effect in effects for region in effect.regions(space)))
    tissue = grow_tissue(parameters, *space.rendered, exterior)
    bodies = Balls.none()
    for number, body in enumerate(body_kinds):
        kind = replace(body.kind, number=number)
        bodies = join(bodies, place_balls(kind, tissue, *space.rendered, space.imaged, bodies))
    particles = Balls.none()
    for kind in particle_kinds(parameters):
        occupied = join(bodies, particles)
        particles = join(particles, place_balls(kind, tissue, *space.rendered, space.imaged, occupied))
    particles = brighten_few(particles, parameters, space.imaged)
    distances = _slice_distances_um(parameters)
    return Sample(
        parameters=parameters,
        imaging=imaging,
        margin=margin,
        tissue=tissue,
        stain=make_stain(parameters, tissue.nuclei.states, *space.rendered),
        particles=particles,
        bodies=bodies,
        body_kinds=body_kinds,
        painters=tuple(painter for effect in effects for painter in effect.painters(space)),
        effects=effects,
        planes_um=_planes_um(parameters, distances),
        distances_um=distances,
    )


def _slice_distances_um(parameters: PhantomParameters) -> NDArray[np.float64]:
    """Draw the thickness of each slice in µm. Together they are as thick as even slices."""
    step, count = spacing_um(parameters.spacing_nm)[0], parameters.shape[0]
    if parameters.slice_distance_cv == 0:
        return np.full(count, step)
    generator = np.random.default_rng((parameters.seed, 0xD157))
    factors = np.clip(1 + parameters.slice_distance_cv * generator.standard_normal(count), 0.3, 2)
    return np.asarray(step * factors * count / factors.sum())


def _planes_um(parameters: PhantomParameters, distances_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the position of the middle of each slice."""
    step = spacing_um(parameters.spacing_nm)[0]
    if parameters.slice_distance_cv == 0:
        return np.asarray(np.arange(len(distances_um)) * step, np.float64)
    return np.asarray(np.cumsum(distances_um) - distances_um / 2 - step / 2)


def _space(parameters: PhantomParameters, margin: int, body_kinds: tuple[Bodies, ...]) -> Space:
    """Compute the boxes of a phantom. The rendered one has room for balls that reach into the imaged one from outside.

    Scenes leave that room as it is unless they need more, so that the same seed gives the same tissue.
    """
    step = np.array(spacing_um(parameters.spacing_nm))
    lower, upper = -0.5 * step, (np.array(parameters.shape) - 0.5) * step
    room = [2 * parameters.nanoparticle_diameter_nm / 1000]
    room += [kind.largest_um / 2 for kind in particle_kinds(parameters)]
    room += [body.kind.largest_um / 2 for body in body_kinds]
    depth = signal_depth(parameters, float(step[0]))
    room += [] if depth is None else [depth.bottom_um]
    border = np.array([max(room), margin * step[1], margin * step[2]])
    rendered = (lower - border, upper + border)
    return Space((lower, upper), rendered, surroundings(parameters, *rendered))
