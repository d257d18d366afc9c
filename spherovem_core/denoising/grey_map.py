"""Map from denoised grey values to 8 bits: linear over the tissue, compressed beyond where rare values are extreme."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

TOP = 255.0
# Levels that the 1st to 99th percentile of the tissue gets at least: 6 bits and a margin, since a sample differs from the stack.
FEWEST_LEVELS = 72.0
# The map stays linear beyond both percentiles, by this many times the distance between them.
_LINEAR_MARGIN = 0.75
# Levels for all values beyond on one side.
_SHOULDER = 32.0


class GreyMap(BaseModel):
    """Monotone map from grey values of the source to levels of 0 to 255.

    Between `linear_low` and `linear_high` the map is linear, from `level_low` to `level_high`. Beyond, up to `high` (level
    255) and down to `low` (level 0), the level grows with the logarithm of the distance, with the same slope where the two
    parts meet. Values outside `low` and `high` are clipped. A plain linear map has ``linear_low = low`` and
    ``linear_high = high``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float = Field(description="Grey value of the source that becomes 0.")
    high: float = Field(description="Grey value of the source that becomes 255.")
    linear_low: float = Field(description="Lower end of the linear part, in grey values of the source.")
    linear_high: float = Field(description="Upper end of the linear part, in grey values of the source.")
    level_low: float = Field(default=0.0, description="Level at the lower end of the linear part.")
    level_high: float = Field(default=TOP, description="Level at the upper end of the linear part.")

    @property
    def linear(self) -> bool:
        """True if the whole map is linear."""
        return (self.linear_low, self.linear_high) == (self.low, self.high)

    @property
    def slope(self) -> float:
        """Levels per grey value of the source in the linear part."""
        return (self.level_high - self.level_low) / (self.linear_high - self.linear_low)

    def levels(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map grey values to levels, not rounded and not clipped: those below 0 or above 255 lie outside the range."""
        if self.linear:
            return (values - np.float32(self.low)) * np.float32(TOP / (self.high - self.low))
        levels = (values - np.float32(self.linear_low)) * np.float32(self.slope) + np.float32(self.level_low)
        above, below = values > self.linear_high, values < self.linear_low
        levels[above] = self.level_high + self._rise(values[above] - np.float32(self.linear_high), 1)
        levels[below] = self.level_low - self._rise(np.float32(self.linear_low) - values[below], -1)
        return levels

    def values(self, levels: NDArray[Any]) -> NDArray[np.float32]:
        """Return the grey values of the source that become these levels."""
        given = np.asarray(levels, np.float32)
        values = (given - np.float32(self.level_low)) / np.float32(self.slope) + np.float32(self.linear_low)
        if self.linear:
            return values
        above, below = given > self.level_high, given < self.level_low
        values[above] = self.linear_high + self._distance(given[above] - np.float32(self.level_high), 1)
        values[below] = self.linear_low - self._distance(np.float32(self.level_low) - given[below], -1)
        return values

    def _rise(self, distance: NDArray[np.float32], side: int) -> NDArray[np.float32]:
        """Return the levels that a distance beyond the linear part adds."""
        scale = self._scale(side)
        return np.asarray(np.log1p(distance / np.float32(scale)) * np.float32(self.slope * scale), np.float32)

    def _distance(self, rise: NDArray[np.float32], side: int) -> NDArray[np.float32]:
        scale = self._scale(side)
        return np.asarray(np.expm1(rise / np.float32(self.slope * scale)) * np.float32(scale), np.float32)

    def _scale(self, side: int) -> float:
        """Find the grey values over which the slope halves, such that `high` (side 1) or `low` (side -1) gets its level."""
        extent = self.high - self.linear_high if side > 0 else self.linear_low - self.low
        room = TOP - self.level_high if side > 0 else self.level_low
        if extent <= 0:
            # Nothing lies between this end and the linear part; what lies beyond is clipped.
            return 1.0
        scales = np.geomspace(extent * 1e-6, extent * 1e6, 4001)
        reached = self.slope * scales * np.log1p(extent / scales)
        return float(np.exp(np.interp(np.log(room), np.log(reached), np.log(scales))))


def linear_map(low: float, high: float) -> GreyMap:
    """Return the map that is linear from one end to the other."""
    return GreyMap(low=low, high=high, linear_low=low, linear_high=high)


def choose_grey_map(low: float, high: float, tissue: tuple[float, float]) -> GreyMap:
    """Choose the map of a stack.

    The map is linear from `low` to `high` if the tissue gets 72 of the 256 levels, as it nearly always does. Where a few
    values are far brighter or darker, a linear map would leave too few. Then 32 levels on each side that needs them hold the
    extreme values, and the linear part holds the tissue and all that differs from it by up to three quarters of its range.

    Parameters
    ----------
    low, high
        Grey values that become 0 and 255.
    tissue
        1st and 99th percentile of the grey values.
    """
    plain = linear_map(low, high)
    extent = tissue[1] - tissue[0]
    if extent <= 0 or extent * plain.slope >= FEWEST_LEVELS:
        return plain
    ends = tissue[0] - _LINEAR_MARGIN * extent, tissue[1] + _LINEAR_MARGIN * extent
    linear_low, linear_high = max(low, ends[0]), min(high, ends[1])
    level_low = _SHOULDER if linear_low > low else 0.0
    level_high = TOP - _SHOULDER if linear_high < high else TOP
    slope = (level_high - level_low) / (linear_high - linear_low)
    # A side whose values fit its levels at the slope of the linear part belongs to it.
    if level_low and (linear_low - low) * slope <= level_low:
        linear_low, level_low = low, 0.0
    if level_high < TOP and (high - linear_high) * slope <= TOP - level_high:
        linear_high, level_high = high, TOP
    return GreyMap(
        low=low,
        high=high,
        linear_low=linear_low,
        linear_high=linear_high,
        level_low=level_low,
        level_high=level_high,
    )
