"""Regions of the image that are no tissue: resin around the specimen, lumina in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spherovem_core.synthetic.phantom.noise import SmoothNoise

Evaluate = Callable[[SmoothNoise], NDArray[np.float32]]
# Depth given to points of a volume without any such region.
_FAR_UM = 100.0


class Region(Protocol):
    """A region without tissue."""

    @property
    def grey(self) -> float:
        """Mean grey value."""

    @property
    def grey_sd(self) -> float:
        """Return the standard deviation of the texture in grey values."""

    def depth_um(
        self, z: NDArray[np.float32], y: NDArray[np.float32], x: NDArray[np.float32], evaluate: Evaluate
    ) -> NDArray[np.float32]:
        """Compute the first-order distance of points in µm from the border of the region, positive inside."""


@dataclass(frozen=True)
class Exterior:
    """All regions without tissue."""

    regions: tuple[Region, ...] = ()

    def locate(
        self, z: NDArray[np.float32], y: NDArray[np.float32], x: NDArray[np.float32], evaluate: Evaluate
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Find the region of each point, and the depth in it; negative in the tissue.

        Returns
        -------
        depth_um : ndarray of float32
        region : ndarray of uint8
            Index of the region, or of the nearest.
        """
        depth = np.full(z.shape, -_FAR_UM, np.float32)
        region = np.zeros(z.shape, np.uint8)
        for number, one in enumerate(self.regions):
            inside = one.depth_um(z, y, x, evaluate)
            region[inside > depth] = number
            np.maximum(depth, inside, out=depth)
        return depth, region

    def paint(
        self,
        image: NDArray[np.float32],
        depth_um: NDArray[np.float32],
        region: NDArray[np.uint8],
        textures: tuple[NDArray[np.float32], NDArray[np.float32]],
        pixel_um: np.float32,
    ) -> None:
        """Paint the regions over an image. Two textures of unit variance, coarse and fine, share their variance."""
        if not self.regions:
            return
        coarse, fine = textures
        grey = np.array([one.grey for one in self.regions], np.float32)[region]
        spread = np.array([one.grey_sd for one in self.regions], np.float32)[region]
        covered = np.clip(depth_um / pixel_um + np.float32(0.5), 0, 1)
        image += covered * (grey + spread * np.float32(np.sqrt(0.5)) * (coarse + fine) - image)
