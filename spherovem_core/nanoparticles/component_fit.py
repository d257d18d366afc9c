"""Particles of one component: how many balls, or one ellipsoid, explain its image."""

import math
from dataclasses import dataclass, replace

import edt
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.nanoparticles.ball_evidence import admissible, ball_energy
from spherovem_core.nanoparticles.ball_fitting import BallFit, BallScene, fit_balls, spread_balls
from spherovem_core.nanoparticles.ball_search import next_ball
from spherovem_core.nanoparticles.ellipsoid_fit import fit_ellipsoid
from spherovem_core.spacing import SpacingNm

# A component with more voxels in its bounding box stays whole: its fit would not fit in memory.
MAX_BOX_VOXELS = 32_000_000
# A component of more particles stays whole: it is no clump, and its fit would take minutes.
MAX_PARTICLES = 300
# A further ball must lower the squared residual by this fraction of the squares of its own image. A ball that is there lowers
# it by 0.3 and more (160 nm at 120 x 40 x 40 nm), a ball that is not there by less than 0.1 (ellipsoids of 1.5 : 1).
_MIN_GAIN = 0.15
# ... and by this many mean squared residuals: the best place among thousands for a small ball explains 20 of pure noise.
_NOISE_GAIN = 40.0
# The residual may fall only with the ball after the next: two, three and four balls explain an octahedron hardly better than
# one. More balls are tried where those found leave more than this fraction of their volume.
_LOOK_AHEAD, _LOOK_FAR = 2, 6
_UNEXPLAINED = 0.2
# One ball that leaves less than this fraction of its squares is the particle: no other is tried.
_EXPLAINED = 0.08
# A single particle is no longer than this, or the second number where an ellipsoid leaves less residual than the balls:
# noise lengthens an ellipsoid of 1.5 : 1 to 2.1, and two touching balls have 2.5 and more.
_MAX_ELONGATION, _LONGEST = 1.9, 2.5
# Balls that are not there are not fitted: radii lie between these fractions of that of the largest ball inside the mask.
_RADIUS_RANGE = (0.4, 1.15)
_SMALLEST_PX, _MASK_ERROR_PX = 1.4, 0.75
_SMALLER = (0.75, 0.55)
# Tolerance of known diameters. Two balls of 1.14 times the diameter have the volume of three.
_DIAMETER_TOLERANCE = 0.05
# Where the known diameters differ by less than this factor, a ball that is not there has no room: little is asked of another.
_NARROW, _MIN_GAIN_NARROW, _NOISE_GAIN_NARROW = 1.6, 0.01, 7.0
# Brightness of particles relative to the mean one. Two balls that are 20 % brighter pass for three, one above the other.
_BRIGHTNESS, _BRIGHTNESS_NARROW = (0.75, 1.33), (0.92, 1.08)
# Blur where it is not measured, in pixels.
_BLUR_PX = 0.7
# Images are averaged until a ball's radius is less than twice this many voxels.
_RADIUS_VOXELS = 4.0
# Volume of a body, relative to that of the largest particle, from which it is no single one.
_TOO_LARGE = 1.2
# All balls move with each new one up to this number, then only those beside it.
_ALL_MOVE = 12


@dataclass(frozen=True)
class ComponentFit:
    """Particles of a component.

    Attributes
    ----------
    centres_nm : (N, 3) ndarray of float64
        Centre z, y, x of each particle; the centre of the first voxel of the box is at 0.
    diameters_nm : (N,) ndarray of float64
        Diameters; that of a single particle is the one of the ball of its volume.
    note
        Why the component was kept whole without a fit; empty if it was fitted.
    """

    centres_nm: NDArray[np.float64]
    diameters_nm: NDArray[np.float64]
    note: str = ""

    def __len__(self) -> int:
        return len(self.diameters_nm)


