"""OME-XML in a TIFF: its images, the planes in this file, and the other files of the same stack."""

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from tifffile import TiffFile

AXES = "ZCT"


def ome_root(tif: TiffFile) -> ElementTree.Element | None:
    """Parse the OME metadata; return None if there are no readable ones."""
    return parse_ome(str(tif.ome_metadata)) if tif.is_ome else None


# A file is asked several times; a tree takes some ten times the text.
@lru_cache(maxsize=16)
def parse_ome(text: str) -> ElementTree.Element | None:
    """Parse OME-XML; return None if it is none, or has a document type: entities expand to any length."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError):
        return None


@dataclass(frozen=True)
class OmeImage:
    """One image of OME metadata.

    Attributes
    ----------
    name
        As the program named it; may be empty.
    extents
        Number of planes along z, channel and time.
    channel_names
        Names of its channels that differ.
    is_timed
        True if its planes have different times.
    """

    name: str
    extents: tuple[int, int, int]
    channel_names: tuple[str, ...]
    is_timed: bool

    @property
    def planes(self) -> int:
        """Number of planes."""
        return math.prod(self.extents)


def ome_images(root: ElementTree.Element) -> list[OmeImage]:
    """List the images."""
    return list(_images(root))


def _images(root: ElementTree.Element) -> Iterator[OmeImage]:
    for image in root.iterfind("{*}Image"):
        pixels = image.find("{*}Pixels")
        if pixels is None:
            continue
        z, c, t = (_count(pixels.get(f"Size{axis}", "1")) for axis in AXES)
        names = dict.fromkeys(channel.get("Name", "") for channel in pixels.iterfind("{*}Channel"))
        increment = pixels.get("TimeIncrement", "0")
        times = {plane.get("DeltaT") for plane in pixels.iterfind("{*}Plane")} - {None}
        yield OmeImage(
            image.get("Name", ""),
            (z, c, t),
            tuple(name for name in names if name),
            increment.strip("0. ") != "" or len(times) > 1,
        )


def _count(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,18}", text) and int(text) else 1


@dataclass(frozen=True)
class OmePart:
    """Part of a stack over several files that one of them holds.

    Attributes
    ----------
    companions
        Names of all other files of the stack.
    positions
        Position in the stack of each plane in this file, by its page.
    """

    companions: tuple[str, ...]
    positions: dict[int, int]


def ome_part(root: ElementTree.Element, filename: str) -> OmePart | None:
    """Find which part of a stack over several files this one holds; return None if it holds all of it.

    A file that is not among those named was renamed and is found by its identifier.
    """
    entries = []
    for pixels in root.iterfind("{*}Image/{*}Pixels"):
        for entry in pixels.iterfind("{*}TiffData"):
            owner = entry.find("{*}UUID")
            if owner is not None and owner.get("FileName"):
                entries.append((entry, str(owner.get("FileName")), (owner.text or "").strip()))
    names = dict.fromkeys(name for _, name, _ in entries)
    if len(names) < 2:
        return None
    identifier = root.get("UUID", "")
    own = (
        filename
        if filename in names
        else next((n for _, n, uuid in entries if uuid and uuid == identifier), "")
    )
    positions: dict[int, int] = {}
    for entry, name, _ in entries:
        if name == own:
            page, first = int(entry.get("IFD", 0)), sum(int(entry.get(f"First{axis}", 0)) for axis in AXES)
            for k in range(min(_count(entry.get("PlaneCount", "1")), 2**20)):
                positions[page + k] = first + k
    return OmePart(tuple(name for name in names if name != own), positions)
