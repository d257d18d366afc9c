"""Scenes of a moving stage: jumps, steps of magnification, turns that last, and wild slices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spherovem_core.synthetic.phantom.affine import about_centre, compose
from spherovem_core.synthetic.phantom.basics import Basics
from spherovem_core.synthetic.phantom.scenes.scene import Effect, Scene


class StageParameters(Basics):
    """Parameters of sudden changes of the stage."""

    stage_jumps: int = Field(
        default=0, ge=0, le=1000, description="Number of slices from which on the stage is displaced."
    )
    stage_jump_px: float = Field(default=25.0, ge=0, le=2000, description="Length of such a jump in pixels.")
    magnification_steps: int = Field(
        default=0, ge=0, le=1000, description="Number of slices from which on the magnification differs."
    )
    magnification_step: float = Field(
        default=0.03, ge=0, le=0.3, description="Relative change of the magnification in a step, up or down."
    )
    lasting_turns: int = Field(
        default=0, ge=0, le=1000, description="Number of slices from which on the specimen is turned."
    )
    lasting_turn_deg: float = Field(
        default=4.0, ge=0, le=180, description="Angle of such a turn in degrees, either way."
    )
    wild_slices: int = Field(
        default=0, ge=0, le=1000, description="Number of single slices that are far out of place."
    )
    wild_shift_px: float = Field(
        default=45.0, ge=0, le=2000, description="Displacement of a wild slice in pixels."
    )
    wild_turn_deg: float = Field(
        default=5.0, ge=0, le=180, description="Turn of a wild slice in degrees, either way."
    )


SCENES = (
    Scene("stage-jumps", "The stage jumps and stays where it is.", {"stage_jumps": 2}),
    Scene(
        "magnification-steps",
        "The magnification changes by a few per cent and stays changed.",
        {"magnification_steps": 1},
    ),
    Scene(
        "lasting-turn", "From one slice on, the specimen is turned by a few degrees.", {"lasting_turns": 1}
    ),
    Scene("wild-slice", "A single slice is far out of place and turned.", {"wild_slices": 1}),
)


class Stage(Effect):
    """Sudden changes of the stage, on top of jitter and drift."""

    def __init__(self, parameters: StageParameters) -> None:
        self.parameters = parameters

    def place_slices(self, transforms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Displace, magnify and turn the acquired slices about their centre."""
        parameters = self.parameters
        generator = np.random.default_rng((parameters.seed, 0x57A6))
        count = len(transforms)
        shifts, scales, angles = np.zeros((count, 2)), np.ones(count), np.zeros(count)
        for first in self._slices(generator, parameters.stage_jumps):
            shifts[first:] += parameters.stage_jump_px * _direction(generator)
        for first in self._slices(generator, parameters.magnification_steps):
            scales[first:] *= 1 + parameters.magnification_step * _sign(generator)
        for first in self._slices(generator, parameters.lasting_turns):
            angles[first:] += parameters.lasting_turn_deg * _sign(generator)
        for wild in self._slices(generator, parameters.wild_slices):
            shifts[wild] += parameters.wild_shift_px * _direction(generator)
            angles[wild] += parameters.wild_turn_deg * _sign(generator)
        if not shifts.any() and not angles.any() and np.all(scales == 1):
            return transforms
        return np.stack(
            [
                compose(
                    about_centre(shift, np.deg2rad(angle), (scale - 1) * np.eye(2), parameters.shape[1:]), one
                )
                for shift, scale, angle, one in zip(shifts, scales, angles, transforms, strict=True)
            ]
        )

    def _slices(self, generator: np.random.Generator, number: int) -> list[int]:
        """Draw different slices, none of them the first or the last two."""
        possible = np.arange(1, max(self.parameters.shape[0] - 2, 1))
        return sorted(generator.permutation(possible)[:number].tolist())


def _direction(generator: np.random.Generator) -> NDArray[np.float64]:
    angle = generator.uniform(0, 2 * np.pi)
    return np.array([np.sin(angle), np.cos(angle)])


def _sign(generator: np.random.Generator) -> int:
    return 1 if generator.random() < 0.5 else -1
