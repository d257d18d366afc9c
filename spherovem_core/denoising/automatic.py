"""The automatic denoiser: a network or a filter, whichever has the least error by the measured noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

from spherovem_core.blocks import ArrayLike
from spherovem_core.denoising.contrast import return_contrast
from spherovem_core.denoising.lost_objects import return_lost_objects
from spherovem_core.denoising.noise_measurement import MeasuredNoise
from spherovem_core.denoising.prediction import SliceDenoiser
from spherovem_core.denoising.recorruption import STRENGTH, recorrupt
from spherovem_core.denoising.slice_selection import read_middles, spread_slices

Method = Literal["r2r", "gaussian", "unchanged"]
# Widths in pixels of the Gaussian filters that compete with the network.
_WIDTHS = (0.5, 0.7, 1.0, 1.4)
# The methods are compared on the middles of this many slices.
_SLICES = 4
_LARGEST_SIDE = 512


class Choice(BaseModel):
    """The method that was chosen for an acquisition, and the errors that decided."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = Field(description="Network trained by R2R, Gaussian filter, or no filter at all.")
    width: float = Field(default=0.0, description="Width of the Gaussian filter in pixels.")
    errors: dict[str, float] = Field(
        description="Mean square error of each method in squared grey values of the source, estimated from the measured noise."
    )


@dataclass(frozen=True)
class AutomaticDenoiser:
    """A method; what it took from small objects is given back.

    Grey values beyond the range of the tissue, such as those of very bright particles in 16 bits, are cut off before the
    method is applied and added again after it: they are far above the noise, and a network has seen too few of them.

    Attributes
    ----------
    predict
        The trained network.
    noise
        Noise of the acquisition.
    method, width
        As in `Choice`.
    restore
        Whether small objects and their contrast are given back.
    """

    predict: SliceDenoiser
    noise: MeasuredNoise
    method: Method = "r2r"
    width: float = 0.0
    restore: bool = True

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Denoise a (Y, X) slice of any type; the result is in the same grey values, float32."""
        low, high = self.noise.tissue
        observed = values.astype(np.float32)
        extreme = bool(observed.min() < low or observed.max() > high)
        within = np.clip(observed, low, high) if extreme else observed
        denoised = self._apply(within)
        if self.restore and self.method != "unchanged":
            denoised = return_lost_objects(denoised, within, self.noise, self.predict.workers)
            denoised = return_contrast(denoised, within, self.noise, self.predict.workers)
        return denoised + (observed - within) if extreme else denoised

    def _apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.method == "r2r":
            return self.predict(values)
        if self.method == "gaussian":
            return np.asarray(ndimage.gaussian_filter(values, self.width), np.float32)
        return values.copy()


def choose_method(
    source: ArrayLike,
    predict: SliceDenoiser,
    noise: MeasuredNoise,
    slices: Sequence[int],
    restore: bool,
    seed: int,
) -> Choice:
    """Choose the method with the least mean square error, estimated without a truth.

    Each slice is recorrupted once, for all methods alike: the mean square distance of the denoised input to the target, less the
    variance of the target, is the error on the input. The slices should not be those of the training.

    Parameters
    ----------
    source : (Z, Y, X) array-like
        The acquisition.
    predict
        Network trained by R2R.
    noise
        Noise of the acquisition.
    slices
        Slices to compare the methods on; four of them are read.
    restore
        Whether small objects and their contrast are given back.
    seed
        Seed of the noise.
    """
    louder = noise.scaled(1 + STRENGTH**2)
    methods: dict[str, AutomaticDenoiser] = {"r2r": AutomaticDenoiser(predict, louder, "r2r", 0.0, restore)}
    for width in _WIDTHS:
        methods[f"gaussian {width:g}"] = AutomaticDenoiser(predict, louder, "gaussian", width, restore)
    methods["unchanged"] = AutomaticDenoiser(predict, louder, "unchanged")
    few = [slices[i] for i in spread_slices(len(slices), _SLICES)]
    found: dict[str, list[float]] = {name: [] for name in methods}
    for z, values in read_middles(source, few, _LARGEST_SIDE):
        within = np.clip(values.astype(np.float32), *noise.tissue)
        noisier, target = recorrupt(within, noise, np.random.default_rng([seed, z]))
        variance = float(noise.variance.variance(within).mean(dtype=np.float64)) * (1 + STRENGTH**-2)
        for name, method in methods.items():
            distance = np.mean(np.square(method(noisier) - target), dtype=np.float64)
            found[name].append(float(distance) - variance)
    errors = {name: float(np.mean(each)) for name, each in found.items()}
    best = methods[min(errors, key=lambda name: errors[name])]
    return Choice(method=best.method, width=best.width, errors=errors)
