"""The number and the axes of the images that a TIFF should hold, by its metadata."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tifffile import TiffFile, TiffPage

from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.tiff.ome import AXES, OmeImage, OmePart, ome_images, ome_part, ome_root

_AXIS_NAMES = {"Z": "slices", "C": "channels", "T": "time points", "S": "samples"}
# Programs write plain stacks as channels or time points; so few of them are channels.
_FEW_CHANNELS = 4
_SHOWN = 6


@dataclass(frozen=True)
class StackMetadata:
    """Number and arrangement of the images of a TIFF by its metadata.

    Attributes
    ----------
    count
        Number of images that the file should hold; 0 if they say nothing.
    part
        Part of an OME stack over several files that this one holds; None if it holds all.
    problems
        Several images or series, channels, time points.
    """

    count: int = 0
    part: OmePart | None = None
    problems: tuple[Problem, ...] = ()


def read_stack_metadata(tif: TiffFile, pages: Sequence[TiffPage], path: Path) -> StackMetadata:
    """Read the number and arrangement of the images from OME, ImageJ or tifffile metadata."""
    root = ome_root(tif)
    if root is not None:
        return _ome(ome_images(root), ome_part(root, path.name), path)
    if tif.is_imagej:
        return _imagej(tif.imagej_metadata or {}, path)
    series = list(_shaped_series(pages)) if tif.is_shaped else []
    return _shaped(series, pages[0], path)


def _ome(images: Sequence[OmeImage], part: OmePart | None, path: Path) -> StackMetadata:
    if not images:
        return StackMetadata(part=part)
    count = len(part.positions) if part else sum(image.planes for image in images)
    # A loop that writes plane by plane makes an image of each; those have no names, or numbered ones.
    kinds = {re.sub(r"\d+", "#", image.name) for image in images}
    if len(images) > 1 and (len(kinds) > 1 or any(image.planes > 1 for image in images)):
        named = ", ".join(f"{image.name or 'unnamed'} ({image.planes} planes)" for image in images[:_SHOWN])
        found = f"{len(images)} images in one file: {named}; expected one stack: export the one that you want"
        return StackMetadata(count, part, (Problem(found, path.name),))
    first = images[0]
    certain = (len(first.channel_names) > 1 or first.extents[1] <= _FEW_CHANNELS) and first.extents[0] == 1
    problem = _axes_problem(
        list(zip(AXES, first.extents, strict=True)), path, channels=certain, times=first.is_timed
    )
    return StackMetadata(count, part, problem)


def _imagej(metadata: dict[str, Any], path: Path) -> StackMetadata:
    z, c, t = (_whole(metadata.get(name, 1)) for name in ("slices", "channels", "frames"))
    interval = metadata.get("finterval", 0)
    timed = isinstance(interval, int | float) and interval > 0
    extents = list(zip(AXES, (z, c, t), strict=True))
    return StackMetadata(
        _whole(metadata.get("images", 0)),
        None,
        _axes_problem(extents, path, channels=c <= _FEW_CHANNELS, times=timed),
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _shaped_series(pages: Sequence[TiffPage]) -> Iterator[tuple[tuple[int, ...], str]]:
    """List shape and axes of the series that tifffile wrote, each described by its first page."""
    for page in pages:
        if page.is_shaped:
            try:
                content = json.loads(page.shaped_description or "")
                shape = tuple(int(side) for side in content["shape"])
            except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
                continue
            if shape and min(shape) > 0:
                axes = str(content.get("axes", ""))
                yield shape, axes if len(axes) == len(shape) else ""


def _shaped(series: Sequence[tuple[tuple[int, ...], str]], page: TiffPage, path: Path) -> StackMetadata:
    if not series or not page.size:
        return StackMetadata()
    planes = [max(1, math.prod(shape) // int(page.size)) for shape, _ in series]
    if len(series) > 1:
        if max(planes) == 1:
            return StackMetadata(len(planes))
        found = (
            f"{len(series)} series in one file ({' + '.join(map(str, planes[:_SHOWN]))} images); "
            "expected one stack: export the one that you want"
        )
        return StackMetadata(sum(planes), None, (Problem(found, path.name),))
    shape, axes = series[0]
    letters = axes or "?" * len(shape)
    extents = [(letter, side) for letter, side in zip(letters, shape, strict=True)][
        : len(shape) - len(page.shape)
    ]
    return StackMetadata(planes[0], None, _axes_problem(extents, path, channels=True, times=True))


def _axes_problem(
    extents: Sequence[tuple[str, int]], path: Path, *, channels: bool, times: bool
) -> tuple[Problem, ...]:
    """Report images along more than one axis, and those along one that are certainly channels or time points.

    Programs disagree on whether a plain stack runs along z, time or channel, so that any one of these may be long.
    """
    long = [(axis, extent) for axis, extent in extents if extent > 1]
    alone = {axis for axis, _ in long}
    if len(long) < 2 and not (alone == {"C"} and channels) and not (alone == {"T"} and times):
        return ()
    counts = " × ".join(f"{extent} {_AXIS_NAMES.get(axis, 'images')}" for axis, extent in long)
    found = f"its images are {counts}; expected slices of one channel and one time: export those"
    return (Problem(found, path.name),)


def ome_page_order(tif: TiffFile, pages: int, part: OmePart | None) -> tuple[int, ...]:
    """Find the position of each page in the stack by the OME metadata.

    Parameters
    ----------
    pages
        Number of pages of the file.
    part
        Part of a stack over several files that this one holds, as `read_stack_metadata` found it.

    Returns
    -------
    tuple of int
        Empty if the metadata say nothing, do not cover every page once, or agree with the order of the file.
    """
    if part is not None:
        positions = tuple(part.positions.get(page, -1) for page in range(pages))
        return positions if -1 not in positions else ()
    order = _ome_positions(tif, pages)
    whole = sorted(order) == list(range(pages))
    return order if whole and order != tuple(range(pages)) else ()


def ome_position_problems(tif: TiffFile, pages: int, part: OmePart | None, path: Path) -> tuple[Problem, ...]:
    """Report OME metadata that place every page of the file, but not each in a place of its own from the first to the last.

    Metadata that place only some of the pages, or name no place, leave the order to the file.
    """
    order = () if part is not None else _ome_positions(tif, pages)
    if len(order) != pages or -1 in order or sorted(order) == list(range(pages)):
        return ()
    twice = next((place for place in order if order.count(place) > 1), None)
    if twice is None:
        wrong = next(page for page, place in enumerate(order) if place >= pages)
        found = f"page {wrong + 1} stands at place {order[wrong] + 1} of {pages}"
    else:
        found = f"pages {' and '.join(str(page + 1) for page, at in enumerate(order) if at == twice)} stand at place {twice + 1}"
    remedy = "export the stack again, or without its OME metadata if the pages are in order"
    return (Problem(f"its OME metadata contradict themselves: {found}; {remedy}", path.name),)


def _ome_positions(tif: TiffFile, pages: int) -> tuple[int, ...]:
    """Return the place of each page along the stack, -1 where none is stated; empty if no place is named at all."""
    root = ome_root(tif)
    pixels = None if root is None else root.find("{*}Image/{*}Pixels")
    if pixels is None:
        return ()
    places: dict[int, int] = {}
    is_named = False
    for entry in pixels.iterfind("{*}TiffData"):
        page = int(entry.get("IFD", 0))
        # Only one axis is longer than 1 (else the file is refused), so that the sum is the position along it.
        first = sum(int(entry.get(f"First{axis}", 0)) for axis in AXES)
        is_named = is_named or any(f"First{axis}" in entry.attrib for axis in AXES)
        count = int(entry.get("PlaneCount", 1 if "IFD" in entry.attrib else pages))
        places.update({page + k: first + k for k in range(min(count, pages))})
    return tuple(places.get(page, -1) for page in range(pages)) if is_named else ()
