"""Scenes fixed to the frame of the acquired slice: curtains and a databar."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from spherovem_core.synthetic.phantom.basics import Basics
from spherovem_core.synthetic.phantom.scenes.scene import Effect, Scene

# Widths in pixels of the ridges that the ion beam leaves.
_RIDGES_PX = (1.0, 4.0, 16.0)
_BAR_BLACK, _BAR_WHITE = 12.0, 240.0


class FrameParameters(Basics):
    """Parameters of what stays in the frame while the specimen moves."""

    curtain_strength: float = Field(
        default=0.0, ge=0, le=0.5, description="Relative standard deviation of brightness between curtains."
    )
    databar_px: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Height in pixels of the databar at the lower end of each slice.",
    )


SCENES = (
    Scene(
        "curtains",
        "Curtains of the ion beam run along y and stay at their place in the frame.",
        {"curtain_strength": 0.06},
    ),
    Scene(
        "databar",
        "A databar with its lettering covers the lower end of each slice.",
        {"databar_px": 24},
    ),
)


class Frame(Effect):
    """Curtains and databar."""

    def __init__(self, parameters: FrameParameters) -> None:
        self.parameters = parameters

    def disturb(self, signal: NDArray[np.float32], z: int) -> NDArray[np.float32]:
        """Multiply each column with its curtain; three quarters of it are the same in all slices."""
        strength = self.parameters.curtain_strength
        if strength == 0:
            return signal
        columns = signal.shape[1]
        fixed, own = (self._ridges(columns, number) for number in (0, z + 1))
        curtain = np.sqrt(0.75) * fixed + np.sqrt(0.25) * own
        return np.asarray(signal * (1 + strength * curtain), np.float32)

    def unusable(self, shape: tuple[int, int], z: int) -> NDArray[np.bool_] | None:
        """Return the pixels of the databar."""
        if self.parameters.databar_px == 0:
            return None
        hidden = np.zeros(shape, bool)
        hidden[-self.parameters.databar_px :] = True
        return hidden

    def overlay(self, image: NDArray[np.float32], z: int) -> NDArray[np.float32]:
        """Draw the databar: black, with a white line above and the same blocks of white in all slices."""
        height = min(self.parameters.databar_px, len(image))
        if height == 0:
            return image
        bar = np.full((height, image.shape[1]), _BAR_BLACK, np.float32)
        bar[0] = _BAR_WHITE
        generator = np.random.default_rng((self.parameters.seed, 0xBA2))
        row = slice(height // 3, max(height // 3 + 1, 2 * height // 3))
        for start in range(4, image.shape[1] - 4, max(height // 3, 3)):
            if generator.random() < 0.6:
                bar[row, start : start + max(height // 5, 2)] = _BAR_WHITE
        covered = image.copy()
        covered[-height:] = bar
        return covered

    def _ridges(self, columns: int, number: int) -> NDArray[np.float64]:
        """Draw a profile of unit variance across the columns."""
        generator = np.random.default_rng((self.parameters.seed, 0xC427, number))
        profile = np.zeros(columns)
        for width in _RIDGES_PX:
            rough = ndimage.gaussian_filter1d(generator.standard_normal(columns), width, mode="wrap")
            profile += rough * np.sqrt(2 * np.sqrt(np.pi) * width / len(_RIDGES_PX))
        return profile
