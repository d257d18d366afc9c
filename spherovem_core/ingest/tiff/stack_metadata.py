"""The number and the axes of the images that a TIFF should hold, by its metadata."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tifffile import TiffFile, TiffPage

from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.tiff.vendor_metadata import ome_pixels


def declared_count(tif: TiffFile, page: TiffPage) -> int:
    """Count the images that the file should hold by OME, ImageJ or tifffile metadata; return 0 if they say nothing."""
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
    """Report images along more than one axis.

    Programs disagree on whether a plain stack runs along z, time or channel, so that any one of these may be long.
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


def ome_page_order(tif: TiffFile, pages: int) -> tuple[int, ...]:
    """Find the position of each page in the stack by the OME metadata.

    Returns
    -------
    tuple of int
        Empty if the metadata say nothing, do not cover every page once, or agree with the order of the file.
    """
    pixels = ome_pixels(tif)
    if pixels is None:
        return ()
    places: dict[int, int] = {}
    for entry in pixels.findall("{*}TiffData"):
        owner = entry.find("{*}UUID")
        if owner is not None and owner.get("FileName", tif.filename) != tif.filename:
            continue
        page = int(entry.get("IFD", 0))
        # Only one axis is longer than 1 (else the file is refused), so that the sum is the position along it.
        first = sum(int(entry.get(f"First{axis}", 0)) for axis in "ZCT")
        count = int(entry.get("PlaneCount", 1 if "IFD" in entry.attrib else pages))
        places.update({page + k: first + k for k in range(count)})
    order = tuple(places.get(page, -1) for page in range(pages))
    whole = len(places) == pages and sorted(order) == list(range(pages))
    return order if whole and order != tuple(range(pages)) else ()
