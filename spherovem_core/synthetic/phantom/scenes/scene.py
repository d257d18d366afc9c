"""Scenes: named choices of parameters, and the effects that they control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spherovem_core.synthetic.phantom.exterior import Region
from spherovem_core.synthetic.phantom.placement import BallKind, Box
from spherovem_core.synthetic.phantom.tissue import Located


@dataclass(frozen=True)
class Scene:
    """A fault or trait of real acquisitions.

    Attributes
    ----------
    name : str
        Name by which users choose it.
    summary : str
        One sentence on what the images show.
    sets : mapping
        Fields of `PhantomParameters` that it sets; every one of them can be overridden.
    """

    name: str
    summary: str
    sets: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Space:
    """Corners in µm of the imaged volume, of the larger box that is rendered, and of the box in which tissue grows."""

    imaged: Box
    rendered: Box
    grown: Box


@dataclass(frozen=True)
class Bodies:
    """Round bodies that are no nanoparticles.

    Attributes
    ----------
    name : str
        Name of their kind in the table of other objects.
    kind : BallKind
    texture_sd : float
        Standard deviation of the grey values within a body.
    """

    name: str
    kind: BallKind
    texture_sd: float = 0.0


class Painter(Protocol):
    """Paints irregular bodies that are no nanoparticles."""

    @property
    def name(self) -> str:
        """Name of their kind in the table of other objects."""

    @property
    def grey(self) -> float:
        """Mean grey value of the bodies."""

    def paint(
        self,
        image: NDArray[np.float32],
        located: Located,
        axes: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
        pixel_um: np.float32,
    ) -> NDArray[np.bool_]:
        """Paint over the image of one plane, in place, and return the pixels whose centres lie in the bodies."""


class Effect:
    """Hooks by which a scene changes a phantom. Each does nothing unless the scene defines it.

    An effect is made of the parameters of the phantom, and does nothing where they leave it off. It must be small enough
    to send to workers, and must not depend on the order of slices.
    """

    def regions(self, space: Space) -> tuple[Region, ...]:
        """Return the regions without tissue."""
        return ()

    def bodies(self) -> tuple[Bodies, ...]:
        """Return the kinds of round bodies to place in the tissue."""
        return ()

    def painters(self, space: Space) -> tuple[Painter, ...]:
        """Return the painters of irregular bodies."""
        return ()

    def place_slices(self, transforms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Change the maps (Z, 2, 3) from ideal to acquired pixel coordinates."""
        return transforms

    def disturb(self, signal: NDArray[np.float32], z: int) -> NDArray[np.float32]:
        """Change the signal of a slice, in its own frame and before the noise."""
        return signal

    def unusable(self, shape: tuple[int, int], z: int) -> NDArray[np.bool_] | None:
        """Return the pixels of a slice, in its own frame, that show no specimen because of this effect."""
        return None

    def overlay(self, image: NDArray[np.float32], z: int) -> NDArray[np.float32]:
        """Change a slice after the noise was added."""
        return image
