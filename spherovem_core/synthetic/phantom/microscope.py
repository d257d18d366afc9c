"""Errors that the microscope adds to each slice: misplacement, blur, drift of contrast and brightness, noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.synthetic.phantom.affine import about_centre, invert_affine
from spherovem_core.synthetic.phantom.detector import MID_GREY, Stored, expose, quantise
from spherovem_core.synthetic.phantom.microscope_parameters import MicroscopeParameters
from spherovem_core.synthetic.phantom.scenes.scene import Effect
from spherovem_core.synthetic.phantom.series import mixed_series, slow_series


@dataclass(frozen=True)
class Imaging:
    """Placement, contrast and brightness of each slice.

    Attributes
    ----------
    transforms : (Z, 2, 3) float64
        Map ideal pixel coordinates (y, x, 1) to those of the acquired slice.
    gains, offsets : (Z,) float64
        The acquired grey value is gain * ideal + offset.
    shading : (Z, 2) float64
        Relative change of brightness from the centre to the end of the y and x axes.
    """

    transforms: NDArray[np.float64]
    gains: NDArray[np.float64]
    offsets: NDArray[np.float64]
    shading: NDArray[np.float64]

    def margin(self, shape: tuple[int, int]) -> int:
        """Count the pixels around the ideal frame that slices of this shape can see."""
        corners = np.array([[y, x] for y in (0, shape[0] - 1) for x in (0, shape[1] - 1)], float)
        seen = np.stack([invert_affine(t) @ np.c_[corners, np.ones(4)].T for t in self.transforms])
        size = np.array(shape)[:, None] - 1
        beyond = max(float(np.max(-seen)), float(np.max(seen - size)), 0.0)
        return int(np.ceil(beyond)) + 8

    def acquire(
        self,
        ideal: NDArray[np.float32],
        z: int,
        margin: int,
        parameters: MicroscopeParameters,
        effects: tuple[Effect, ...],
    ) -> Stored:
        """Acquire slice z of a blurred image that has `margin` more pixels on every side than the slice.

        Cubic splines sample the image at the pixel positions of the slice.
        """
        shape = parameters.shape[1:]
        inverse = invert_affine(self.transforms[z])
        image = ndimage.affine_transform(
            ideal, inverse[:, :2], inverse[:, 2] + margin, output_shape=shape, order=3, mode="nearest"
        )
        y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
        shade = 1 + self.shading[z, 0] * y[:, None] + self.shading[z, 1] * x
        signal = np.maximum(image * shade * self.gains[z] + self.offsets[z], 0).astype(np.float32)
        for effect in effects:
            signal = effect.disturb(signal, z)
        signal = expose(signal, parameters, np.random.default_rng((parameters.seed, 0xDE7EC7, z)))
        for effect in effects:
            signal = effect.overlay(signal, z)
        return quantise(signal, parameters)


def blur(image: NDArray[np.float32], parameters: MicroscopeParameters) -> NDArray[np.float32]:
    """Blur a slice with the detector's Gaussian, isotropic in nm."""
    sigma = parameters.blur_nm / np.array(parameters.spacing_nm[1:])
    return ndimage.gaussian_filter(image, sigma, truncate=4.0)


def plan_imaging(parameters: MicroscopeParameters, effects: tuple[Effect, ...]) -> Imaging:
    """Draw the misplacement and the drifts of all slices."""
    generator = np.random.default_rng((parameters.seed, 0x1AA6E))
    count = parameters.shape[0]
    shifts = parameters.jitter_shift_px * generator.standard_normal((count, 2))
    shifts += parameters.drift_shift_px * slow_series(generator, count, 2)
    angles = np.deg2rad(parameters.jitter_rotation_deg) * generator.standard_normal(count)
    stretch = parameters.jitter_scale * generator.standard_normal((count, 2, 2))
    gains = np.exp(parameters.gain_drift * mixed_series(generator, count))
    offsets = parameters.offset_drift * mixed_series(generator, count)
    shading = parameters.shading * slow_series(generator, count, 2)
    transforms = np.stack(
        [about_centre(*p, parameters.shape[1:]) for p in zip(shifts, angles, stretch, strict=True)]
    )
    for effect in effects:
        transforms = effect.place_slices(transforms)
    # The detector's contrast and brightness act after the drift of the beam, about mid grey.
    offsets = parameters.contrast * offsets + MID_GREY * (1 - parameters.contrast) + parameters.brightness
    return Imaging(transforms, parameters.contrast * gains, offsets, shading)
