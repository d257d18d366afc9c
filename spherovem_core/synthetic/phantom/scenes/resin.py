"""Scenes with regions without tissue: resin around the specimen, the curved surface of a spheroid, lumina."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spherovem_core.synthetic.phantom.basics import Basics
from spherovem_core.synthetic.phantom.exterior import Evaluate, Region
from spherovem_core.synthetic.phantom.noise import SmoothNoise
from spherovem_core.synthetic.phantom.scenes.scene import Effect, Scene, Space

# Points along each axis of the imaged volume at which a region's border is chosen so that it has the given fraction.
_POINTS = 32
# Height and length in µm of the waves of a surface: its slope stays below about 0.5.
_WAVE_UM = (0.4, 3.0)


class ResinParameters(Basics):
    """Parameters of the regions without tissue."""

    resin_fraction: float = Field(
        default=0.0,
        ge=0,
        le=0.95,
        description="Fraction of the imaged volume that is resin beside the specimen.",
    )
    resin_grey: float = Field(default=175.0, ge=0, le=255, description="Mean grey value of the resin.")
    resin_grey_sd: float = Field(
        default=4.0, ge=0, le=60, description="Standard deviation of the resin's texture."
    )
    spheroid_diameter_um: float = Field(
        default=0.0,
        ge=0,
        le=10_000,
        description="Diameter in µm of the spheroid, whose curved surface borders on the resin; 0: the surface is flat.",
    )
    lumen_fraction: float = Field(
        default=0.0, ge=0, le=0.5, description="Fraction of the imaged volume that is lumina in the tissue."
    )
    lumen_diameter_um: float = Field(
        default=3.0, ge=0.2, le=100, description="Mean diameter in µm of a lumen."
    )
    lumen_grey: float = Field(default=190.0, ge=0, le=255, description="Mean grey value of the lumina.")
    lumen_grey_sd: float = Field(
        default=6.0, ge=0, le=60, description="Standard deviation of the texture of the lumina."
    )


SCENES = (
    Scene(
        "resin",
        "A margin of resin brighter than the tissue, with its own texture, covers a fraction of the volume.",
        {"resin_fraction": 0.25, "resin_grey": 175.0},
    ),
    Scene(
        "dark-resin",
        "A margin of resin darker than the tissue covers a fraction of the volume.",
        {"resin_fraction": 0.25, "resin_grey": 70.0},
    ),
    Scene(
        "spheroid",
        "The tissue ends at the curved outer surface of a spheroid, with resin beyond it.",
        {"resin_fraction": 0.25, "spheroid_diameter_um": 40.0},
    ),
    Scene(
        "lumina",
        "Lumina brighter than the tissue lie in it.",
        {"lumen_fraction": 0.05, "lumen_grey": 190.0},
    ),
    Scene(
        "dark-lumina",
        "Lumina darker than the tissue lie in it.",
        {"lumen_fraction": 0.05, "lumen_grey": 60.0},
    ),
)


@dataclass(frozen=True)
class _Surface:
    """The side of a wavy plane or sphere that has no tissue."""

    grey: float
    grey_sd: float
    direction: NDArray[np.float64]
    centre_um: NDArray[np.float64] | None
    waves: SmoothNoise
    level_um: float = 0.0

    def depth_um(
        self, z: NDArray[np.float32], y: NDArray[np.float32], x: NDArray[np.float32], evaluate: Evaluate
    ) -> NDArray[np.float32]:
        if self.centre_um is None:
            height = self.direction[0] * z + self.direction[1] * y + self.direction[2] * x
        else:
            cz, cy, cx = self.centre_um
            height = np.sqrt((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2)
        return np.asarray(height + _WAVE_UM[0] * evaluate(self.waves) - self.level_um, np.float32)


@dataclass(frozen=True)
class _Lumina:
    """Bulging balls without tissue."""

    grey: float
    grey_sd: float
    centres_um: NDArray[np.float64]
    radii_um: NDArray[np.float64]
    bulges: SmoothNoise
    level_um: float = 0.0

    def depth_um(
        self, z: NDArray[np.float32], y: NDArray[np.float32], x: NDArray[np.float32], evaluate: Evaluate
    ) -> NDArray[np.float32]:
        depth = np.full(z.shape, -np.inf, np.float32)
        for (cz, cy, cx), radius in zip(self.centres_um, self.radii_um, strict=True):
            away = np.sqrt((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2)
            np.maximum(depth, np.float32(radius) - away, out=depth, casting="same_kind")
        bulge = np.float32(0.15 * self.radii_um.mean()) * evaluate(self.bulges)
        return np.asarray(depth + bulge - np.float32(self.level_um), np.float32)


class Resin(Effect):
    """Resin beside the specimen, and lumina in it."""

    def __init__(self, parameters: ResinParameters) -> None:
        self.parameters = parameters

    def regions(self, space: Space) -> tuple[Region, ...]:
        """Return resin and lumina, each with its fraction of the imaged volume."""
        made: list[Region] = []
        if self.parameters.resin_fraction > 0:
            made.append(_with_fraction(self._surface(space), self.parameters.resin_fraction, space))
        if self.parameters.lumen_fraction > 0:
            made.append(_with_fraction(self._lumina(space), self.parameters.lumen_fraction, space))
        return tuple(made)

    def _surface(self, space: Space) -> _Surface:
        parameters = self.parameters
        generator = np.random.default_rng((parameters.seed, 0x4E51))
        # Mostly in plane: a stack is thin, and a slice shall show both sides.
        direction = generator.standard_normal(3) * (0.15, 1, 1)
        direction /= np.linalg.norm(direction)
        centre = None
        if parameters.spheroid_diameter_um > 0:
            middle = (space.imaged[0] + space.imaged[1]) / 2
            centre = middle - direction * parameters.spheroid_diameter_um / 2
        waves = SmoothNoise((parameters.seed, 40), _WAVE_UM[1], tuple(space.grown[0]), tuple(space.grown[1]))
        return _Surface(parameters.resin_grey, parameters.resin_grey_sd, direction, centre, waves)

    def _lumina(self, space: Space) -> _Lumina:
        parameters = self.parameters
        generator = np.random.default_rng((parameters.seed, 0x10FE))
        low, high = space.imaged
        radius = parameters.lumen_diameter_um / 2
        count = parameters.lumen_fraction * float(np.prod(high - low)) / (4 / 3 * np.pi * radius**3)
        number = max(round(count), 1)
        return _Lumina(
            parameters.lumen_grey,
            parameters.lumen_grey_sd,
            generator.uniform(low, high, (number, 3)),
            radius * generator.uniform(0.7, 1.2, number),
            SmoothNoise((parameters.seed, 41), 0.5 * radius, tuple(space.grown[0]), tuple(space.grown[1])),
        )


def _with_fraction(region: Any, fraction: float, space: Space) -> Any:
    """Shift the border of a region so that it has a fraction of the imaged volume."""
    low, high = space.imaged
    axes = [a + (np.arange(_POINTS) + 0.5) / _POINTS * (b - a) for a, b in zip(low, high, strict=True)]
    points = np.meshgrid(*axes, indexing="ij")
    depth = region.depth_um(*points, lambda field: field.on_grid(*axes))
    return replace(region, level_um=float(np.quantile(depth, 1 - fraction)))
