"""Scenes of drifting optics: focus, contrast and brightness, shading."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from spherovem_core.synthetic.phantom.basics import Basics
from spherovem_core.synthetic.phantom.scenes.scene import Effect, Scene
from spherovem_core.synthetic.phantom.series import slow_series


class OpticsParameters(Basics):
    """Parameters of the focus."""

    focus_drift_nm: float = Field(
        default=0.0,
        ge=0,
        le=2000,
        description="Root mean square over slices of the additional blur in nm, as the focus drifts.",
    )


SCENES = (
    Scene("focus-drift", "The focus drifts: some slices are blurred.", {"focus_drift_nm": 40.0}),
    Scene(
        "contrast-drift",
        "Contrast and brightness differ widely between slices.",
        {"gain_drift": 0.12, "offset_drift": 10.0},
    ),
    Scene("shading", "Brightness changes across each slice.", {"shading": 0.12}),
)


class Optics(Effect):
    """Blur of slices out of focus."""

    def __init__(self, parameters: OpticsParameters) -> None:
        self.parameters = parameters

    def defocus_nm(self) -> NDArray[np.float64]:
        """Return the standard deviation in nm of the blur of each slice, of random sign."""
        generator = np.random.default_rng((self.parameters.seed, 0xF0C5))
        return np.asarray(
            self.parameters.focus_drift_nm * slow_series(generator, self.parameters.shape[0], 1)[:, 0]
        )

    def disturb(self, signal: NDArray[np.float32], z: int) -> NDArray[np.float32]:
        """Blur the slice."""
        if self.parameters.focus_drift_nm == 0:
            return signal
        sigma = abs(self.defocus_nm()[z]) / np.array(self.parameters.spacing_nm[1:])
        return np.asarray(ndimage.gaussian_filter(signal, sigma))