def fit_component(
    mask: NDArray[np.bool_],
    intensity: NDArray[np.float32] | None,
    spacing_nm: SpacingNm,
    diameter_nm: tuple[float, float] | None = None,
    blur_nm: float | None = None,
    *,
    depth_nm: float | None = None,
) -> ComponentFit:
    """Find the particles of a component: one ball after the other is added while it explains the image better.

    1. A ball is blurred in the plane and averaged over the thickness of the slices, as the microscope does, so that balls
       are told apart where the slices hide the neck between them.
    2. The next ball is the one that lowers the squared residual most; then all are fitted together.
    3. Another ball is taken if the residual falls by 15 % of the squares of its image and by more than noise explains. Where
       the diameters are known within a factor 1.6, by 1 %, but unusual diameters count as residual.
    4. Several balls are taken only if they explain the image better than one ellipsoid does.

    Parameters
    ----------
    mask : (Z, Y, X) ndarray of bool
        Mask of the component in its bounding box, with a rim of one voxel where the volume has it.
    intensity : (Z, Y, X) ndarray of float32, optional
        Image on the scale 0 = surroundings, 1 = inside a particle. Without it, the mask takes its place.
    spacing_nm
        Voxel size (dz, dy, dx).
    diameter_nm
        Smallest and largest diameter of a single particle, where they are known or evident. Without it, radii lie between 0.4
        and 1.15 times that of the largest ball inside the mask.
    blur_nm
        Standard deviation of the blur in the plane; 0.7 pixels if it is not given.
    depth_nm
        Depth from which the signal of a slice comes; by default the distance of the slices, 0 for slices that show planes.

    Returns
    -------
    ComponentFit
        One particle, with a note, if the box has more than `MAX_BOX_VOXELS` voxels or if there is room for more than
        `MAX_PARTICLES`.
    """
    volume = float(mask.sum() * np.prod(spacing_nm))
    single = ComponentFit(np.zeros((1, 3)), np.array([np.cbrt(6 / np.pi * volume)]))
    if mask.size > MAX_BOX_VOXELS:
        note = f"its box of {mask.size} voxels is larger than {MAX_BOX_VOXELS}"
        return ComponentFit(single.centres_nm, single.diameters_nm, note)
    radii = _radii(mask, spacing_nm, diameter_nm)
    if volume > MAX_PARTICLES * 4 / 3 * np.pi * radii[1] ** 3:
        note = f"it has room for more than {MAX_PARTICLES} particles of {2 * radii[1]:.0f} nm"
        return ComponentFit(single.centres_nm, single.diameters_nm, note)
    narrow = diameter_nm is not None and radii[1] < _NARROW * radii[0]
    scene, origin = _scene(mask, intensity, spacing_nm, radii, (blur_nm, depth_nm), narrow)
    fit = _choose(scene)
    if diameter_nm is None and len(fit.balls) == 1 and _look_ahead(scene, fit) == _LOOK_FAR:
        fit = _choose_smaller(scene, fit)
    # A body with the volume of more than the largest particle is none; the ellipsoid need not be fitted.
    too_large = diameter_nm is not None and volume > _TOO_LARGE * 4 / 3 * np.pi * radii[1] ** 3
    if len(fit.balls) > 1 and not too_large and _is_ellipsoid(scene, fit, diameter_nm):
        return single
    return ComponentFit(fit.balls[:, :3] + origin, 2 * fit.balls[:, 3]) if len(fit.balls) > 1 else single


def _radii(
    mask: NDArray[np.bool_], spacing_nm: SpacingNm, diameter_nm: tuple[float, float] | None
) -> tuple[float, float]:
    if diameter_nm is not None:
        low, high = diameter_nm
        return 0.5 * low * (1 - _DIAMETER_TOLERANCE), 0.5 * high * (1 + _DIAMETER_TOLERANCE)
    inside = float(edt.edt(np.pad(mask, 1), anisotropy=spacing_nm, black_border=True).max())
    low, high = (inside * fraction for fraction in _RADIUS_RANGE)
    # The mask of a small ball is up to a pixel too small.
    return max(low, _SMALLEST_PX * spacing_nm[1]), high + _MASK_ERROR_PX * spacing_nm[1]


def _scene(
    mask: NDArray[np.bool_],
    intensity: NDArray[np.float32] | None,
    spacing_nm: SpacingNm,
    radii: tuple[float, float],
    optics_nm: tuple[float | None, float | None],
    narrow: bool,
) -> tuple[BallScene, NDArray[np.float64]]:
    """Build the scene, at a voxel size that suits the balls, and return where its first voxel's centre lies in nm."""
    image = mask.astype(np.float64) if intensity is None else np.clip(intensity, -0.5, 1.5).astype(np.float64)
    # Outside the box the mask is known, the image is not.
    seen = np.pad(np.ones(mask.shape), 1, constant_values=1.0 if intensity is None else 0.0)
    image, padded = np.pad(image, 1), np.pad(mask, 1)
    step = np.array(spacing_nm)
    size = np.maximum(1, np.floor(math.sqrt(radii[0] * radii[1]) / (_RADIUS_VOXELS * step))).astype(int)
    seen, image, share = (_averaged(a, size) for a in (seen, image * seen, padded.astype(np.float64)))
    image = image / np.maximum(seen, 1e-9)
    inside = share >= 0.5 if (share >= 0.5).any() else share == share.max()
    weight = seen * ndimage.binary_dilation(inside, np.ones((3, 3, 3), np.bool_))
    blur_nm, depth_nm = optics_nm
    sigma = _BLUR_PX * spacing_nm[1] if blur_nm is None else max(blur_nm, 0.3 * spacing_nm[1])
    sigma = math.hypot(sigma, size[1] * spacing_nm[1] / math.sqrt(12))
    spacing = step * size
    # Averaged slices that show planes show the depth from the first to the last of them.
    depth = math.hypot(math.sqrt(size[0] ** 2 - 1) * step[0], step[0] if depth_nm is None else depth_nm)
    prior = (0.5 * (radii[0] + radii[1]), 0.25 * (radii[1] - radii[0]) if narrow else math.inf)
    brightness = _BRIGHTNESS_NARROW if narrow else _BRIGHTNESS
    scene = BallScene(image, weight, inside, spacing, sigma, depth, radii, brightness, prior)
    return scene, ((size - 1) / 2 - 1) * step


