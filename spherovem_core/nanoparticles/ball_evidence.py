"""Evidence for balls: the squares that one can explain, and whether they can be particles of the component."""

import math
from functools import lru_cache

import numpy as np
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
    """Return whether the balls hardly overlap and lie in the component."""
    apart = np.linalg.norm(balls[:, None, :3] - balls[None, :, :3], axis=2)
    sums = balls[:, None, 3] + balls[None, :, 3]
    return bool((apart + 2 * sums * np.eye(len(balls)) >= _MIN_DISTANCE * sums).all()) and _lie_in(
        scene, balls
    )


def _lie_in(scene: BallScene, balls: NDArray[np.float64]) -> bool:
    """Return whether the centres lie in the component or at its rim: further out, balls explain the noise of a few voxels."""
    looked = scene.weight > 0
    places = np.rint(balls[:, :3] / scene.spacing).astype(np.int64)
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        seen, filled = np.flatnonzero(looked.any(axis=others)), np.atleast_1d(scene.inside.any(axis=others))
        # A particle that the border of the volume cuts can have its centre beyond it.
        low = seen[0] if filled[seen[0]] else 0
        high = seen[-1] if filled[seen[-1]] else looked.shape[axis] - 1
        places[:, axis] = np.clip(places[:, axis], low, high)
    return bool(looked[tuple(places.T)].all())
