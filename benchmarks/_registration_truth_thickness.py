"""Part `thickness`: relative thickness of slices that are cut unevenly, measured by the stage's own pass over the placed slices.

Textures of this benchmark are cut at planes that vary by 20 %. Real slices (neuropil, isotropic) are taken at every third or
fifth plane, give or take one, along the two axes in which the planes are truly even. `register_stack` runs with default
parameters. Shown: root mean square error of the relative thickness, of all slices and of those whose stated uncertainty is
below 20 %, largest error, slope of found on planted, and coverage of the stated uncertainty. Both are relative to their
slow trend.

Then `resample_z`: error of the distances between slices over 1, 3 and 8 slices, in steps and against the planted ones with all
their slow change, at even steps and as placed; and of the volume, centre and sphericity of balls that are cut at the true places
and shown at the stated ones. Slices as placed must not be worse than even ones in any of these, and even slices must not move.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from _depth_textures import DepthTexture, acquire, jitter
from _uneven_balls import Balls
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.errors import RegistrationError
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registered_slices import RegisteredSlices
from spherovem_core.registration import Alignment, register_stack
from spherovem_core.registration.thickness import relative_to_trend
from spherovem_core.synthetic.phantom import make_phantom

LIMIT = 0.05
SPANS = (1, 3, 8)
WORSE = 1.02
"""Ratio of the error as placed to that of even steps from which places count as worse: balls have voxels."""
REAL = Path(__file__).parents[2] / "shared" / "data" / "fibsem_drosophila" / "slices"

Slices = NDArray[np.generic]
Made = tuple[Slices, NDArray[np.float64]]


@dataclass(frozen=True)
class Case:
    """Slices and their true distances, by seed."""

    name: str
    make: Callable[[int], Made]


def run(quick: bool, seeds: list[int]) -> int:
    """Print the cases; return the number beyond the limit."""
    lines, places = [], []
    for case in _cases(quick):
        for seed in seeds:
            slices, distances = case.make(seed)
            parameters = RegistrationParameters(resample_z=True)
            try:
                alignment = register_stack(slices, parameters, Execution(device="cpu"))
            except RegistrationError as error:
                lines.append((np.inf, f"{case.name}, seed {seed}: {error}"))
                continue
            lines.append(_score(f"{case.name}, seed {seed}", alignment, distances))
            places.append(_score_places(f"{case.name}, seed {seed}", alignment, distances, seed))
    lines.sort()
    places.sort()
    for _, text in [*lines, *places]:
        print(text)
    return sum(error > LIMIT for error, _ in lines) + sum(ratio > WORSE for ratio, _ in places)


def _score_places(
    name: str, alignment: Alignment, distances: NDArray[np.float64], seed: int
) -> tuple[float, str]:
    """Compare places by thickness with even ones; the first value is the largest ratio of their errors."""
    true = np.concatenate([[0.0], np.cumsum(distances / distances.mean())])
    count = len(true)
    even, placed = RegisteredSlices.even(count), alignment.slices
    moved = float(np.abs(placed.places - even.places).max())
    if alignment.placed is not None and alignment.placed.reason:
        return (0.0, f"{name}: even steps kept, {alignment.placed.reason}")
    if np.allclose(true, even.places):
        return (np.inf, f"{name}: even slices moved by up to {moved:.2f} steps")
    balls = Balls(count, seed)
    before, after = balls.errors(true, even), balls.errors(true, placed)
    spans = [(_span_error(even.places, true, n), _span_error(placed.places, true, n)) for n in SPANS]
    ratios = [b / a for a, b in spans] + [getattr(after, n) / getattr(before, n) for n in vars(before)]
    over = "; ".join(f"{n}: {a:.2f} to {b:.2f}" for n, (a, b) in zip(SPANS, spans, strict=True))
    return max(ratios), (
        f"{name}: error of distances over {over} steps; balls before: {before.text()}; after: {after.text()}; "
        f"moved by up to {moved:.2f} steps"
    )


def _span_error(places: NDArray[np.float64], true: NDArray[np.float64], span: int) -> float:
    error = (places[span:] - places[:-span]) - (true[span:] - true[:-span])
    return float(np.sqrt(np.mean(error**2)))


def _score(name: str, alignment: Alignment, distances: NDArray[np.float64]) -> tuple[float, str]:
    table = alignment.table
    found = table["thickness_relative"].to_numpy()[1:]
    uncertainty = table["thickness_uncertainty"].to_numpy()[1:]
    true = relative_to_trend(distances)
    error = found - true
    rms = float(np.sqrt(np.mean(error**2)))
    sure = uncertainty < 0.2
    known = float(np.sqrt(np.mean(error[sure] ** 2))) if sure.any() else np.nan
    slope = np.polyfit(true - 1, found - 1, 1)[0] if true.std() > 0.02 else np.nan
    covered = np.mean(np.abs(error) < 1.96 * uncertainty)
    return rms, (
        f"{name}: planted {true.std():.1%}, error {rms:.1%} rms (limit {LIMIT:.0%}), {known:.1%} for the {sure.mean():.0%} that "
        f"are sure, {np.abs(error).max():.0%} at most, slope {slope:.2f}, uncertainty {np.median(uncertainty):.1%}, "
        f"covered {covered:.0%}"
    )


def _cases(quick: bool) -> list[Case]:
    side, count = (256, 30) if quick else (512, 60)
    cases = [
        Case(
            f"texture, step {step:g} px, noise {name}",
            lambda s, a=step, n=noise: _texture(s, a, n, side, count),
        )  # type: ignore[misc]
        for step in (2.0, 4.0)
        for name, noise in (("5", (5.0, 5.0)), ("20", (20.0, 20.0)), ("5 to 25", (5.0, 25.0)))
        if not (quick and name == "20")
    ]
    cases.append(
        Case("texture, even, step 3 px, noise 10", lambda s: _texture(s, 3.0, (10.0, 10.0), side, count, 0.0))
    )
    cases.append(
        Case("texture, step 3 px, bad slices", lambda s: _bad(_texture(s, 3.0, (10.0, 10.0), side, count), s))
    )
    cases.append(Case("phantom, uneven slices", lambda s: _phantom(s, side, count)))
    if REAL.is_dir():
        volume = np.stack([tifffile.imread(path) for path in sorted(REAL.glob("*.tif*"))])
        for axis in (1, 2):
            for step in (3, 5):
                for noise in ((0.0, 0.0), (5.0, 20.0))[1 if quick else 0 :]:
                    cases.append(
                        Case(
                            f"neuropil along axis {axis}, every {step} planes, noise {noise[0]:g} to {noise[1]:g}",
                            lambda s, a=axis, d=step, n=noise: _neuropil(volume, s, a, d, n),  # type: ignore[misc]
                        )
                    )
    return cases


def _texture(
    seed: int, step: float, noise: tuple[float, float], side: int, count: int, spread: float = 0.2
) -> Made:
    rng = np.random.default_rng(seed)
    distances = step * np.clip(1.0 + spread * rng.standard_normal(count - 1), 0.4, 1.8)
    depths = np.concatenate([[0.0], np.cumsum(distances)])
    shape = (side, side + 16)
    texture = DepthTexture((int(depths[-1]) + 40, side + 48, side + 64), seed)
    deviations = rng.uniform(*noise, count)
    return acquire(
        texture, depths.tolist(), jitter(count, shape, 3.0, seed), shape, deviations.tolist(), seed
    ), distances


def _bad(made: Made, seed: int) -> Made:
    """Blur a slice and blank another one."""
    slices, rng = np.array(made[0]), np.random.default_rng(seed)
    blurred, blank = rng.choice(np.arange(4, len(slices) - 4), 2, replace=False)
    slices[blurred] = ndimage.gaussian_filter(slices[blurred], 2.0)
    slices[blank] = 128
    return slices, made[1]


def _phantom(seed: int, side: int, count: int) -> Made:
    phantom = make_phantom(shape=(count, side, side), seed=seed, slice_distance_cv=0.2)
    return np.asarray(phantom.image), np.diff(phantom.slice_positions_nm)


def _neuropil(volume: NDArray[np.uint8], seed: int, axis: int, step: int, noise: tuple[float, float]) -> Made:
    rng = np.random.default_rng(seed)
    turned = np.moveaxis(volume, axis, 0)
    planes = [int(rng.integers(0, step))]
    while planes[-1] + step + 1 < len(turned):
        planes.append(planes[-1] + int(rng.choice([step - 1, step, step + 1])))
    slices = turned[planes].astype(np.float32)
    for image in slices:
        image += rng.normal(0.0, rng.uniform(*noise), image.shape)
    return np.clip(np.rint(slices), 0, 255).astype(np.uint8), np.diff(planes).astype(np.float64)
