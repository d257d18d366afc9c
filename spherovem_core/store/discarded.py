"""Arrays that were discarded because all that is computed from them is complete: what stays of each, and their deletion.

Of an array ``volume.zarr/denoised`` stays ``discarded/denoised.json`` with the completion marker, history included, and
``discarded/denoised.npz`` with the few parts that the report shows. Nothing stays inside the volume: a program that opened an
array without its files would read fill values for data. The record is written before the array goes, and a complete array that is
there counts before its record, so that a kill at any instant leaves one of the two. An array of other parameters takes its place
when it is complete: until then, results that were computed from the discarded one can be gone on with.
"""

import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.references import ArtifactRef
from spherovem_core.store.adoptions import effective_digest
from spherovem_core.store.files import bytes_in, read_json, write_bytes, write_text
from spherovem_core.store.groups import discard
from spherovem_core.store.layout import Layout, array_path
from spherovem_core.store.markers import Marker, array_marker

Parts = Mapping[str, NDArray[Any]]
"""Regions of an array that are kept, by names such as ``1|0:96,120:121,0:480``: level and region. Other names stand for what was
measured of it."""


@dataclass(frozen=True)
class DiscardedArray:
    """Record of a discarded array.

    Attributes
    ----------
    marker
        Completion marker of its finest level.
    bytes_freed
        Size on disk that it had, all levels.
    time
        When it was discarded, in ISO 8601.
    is_wanted
        True while a run computes it again: something that is computed from it is not complete any more.
    """

    group: str
    marker: Marker
    bytes_freed: int = 0
    time: str = ""
    is_wanted: bool = False

    @property
    def own_digest(self) -> str:
        """Digest under which its step computed it."""
        return str(self.marker["fingerprint"])

    def reference(self, layout: Layout) -> ArtifactRef:
        """Refer to the finest level, as if it were there."""
        dz, dy, dx = self.marker["spacing_nm"]
        return ArtifactRef(
            store=str(layout.folder),
            path=array_path(self.group),
            shape=tuple(self.marker["shape"]),
            dtype=self.marker["dtype"],
            spacing_nm=(dz, dy, dx),
            digest=effective_digest(self.own_digest, [self.marker]),
        )


def find_discarded(layout: Layout, group: str) -> DiscardedArray | None:
    """Return what stays of a discarded array; None where it was not discarded, or is complete again."""
    document = read_json(layout.discarded(group))
    marker = (document or {}).get("marker")
    if document is None or not isinstance(marker, dict) or "fingerprint" not in marker:
        return None
    if (array_marker(layout.path(array_path(group))) or {}).get("complete"):
        return None
    return DiscardedArray(
        group,
        marker,
        int(document.get("bytes_freed", 0)),
        str(document.get("time", "")),
        bool(document.get("is_wanted")),
    )


def discard_array(layout: Layout, group: str, parts: Parts | None = None) -> DiscardedArray:
    """Discard a complete array with all its levels, and keep its marker and some of its parts.

    Parameters
    ----------
    parts
        Regions to keep, named by `part_name`, and other arrays, by names of their own.
    """
    folder = layout.volume / group
    marker = array_marker(layout.path(array_path(group)))
    if marker is None or not marker.get("complete"):
        raise ValueError(f"{folder} is not complete; only complete arrays are discarded")
    found = DiscardedArray(group, marker, bytes_in(folder), time.strftime("%Y-%m-%dT%H:%M:%S%z"))
    if parts is not None:
        stream = io.BytesIO()
        np.savez_compressed(stream, **parts)  # type: ignore[arg-type]
        write_bytes(_parts_path(layout, group), stream.getvalue())
    _write(layout, found)
    discard(layout, folder)
    return found


def want_discarded(layout: Layout, found: DiscardedArray, *, is_wanted: bool = True) -> None:
    """Note that a discarded array has to be computed again, or no longer; its step does not count as done meanwhile."""
    _write(layout, replace(found, is_wanted=is_wanted))


def forget_discarded(layout: Layout, group: str) -> None:
    """Remove what stays of a discarded array: it is there again, or another one takes its place."""
    layout.discarded(group).unlink(missing_ok=True)
    _parts_path(layout, group).unlink(missing_ok=True)


def discard_unfinished(layout: Layout, found: DiscardedArray) -> None:
    """Delete what a killed run had computed in the place of a discarded array, under the same or other parameters."""
    marker = array_marker(layout.path(array_path(found.group)))
    if marker is not None and not marker.get("complete"):
        discard(layout, layout.volume / found.group)


def load_parts(layout: Layout, group: str) -> dict[str, NDArray[Any]]:
    """Read the parts that were kept; empty where there are none, or their file is damaged."""
    try:
        with np.load(io.BytesIO(_parts_path(layout, group).read_bytes()), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError):
        return {}


def part_name(level: int, region: Sequence[slice]) -> str:
    """Name a region of a level."""
    return f"{level}|" + ",".join(f"{side.start}:{side.stop}" for side in region)


def part_region(name: str) -> tuple[int | None, tuple[slice, ...]]:
    """Return level and region of a name; None and no region of a part that is no region."""
    level, _, region = name.partition("|")
    if not region:
        return None, ()
    bounds = (side.split(":") for side in region.split(","))
    return int(level), tuple(slice(int(start), int(stop)) for start, stop in bounds)


def plain_bytes(marker: Marker) -> int:
    """Return the bytes of the finest level of an array before compression."""
    return math.prod(marker["shape"]) * np.dtype(str(marker["dtype"])).itemsize


def _write(layout: Layout, found: DiscardedArray) -> None:
    document = {
        "group": found.group,
        "time": found.time,
        "bytes_freed": found.bytes_freed,
        "is_wanted": found.is_wanted,
        "marker": dict(found.marker),
    }
    # Markers may hold NaN.
    write_text(layout.discarded(found.group), json.dumps(document, indent=2))


def _parts_path(layout: Layout, group: str) -> Path:
    return layout.discarded(group).with_suffix(".npz")
