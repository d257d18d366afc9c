"""Evidence for balls: the squares that one can explain, and whether they can be particles of the component."""

import math
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.nanoparticles.ball_fitting import BallScene
from spherovem_core.nanoparticles.ball_images import draw_balls

# Centres are at least this fraction of the sum of the radii apart.
_MIN_DISTANCE = 0.7


def ball_energy(scene: BallScene, radius: float) -> float:
    """Sum the squares of a ball's image, which is all that the ball can explain."""
    # The energy of a radius that differs by 1 % differs by 3 %: few radii are drawn.
    rounded = math.exp(round(100 * math.log(radius)) / 100)
    return _ball_energy(rounded, tuple(scene.spacing), scene.sigma, scene.depth)


@lru_cache(maxsize=1024)
def _ball_energy(radius: float, spacing: tuple[float, ...], sigma: float, depth: float) -> float:
    step = np.array(spacing)
    half = np.ceil((radius + 2.5 * sigma) / step) + 1
    centre = np.append((half + 0.25) * step, radius)
    shape = tuple(int(2 * n) + 2 for n in half)
    return float((draw_balls(centre[None], shape, step, sigma, depth_nm=depth) ** 2).sum())


def admissible(scene: BallScene, balls: NDArray[np.float64]) -> bool:
    """Return whether the balls hardly overlap, and their centres lie in the component or at its rim.

    Further out, balls explain the noise of a few voxels.
    """
    return bool(_admissible(balls, scene.spacing, scene.weight, scene.centre_limits))


@njit(cache=True, nogil=True)
def _admissible(balls, spacing, weight, limits):  # type: ignore[no-untyped-def]
    place = np.empty(3, np.int64)
    for n in range(len(balls)):
        for m in range(n):
            apart = 0.0
            for a in range(3):
                apart += (balls[n, a] - balls[m, a]) ** 2
            if math.sqrt(apart) < _MIN_DISTANCE * (balls[n, 3] + balls[m, 3]):
                return False
        for a in range(3):
            place[a] = min(max(int(np.rint(balls[n, a] / spacing[a])), limits[a, 0]), limits[a, 1])
        if weight[place[0], place[1], place[2]] <= 0.0:
            return False
    return True
