"""The region of interest: a crop of an acquisition, for trying parameters."""

import re
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spherovem_core.errors import ParameterError
from spherovem_core.references import Acquisition

AXES = ("z", "y", "x")


class RegionOfInterest(BaseModel):
    """Box in voxels of the acquisition, as acquired and with the databar cut off; by default the whole acquisition."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    z_start: int = Field(default=0, ge=0, description="First slice, counted from 0; missing ones count.")
    z_stop: int | None = Field(
        default=None,
        gt=0,
        description="Slice after the last one of the region. Left empty, the end of the stack.",
    )
    y_start: int = Field(default=0, ge=0, description="First row, counted from 0.")
    y_stop: int | None = Field(
        default=None,
        gt=0,
        description="Row after the last one of the region. Left empty, the end of the slice.",
    )
    x_start: int = Field(default=0, ge=0, description="First column, counted from 0.")
    x_stop: int | None = Field(
        default=None,
        gt=0,
        description="Column after the last one of the region. Left empty, the end of the row.",
    )

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        for axis, (start, stop) in zip(AXES, self._ranges(), strict=True):
            if stop is not None and stop <= start:
                raise ValueError(f"{axis} from {start} to {stop} holds nothing; {axis}_stop must be larger")
        return self

    @property
    def is_whole(self) -> bool:
        """True if nothing is cut off."""
        return not any(number for pair in self._ranges() for number in pair)

    @property
    def suffix(self) -> str:
        """End of the results folder's name, such as ``@roi-z0-32_y100-612_x0-end``; empty if nothing is cut off."""
        if self.is_whole:
            return ""
        parts = (
            f"{axis}{start}-{stop or 'end'}" for axis, (start, stop) in zip(AXES, self._ranges(), strict=True)
        )
        return "@roi-" + "_".join(parts)

    def within(self, shape: tuple[int, int, int]) -> tuple[slice, slice, slice]:
        """Return the slices that cut the region out of an array of this shape.

        Raises
        ------
        ParameterError
            If the region reaches beyond the array.
        """
        z, y, x = (
            _cut(axis, start, stop, extent)
            for axis, (start, stop), extent in zip(AXES, self._ranges(), shape, strict=True)
        )
        return z, y, x

    def _ranges(self) -> tuple[tuple[int, int | None], ...]:
        return (self.z_start, self.z_stop), (self.y_start, self.y_stop), (self.x_start, self.x_stop)


WHOLE = RegionOfInterest()


def crop_acquisition(acquisition: Acquisition, region: RegionOfInterest) -> Acquisition:
    """Give the acquisition a results folder of its own for the region.

    Raises
    ------
    ValidationError
        If the name of the folder becomes too long.
    """
    if region.is_whole:
        return acquisition
    return Acquisition.model_validate(
        {**acquisition.model_dump(), "name": f"{acquisition.name}{region.suffix}"}
    )


_NAME = re.compile(
    r"(?P<name>.+)@roi-" + "_".join(rf"{axis}(?P<{axis}_start>\d+)-(?P<{axis}_stop>\d+|end)" for axis in AXES)
)


def split_region(name: str) -> tuple[str, RegionOfInterest]:
    """Split the name of a results folder into the name of the acquisition and the region, as `crop_acquisition` joins them."""
    found = _NAME.fullmatch(name)
    if found is None:
        return name, WHOLE
    bounds = {key: value for key, value in found.groupdict().items() if key != "name" and value != "end"}
    return found["name"], RegionOfInterest.model_validate(bounds)


def _cut(axis: str, start: int, stop: int | None, extent: int) -> slice:
    if start >= extent or (stop or 0) > extent:
        raise ParameterError(
            f"roi: {axis} from {start} to {stop or 'the end'} reaches beyond the acquisition, "
            f"which has {extent} voxels along {axis}; choose a region within them"
        )
    return slice(start, stop or extent)
