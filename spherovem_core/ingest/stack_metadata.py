"""How many images a TIFF should hold, and along which axes, by its metadata."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tifffile import TiffFile, TiffPage

from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.vendor_metadata import ome_pixels


def declared_count(tif: TiffFile, page: TiffPage) -> int:
    """Images that the file should hold by OME, ImageJ or tifffile metadata; 0 where they say nothing."""
    pixels = ome_pixels(tif)
    if pixels is not None:
        return math.prod(int(pixels.get(f"Size{axis}", 1)) for axis in "ZCT")
    if tif.is_imagej:
        return int((tif.imagej_metadata or {}).get("images", 0))
    if tif.is_shaped and page.size:
        metadata: tuple[dict[str, Any], ...] = tif.shaped_metadata or ()
        return math.prod(metadata[0].get("shape", ())) // int(page.size) if metadata else 0
    return 0


def hyperstack_problems(tif: TiffFile, path: Path) -> Iterator[Problem]:
    """Images along more than one axis.

    Programs disagree on whether a plain stack runs along z, time or channel: one of them may be long.
    """
    extents = [extent for extent in _extents(tif) if extent > 1]
    if len(extents) > 1:
        yield Problem(
            f"images along {len(extents)} axes besides y and x ({' × '.join(map(str, extents))}); "
            "expected slices of one channel and one time: export those",
            path.name,
        )


def _extents(tif: TiffFile) -> list[int]:
    pixels = ome_pixels(tif)
    if pixels is not None:
        return [int(pixels.get(f"Size{axis}", 1)) for axis in "ZCT"]
    metadata = (tif.imagej_metadata or {}) if tif.is_imagej else {}
    return [int(metadata.get(name, 1)) for name in ("slices", "channels", "frames")]
