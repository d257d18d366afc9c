"""Growth of what steps take with the size of the volume: exponents with their uncertainty, rates, fixed costs and limits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

Shape = tuple[int, int, int]
Figures = Mapping[str, Any]
"""One run, as `_pipeline_measurement` prints it."""

LARGEST_EXPONENT = 1.1
RELATIVE_NOISE, NOISE_S = 0.05, 0.1
"""Standard error of a measured time: 5 % and 0.1 s."""
SURE = 2.0
"""Standard errors by which an exponent must exceed the limit."""
LEAST_BYTES = 100_000.0
"""Noise of a number of bytes beside the relative one."""
MEMORY_NOISE_BYTES, MEMORY_NOISE = 32 * 2**20, 0.10
"""By which the peak may rise from the middle to the largest number of slices: these bytes, or this fraction if it is more."""


@dataclass(frozen=True)
class Exponent:
    """Exponent of the growth of a step's processor time in voxels, fixed costs left out.

    Attributes
    ----------
    value, error
        With its standard error; NaN where a step takes less than its noise.
    """

    value: float
    error: float

    @property
    def known(self) -> bool:
        """True if it is known within 0.25."""
        return self.error <= 0.25

    @property
    def exceeds(self) -> bool:
        """True if it is above the limit beyond its uncertainty."""
        return self.known and self.value - SURE * self.error > LARGEST_EXPONENT

    def __str__(self) -> str:
        return f"{self.value:.2f} ± {SURE * self.error:.2f}" if self.known else "too short to tell"


def voxels(shape: Shape) -> int:
    return math.prod(shape)


def growth_exponent(sizes: Sequence[int], seconds: Sequence[float], small: tuple[int, float]) -> Exponent:
    """Fit the exponent of time against voxels, both beyond those of a small run, whose time is the fixed cost.

    Parameters
    ----------
    small
        Voxels and seconds of the small run.
    """
    beyond = np.array(seconds) - small[1]
    if (beyond <= 0).any():
        return Exponent(math.nan, math.inf)
    errors = np.hypot(RELATIVE_NOISE * np.array(seconds), NOISE_S) / beyond
    x = np.log(np.array(sizes) - small[0])
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return Exponent(float(weights @ np.log(beyond)), float(np.sqrt((weights**2 * errors**2).sum())))


@dataclass(frozen=True)
class Cost:
    """Cost of a step: a fixed part, a part for each slice and a part for each voxel, all at least 0."""

    fixed: float
    per_slice: float
    per_voxel: float

    def of(self, shape: Shape) -> float:
        """Return what a volume of this shape takes."""
        return self.fixed + self.per_slice * shape[0] + self.per_voxel * voxels(shape)


def cost(runs: Mapping[Shape, Figures], step: str, figure: str) -> Cost:
    """Fit the parts of what a step takes, by least squares of relative errors.

    Registration, for one, compares slices at a limited resolution: its time follows the slices more than their area.
    """
    values = np.array([run["steps"][step][figure] for run in runs.values()], float)
    least = NOISE_S if figure.endswith("_s") else LEAST_BYTES
    weight = 1 / (RELATIVE_NOISE * values + least)
    matrix = np.array([(1.0, shape[0], voxels(shape)) for shape in runs])
    scale = matrix.max(axis=0)
    found, _ = nnls(matrix / scale * weight[:, None], values * weight)
    return Cost(*(found / scale).tolist())


def memory_grows(peaks: Sequence[int]) -> bool:
    """Return whether the peak at the largest number of slices is above that at the middle one by more than the noise."""
    return peaks[2] - peaks[1] > max(MEMORY_NOISE_BYTES, MEMORY_NOISE * peaks[1])


def problems(
    runs: Mapping[Shape, Figures], small: Shape, by_depth: Sequence[Shape], by_area: Sequence[Shape]
) -> list[str]:
    """List the steps whose time or memory grows beyond the limits."""
    found = []
    for step in runs[small]["steps"]:
        for what, series in (("slices", by_depth), ("area", by_area)):
            exponent = exponent_of(runs, small, series, step)
            if exponent.exceeds:
                found.append(
                    f"{step}: time grows with the {what} by an exponent of {exponent} (limit {LARGEST_EXPONENT})"
                )
        peaks = [runs[shape]["steps"][step]["peak_bytes"] for shape in by_depth]
        if memory_grows(peaks):
            mib = ", ".join(f"{peak / 2**20:.0f}" for peak in peaks)
            depths = ", ".join(str(shape[0]) for shape in by_depth)
            found.append(f"{step}: peak memory of {mib} MiB at {depths} slices")
    return found


def exponent_of(runs: Mapping[Shape, Figures], small: Shape, series: Sequence[Shape], step: str) -> Exponent:
    """Return the exponent of a step's processor time over some runs."""
    seconds = {shape: runs[shape]["steps"][step]["processor_s"] for shape in (small, *series)}
    return growth_exponent(
        [voxels(shape) for shape in series],
        [seconds[shape] for shape in series],
        (voxels(small), seconds[small]),
    )
