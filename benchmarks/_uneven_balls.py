"""Balls cut at the true places of slices and shown at the places that registration gave them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.parameters import RegistrationParameters, ShapeParameters
from spherovem_core.registered_slices import RegisteredSlices
from spherovem_core.registration import Alignment, Rectangle, apply_alignment
from spherovem_core.registration.affine import IDENTITY
from spherovem_core.registration.slice_places import PlacedSlices
from spherovem_core.shape import measure_labels

STEP_PX = 3.0
PITCH_PX = 44
NM = 10.0


@dataclass(frozen=True)
class BallErrors:
    """Root mean square errors over all balls: relative volume, centre along z in steps, sphericity."""

    volume: float
    centre_steps: float
    sphericity: float

    def text(self) -> str:
        """Return the errors as text."""
        return f"volume {self.volume:.1%}, centre {self.centre_steps:.2f} steps, sphericity {self.sphericity:.3f}"


class Balls:
    """Balls of 3 to 6 steps radius side by side, at random depths of a stack.

    Parameters
    ----------
    count
        Slices of the stack.
    seed
        Seed of depths and radii.
    """

    def __init__(self, count: int, seed: int, number: int = 16) -> None:
        rng = np.random.default_rng(seed)
        self.count = count
        self.radii_px = rng.uniform(3.0, 6.0, number) * STEP_PX
        room = self.radii_px / STEP_PX + 1.0
        self.depths = rng.uniform(room, count - 1.0 - room)

    def errors(self, true_places: NDArray[np.float64], slices: RegisteredSlices) -> BallErrors:
        """Cut the balls at true places (steps), show the slices at their stated ones, and compare with balls cut evenly."""
        even = RegisteredSlices.even(self.count)
        truth = self._measured(self._shown(np.arange(self.count, dtype=np.float64), even))
        found = self._measured(self._shown(true_places, slices))
        both = truth.index.intersection(found.index)
        truth, found = truth.loc[both], found.loc[both]
        centre = (found["centroid_z_um"] - truth["centroid_z_um"]) * 1000.0 / (STEP_PX * NM)

        def rms(values: pd.Series) -> float:
            return float(np.sqrt(np.mean(values.to_numpy() ** 2)))

        return BallErrors(
            rms(found["volume_um3"] / truth["volume_um3"] - 1.0),
            rms(centre),
            rms(found["sphericity"] - truth["sphericity"]),
        )

    def _shown(self, places: NDArray[np.float64], slices: RegisteredSlices) -> NDArray[np.uint8]:
        image = np.zeros((self.count, PITCH_PX, PITCH_PX * len(self.radii_px)), np.uint8)
        y, x = np.arange(PITCH_PX)[:, None] - PITCH_PX / 2, np.arange(PITCH_PX) - PITCH_PX / 2
        for k, (depth, radius) in enumerate(zip(self.depths, self.radii_px, strict=True)):
            z = STEP_PX * (places - depth)[:, None, None]
            away = np.sqrt(z**2 + y**2 + x**2) - radius
            image[:, :, k * PITCH_PX : (k + 1) * PITCH_PX] = np.rint(200.0 / (1.0 + np.exp(away)))
        crop = Rectangle(0, image.shape[1], 0, image.shape[2])
        maps = np.repeat(IDENTITY[None], self.count, 0)
        alignment = Alignment(maps, crop, pd.DataFrame(), placed=PlacedSlices(slices))
        return apply_alignment(image, alignment, RegistrationParameters())

    def _measured(self, image: NDArray[np.uint8]) -> pd.DataFrame:
        owner = np.arange(image.shape[2]) // PITCH_PX + 1
        labels = np.where(image > 100, owner, 0).astype(np.uint32)
        spacing = (STEP_PX * NM, NM, NM)
        return measure_labels(labels, spacing, ShapeParameters()).set_index("label")
