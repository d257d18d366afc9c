"""Balls with bumps that are spherical harmonics, and their curvatures by quadrature; a Koch solid and rough balls."""

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y


def bump(degree, order, height):
    """Return the radius of a ball of radius 1 with waves of a height, over polar angle and azimuth."""
    theta, phi = np.linspace(0, np.pi, 300)[:, None], np.linspace(0, 2 * np.pi, 300)[None]
    top = np.abs(np.real(sph_harm_y(degree, order, theta, phi))).max()
    return lambda theta, phi: 1 + height * np.real(sph_harm_y(degree, order, theta, phi)) / top


def power_of(degree, order, height):
    """Compute the power of such a bump in its degree."""
    theta, phi = np.linspace(0, np.pi, 300)[:, None], np.linspace(0, 2 * np.pi, 300)[None]
    top = np.abs(np.real(sph_harm_y(degree, order, theta, phi))).max()
    return (height / top) ** 2 * (1 if order == 0 else 0.5) / (4 * np.pi)


def true_spread(radius, nodes=240, step=1e-3):
    """Integrate curvatures of a body of radius about 1 over its surface."""
    height, weight = np.polynomial.legendre.leggauss(nodes)
    theta, phi = np.arccos(height)[:, None], ((np.arange(2 * nodes) + 0.5) * np.pi / nodes)[None]

    def place(a, b):
        r, flat = radius(a, b), 0 * a * b
        return np.stack([r * np.cos(a) + flat, r * np.sin(a) * np.sin(b), r * np.sin(a) * np.cos(b)], axis=-1)

    here = place(theta, phi)
    up, down = place(theta + step, phi), place(theta - step, phi)
    east, west = place(theta, phi + step), place(theta, phi - step)
    a, b = (up - down) / (2 * step), (east - west) / (2 * step)
    aa, bb = (up - 2 * here + down) / step**2, (east - 2 * here + west) / step**2
    ab = place(theta + step, phi + step) - place(theta + step, phi - step)
    ab = (ab - place(theta - step, phi + step) + place(theta - step, phi - step)) / (4 * step**2)
    normal = np.cross(a, b)
    size = np.linalg.norm(normal, axis=-1)
    normal = normal / size[..., None] * np.sign((normal * here).sum())
    e, f, g = (a * a).sum(-1), (a * b).sum(-1), (b * b).sum(-1)
    k, m, n = (aa * normal).sum(-1), (ab * normal).sum(-1), (bb * normal).sum(-1)
    mean = -(e * n - 2 * f * m + g * k) / (2 * (e * g - f * f))
    gaussian = (k * n - m * m) / (e * g - f * f)
    area = size * (weight[:, None] / np.sin(theta))

    def average(values):
        return float((values * area).sum() / area.sum())

    def spread(values):
        return average((values - average(values)) ** 2) ** 0.5

    curved = np.sqrt(np.maximum(2 * mean**2 - gaussian, 0))
    index = 2 / np.pi * np.arctan2(mean, np.sqrt(np.maximum(mean**2 - gaussian, 0)))
    return {
        "mean_curvature_std": spread(mean),
        "gaussian_curvature_std": spread(gaussian),
        "curvedness_mean": average(curved),
        "curvedness_std": spread(curved),
        "shape_index_mean": average(index),
    }


def voxelise(radius, size_nm, spacing, rng):
    """Fill the voxels of a body, turned and shifted at random."""
    spacing = np.array(spacing)
    half = np.ceil(1.4 * size_nm / spacing).astype(int) + 2
    shift, turn = rng.uniform(-0.5, 0.5, 3), Rotation.random(rng=rng).as_matrix()
    grid = np.meshgrid(
        *[(np.arange(-n, n + 1) + s) * h for n, s, h in zip(half, shift, spacing, strict=True)], indexing="ij"
    )
    place = np.stack(grid, axis=-1) @ turn
    distance = np.linalg.norm(place, axis=-1) + 1e-9
    theta = np.arccos(np.clip(place[..., 0] / distance, -1, 1))
    return (distance <= size_nm * radius(theta, np.arctan2(place[..., 1], place[..., 2]))).astype(np.uint32)


def koch_solid(level, side):
    """Grow a cube on the middle of each face of a cube, `level` times, each a third as wide: its dimension is log 13 / log 3."""
    rim = side // 2 + 4
    solid = np.pad(np.ones((side,) * 3, bool), rim)
    for _ in range(level):
        third, first = side // 3, rim % side
        count = (len(solid) - first) // side
        inner = solid[(slice(first, first + count * side),) * 3]
        full = inner.reshape(count, side, count, side, count, side).mean(axis=(1, 3, 5))
        grown = solid.copy()
        for axis in range(3):
            for step in (1, -1):
                for cube in np.argwhere((full == 1) & (np.roll(full, -step, axis=axis) == 0)):
                    corner = first + cube * side + third
                    corner[axis] = first + cube[axis] * side + (side if step == 1 else -third)
                    grown[tuple(slice(c, c + third) for c in corner)] = True
        solid, side = grown, third
    return solid.astype(np.uint32)


def rough_ball(radius, exponent, height, seed):
    """Make a ball whose radius varies as a random field with increments that grow with distance to the power `exponent`."""
    rng = np.random.default_rng(seed)
    side = 1 << int(np.ceil(np.log2(3 * radius + 8)))
    frequency = np.sqrt(sum(np.meshgrid(*[np.fft.fftfreq(side) ** 2] * 3, indexing="ij")))
    frequency[0, 0, 0] = np.inf
    field = np.fft.ifftn(np.fft.fftn(rng.standard_normal((side,) * 3)) * frequency ** -(exponent + 1.5)).real
    place = np.indices((side,) * 3) - (side - 1) / 2
    distance = np.sqrt((place**2).sum(axis=0))
    waves = ndimage.map_coordinates(field, place / distance * radius + (side - 1) / 2, order=1)
    shell = np.abs(distance - radius) < 1
    waves = (waves - waves[shell].mean()) / waves[shell].std()
    pieces, _ = ndimage.label(distance <= radius * (1 + height * waves))
    return (pieces == np.argmax(np.bincount(pieces.ravel())[1:]) + 1).astype(np.uint32)
