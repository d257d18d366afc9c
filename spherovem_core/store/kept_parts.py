"""Parts of an array that are read before it is discarded, and read again from what was kept of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.store.discarded import DiscardedArray, find_discarded, load_parts, part_name, part_region
from spherovem_core.store.layout import VOLUME, Layout
from spherovem_core.store.ome import level_origin, level_spacing
from spherovem_core.store.pyramid import level_shape
from spherovem_core.store.reading import StoredArray, open_array
from spherovem_core.store.shard_reading import plain_region


class DiscardedPartError(IncompleteArtifactError):
    """A part of a discarded array is asked for that was not kept."""


@dataclass(frozen=True)
class RecordingArray(StoredArray):
    """A stored array that keeps what is read of it."""

    level: int = 0
    parts: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    def __getitem__(self, region: Any, /) -> NDArray[Any]:
        values = super().__getitem__(region)
        sides = plain_region(region, self.shape)
        if sides is not None:
            self.parts[part_name(self.level, sides)] = values.reshape([s.stop - s.start for s in sides])
        return values


@dataclass(frozen=True)
class KeptArray(StoredArray):
    """A level of a discarded array, of which some regions were kept."""

    level_extent: tuple[int, ...] = ()
    level_type: str = "uint8"
    level: int = 0
    parts: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape that the level had."""
        return self.level_extent

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""
        return np.dtype(self.level_type)

    def __getitem__(self, region: Any, /) -> NDArray[Any]:
        """Read a region that was kept.

        Raises
        ------
        DiscardedPartError
            If it was not.
        """
        wanted = plain_region(region, self.shape)
        for name, values in self.parts.items():
            level, sides = part_region(name)
            if wanted is None or level != self.level:
                continue
            if all(s.start <= w.start and w.stop <= s.stop for s, w in zip(sides, wanted, strict=True)):
                inside = (
                    slice(w.start - s.start, w.stop - s.start) for s, w in zip(sides, wanted, strict=True)
                )
                found = values[tuple(inside)]
                places = region if isinstance(region, tuple) else (region,)
                return found[tuple(slice(None) if isinstance(place, slice) else 0 for place in places)]
        raise DiscardedPartError(
            f"this part of {self.details.get('group', 'an array')} was not kept when it was discarded (storage: lean)"
        )


def open_shown(layout: Layout, group: str, level: int = 0) -> StoredArray:
    """Open a level of an array, or what was kept of it when it was discarded.

    Raises
    ------
    IncompleteArtifactError, ChangedArtifactError
        As `open_array`.
    """
    found = find_discarded(layout, group)
    return open_array(layout, group, level) if found is None else _kept_level(layout, found, level)


def recording_opener(
    layout: Layout, group: str, parts: dict[str, NDArray[Any]]
) -> Callable[..., StoredArray]:
    """Return a function that opens levels of arrays, and adds what is read of one group to `parts`."""

    def open_level(name: str, level: int = 0) -> StoredArray:
        if name != group:
            return open_shown(layout, name, level)
        own = open_array(layout, name, level)
        return RecordingArray(own.array, own.spacing_nm, own.origin_nm, own.digest, own.details, level, parts)

    return open_level


def _kept_level(layout: Layout, found: DiscardedArray, level: int) -> StoredArray:
    marker = found.marker
    z, y, x = marker.get("level_factors", [[1, 1, 1]])[level]
    factors = (int(z), int(y), int(x))
    dz, dy, dx = marker["spacing_nm"]
    oz, oy, ox = marker["origin_nm"]
    nothing: Any = None
    shape = tuple(marker["shape"])
    return KeptArray(
        nothing,
        level_spacing((dz, dy, dx), factors),
        level_origin((dz, dy, dx), (oz, oy, ox), factors),
        found.reference(layout).digest,
        {**marker, "group": f"{VOLUME}/{found.group}"},
        shape if level == 0 else level_shape(shape, factors),
        str(marker["dtype"]),
        level,
        load_parts(layout, found.group),
    )
