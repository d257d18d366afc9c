"""Scenes of a specimen that charges in the beam: streaks along the scan lines, and halos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spherovem_core.synthetic.phantom.basics import Basics
from spherovem_core.synthetic.phantom.scenes.scene import Effect, Scene

# Grey levels of charging from which a pixel shows no specimen.
_UNUSABLE_GREY = 25.0


class ChargingParameters(Basics):
    """Parameters of charging."""

    streaks_per_slice: float = Field(
        default=0.0, ge=0, le=200, description="Mean number of bright charging streaks in a slice."
    )
    streak_length_um: tuple[float, float] = Field(
        default=(1.0, 5.0), description="Shortest and longest streak in µm; they run along x."
    )
    streak_width_px: tuple[float, float] = Field(
        default=(1.0, 4.0), description="Thinnest and thickest streak in pixels."
    )
    streak_grey: float = Field(
        default=90.0, ge=-255, le=255, description="Grey values that a streak adds at its start."
    )
    halos_per_slice: float = Field(
        default=0.0, ge=0, le=50, description="Mean number of halos in a slice; one lasts for a few slices."
    )
    halo_diameter_um: float = Field(
        default=3.0, ge=0.05, le=100, description="Diameter in µm of a halo at half its brightness."
    )
    halo_grey: float = Field(
        default=70.0, ge=-255, le=255, description="Grey values that a halo adds at its centre."
    )


SCENES = (
    Scene(
        "streaks",
        "Bright charging streaks of a few micrometres run along the scan lines of single slices.",
        {"streaks_per_slice": 1.0},
    ),
    Scene(
        "halos",
        "Halos of charge brighten round areas for a few slices.",
        {"halos_per_slice": 2.0},
    ),
)

_HALO_SLICES = 4


class Charging(Effect):
    """Streaks and halos, in the frame of the slice."""

    def __init__(self, parameters: ChargingParameters) -> None:
        self.parameters = parameters

    def disturb(self, signal: NDArray[np.float32], z: int) -> NDArray[np.float32]:
        """Add the charge of a slice."""
        added = self._charge(signal.shape, z)
        return signal if added is None else signal + added

    def unusable(self, shape: tuple[int, int], z: int) -> NDArray[np.bool_] | None:
        """Return the pixels that charging changes strongly."""
        added = self._charge(shape, z)
        return None if added is None else np.abs(added) > _UNUSABLE_GREY

    def _charge(self, shape: tuple[int, ...], z: int) -> NDArray[np.float32] | None:
        parameters = self.parameters
        if parameters.streaks_per_slice == 0 and parameters.halos_per_slice == 0:
            return None
        added = np.zeros(shape, np.float32)
        self._add_streaks(added, z)
        for start in range(z - _HALO_SLICES + 1, z + 1):
            self._add_halos(added, start)
        return added

    def _add_streaks(self, added: NDArray[np.float32], z: int) -> None:
        """Add streaks that start sharply and fade; their rim is a pixel wide."""
        parameters = self.parameters
        generator = np.random.default_rng((parameters.seed, 0x57E4, z))
        rows, columns = (np.arange(n, dtype=np.float32) for n in added.shape)
        low, high = parameters.streak_length_um
        for _ in range(generator.poisson(parameters.streaks_per_slice)):
            y, x = generator.uniform(0, added.shape)
            length = low * (high / low) ** generator.uniform() * 1000 / parameters.spacing_nm[2]
            width = generator.uniform(*parameters.streak_width_px)
            strength = parameters.streak_grey * generator.uniform(0.7, 1.2)
            across = np.clip(width / 2 + 0.5 - np.abs(rows - y), 0, 1)
            along = (columns - x) / length
            fading = np.where((along >= 0) & (along < 1), 1 - 0.6 * along, 0)
            added += (strength * across[:, None] * fading).astype(np.float32)

    def _add_halos(self, added: NDArray[np.float32], start: int) -> None:
        """Add the halos that begin in slice `start`."""
        parameters = self.parameters
        generator = np.random.default_rng((parameters.seed, 0x4A10, start % 2**32))
        rows, columns = (
            np.arange(n) * side / 1000 for n, side in zip(added.shape, parameters.spacing_nm[1:], strict=True)
        )
        for _ in range(generator.poisson(parameters.halos_per_slice / _HALO_SLICES)):
            y, x = generator.uniform(0, (rows[-1], columns[-1]))
            radius = parameters.halo_diameter_um / 2 * generator.uniform(0.6, 1.4)
            strength = parameters.halo_grey * generator.uniform(0.7, 1.2)
            squared = ((rows - y)[:, None] ** 2 + (columns - x) ** 2) / radius**2
            added += (strength * np.exp(-np.log(2) * squared)).astype(np.float32)