def _averaged(values: NDArray[np.float64], size: NDArray[np.int64]) -> NDArray[np.float64]:
    """Average over boxes; the last ones are filled with zeros."""
    fill = [(0, int(-n % s)) for n, s in zip(values.shape, size, strict=True)]
    values = np.pad(values, fill)
    shape = [n for pair in zip(np.array(values.shape) // size, size, strict=True) for n in pair]
    return np.asarray(values.reshape(shape).mean(axis=(1, 3, 5)))


def _choose(scene: BallScene) -> BallFit:
    fit = BallFit(np.empty((0, 4)), math.inf, 1.0, 0.01)
    best = fit
    while len(fit.balls) < MAX_PARTICLES:
        fit = _with_ball(scene, fit)
        if len(best.balls) == 0 or (
            admissible(scene, fit.balls)
            and _explains_better(scene, fit, best.error + _surprise(scene, best), len(best.balls))
        ):
            best = fit
            if len(fit.balls) == 1 and fit.error < _EXPLAINED * ball_energy(scene, fit.balls[0, 3]):
                break
        elif len(fit.balls) >= len(best.balls) + _look_ahead(scene, best):
            break
    if len(best.balls) > _ALL_MOVE:
        best = fit_balls(scene, best.balls, best.brightness, best.noise)
    return best


def _choose_smaller(scene: BallScene, one: BallFit) -> BallFit:
    """Try smaller balls, where one ball explains little: in a dense clump, the largest ball inside the mask is no particle."""
    for fraction in _SMALLER:
        radii = scene.radii[0], max(scene.radii[0], fraction * scene.radii[1])
        fit = _choose(replace(scene, radii=radii))
        if len(fit.balls) > 1 and _explains_better(scene, fit, one.error, 1):
            return fit
    return one


def _look_ahead(scene: BallScene, fit: BallFit) -> int:
    volume = float((4 / 3 * np.pi * fit.balls[:, 3] ** 3).sum() / scene.spacing.prod())
    return _LOOK_FAR if fit.error > _UNEXPLAINED * volume else _LOOK_AHEAD


def _with_ball(scene: BallScene, fit: BallFit) -> BallFit:
    new = next_ball(scene, fit)
    balls = np.concatenate([fit.balls, new[None]])
    moving = None
    if len(balls) > _ALL_MOVE:
        apart = np.linalg.norm(balls[:, :3] - new[:3], axis=1)
        moving = np.flatnonzero(apart < 1.3 * (balls[:, 3] + new[3]))
    moved = fit_balls(scene, balls, fit.brightness, fit.noise, moving)
    if moving is not None or len(balls) == 1:
        return moved
    spread = fit_balls(scene, spread_balls(scene, moved.balls), moved.brightness, moved.noise)
    return min(
        moved, spread, key=lambda one: (not admissible(scene, one.balls), one.error + _surprise(scene, one))
    )


def _explains_better(scene: BallScene, fit: BallFit, error: float, count: int) -> bool:
    """Tell if the balls beyond `count`, taken for the smallest ones, are worth it."""
    more = len(fit.balls) - count
    energy = sum(ball_energy(scene, radius) for radius in np.sort(fit.balls[:, 3])[:more])
    narrow = math.isfinite(scene.radius_prior[1])
    by_energy, by_noise = (_MIN_GAIN_NARROW, _NOISE_GAIN_NARROW) if narrow else (_MIN_GAIN, _NOISE_GAIN)
    least = max(by_energy * energy, by_noise * fit.noise * more)
    return bool(error - fit.error - _surprise(scene, fit) > least)


def _surprise(scene: BallScene, fit: BallFit) -> float:
    """Weigh how unusual the radii are, in squared residuals."""
    usual, deviation = scene.radius_prior
    return fit.noise * float((((fit.balls[:, 3] - usual) / deviation) ** 2).sum())


def _is_ellipsoid(scene: BallScene, fit: BallFit, diameter_nm: tuple[float, float] | None) -> bool:
    one = fit_ellipsoid(scene)
    if one.elongation > (_LONGEST if one.error < fit.error else _MAX_ELONGATION):
        return False
    if diameter_nm is not None and one.diameter > diameter_nm[1] * (1 + _DIAMETER_TOLERANCE):
        return False
    return not _explains_better(scene, fit, one.error, 1)
