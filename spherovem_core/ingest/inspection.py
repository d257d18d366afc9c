"""What a TIFF file holds, checked page by page before any pixel is read."""

import itertools
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage

from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.slice_file import SliceFile
from spherovem_core.ingest.stack_metadata import declared_count, hyperstack_problems, ome_page_order
from spherovem_core.ingest.vendor_metadata import (
    databar_rows,
    resolution_voxel_size,
    slice_index,
    voxel_sizes,
)
from spherovem_core.ingest.voxel_size import VoxelSize

ACCEPTED = (np.dtype(np.uint8), np.dtype(np.uint16))


@dataclass(frozen=True)
class FileReport:
    """What one TIFF file holds.

    Attributes
    ----------
    slices
        Its slices in the order of the file. A file that cannot be opened counts as one slice with a fault.
    problems
        What no filling gets over: colour, an unaccepted type, several channels.
    declared_count
        Images that the file should hold by its metadata; 0 where they say nothing.
    broken_off
        Whether its chain of images leads on to one that is not there.
    voxel_sizes
        What its metadata say of the voxel size, the most trusted first.
    untrusted_pixel
        The pixel size by its resolution tags, whether or not they are to be trusted.
    databar_rows
        Height of the databar by its metadata.
    indices
        Slice numbers that the instrument or OME metadata gave its pages; empty where they follow one another.
    facts
        Compression, byte order and so on, for the history.
    """

    path: Path
    slices: tuple[SliceFile, ...]
    problems: tuple[Problem, ...] = ()
    declared_count: int = 0
    broken_off: bool = False
    voxel_sizes: tuple[VoxelSize, ...] = ()
    untrusted_pixel: VoxelSize | None = None
    databar_rows: int = 0
    indices: tuple[int, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


def inspect_file(path: Path, *, trust_resolution_tags: bool = False) -> FileReport:
    """Read the directories of a TIFF file and check that its slices are of an accepted kind and really there.

    Reduced-resolution and mask pages are skipped.
    """
    size = path.stat().st_size
    try:
        with TiffFile(path) as tif:
            every_page, broken_off = _read_pages(tif)
            pages = [page for page in every_page if not (page.is_reduced or page.is_mask)]
            if not pages:
                return _unreadable(path, size, "its image directory is missing")
            return FileReport(
                path,
                slices=tuple(_slices(tif, pages, path, size)),
                problems=(*_kind_problems(pages, path), *hyperstack_problems(tif, path)),
                declared_count=declared_count(tif, pages[0]),
                broken_off=broken_off,
                voxel_sizes=voxel_sizes(tif, trust_resolution_tags=trust_resolution_tags),
                untrusted_pixel=resolution_voxel_size(pages[0]),
                databar_rows=databar_rows(tif),
                indices=ome_page_order(tif, len(pages)) or _indices(pages),
                facts=_facts(tif, pages[0]),
            )
    except OSError:
        raise
    except Exception as error:  # a damaged directory fails in many ways inside tifffile
        return _unreadable(path, size, str(error))


def _unreadable(path: Path, size: int, reason: str) -> FileReport:
    return FileReport(
        path,
        (SliceFile(path, fault=f"truncated or not a TIFF file ({size} bytes: {reason})"),),
    )


def _read_pages(tif: TiffFile) -> tuple[list[TiffPage], bool]:
    """Follow the chain of pages as far as it goes; say whether it was to go further."""
    pages: list[TiffPage] = []
    while True:
        try:
            pages.append(tif.pages[len(pages)])
        except OSError:
            raise
        except Exception:  # the end of the chain, or a damaged directory
            return pages, bool(pages) and _next_directory(tif, pages[-1]) != 0


def _next_directory(tif: TiffFile, page: TiffPage) -> int:
    layout, file = tif.tiff, tif.filehandle
    file.seek(page.offset)
    (tags,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
    file.seek(page.offset + layout.tagnosize + tags * layout.tagsize)
    link = file.read(layout.offsetsize)
    return int(struct.unpack(layout.offsetformat, link)[0]) if len(link) == layout.offsetsize else -1


def _slices(tif: TiffFile, pages: list[TiffPage], path: Path, size: int) -> Iterator[SliceFile]:
    first = pages[0]
    if len(pages) == 1 and _is_plain(first) and (tif.is_imagej or tif.is_shaped):
        # ImageJ writes large stacks as one directory with all planes one after another behind it.
        count = declared_count(tif, first)
        if count > 1:
            for index in range(count):
                yield _slice(tif, first, path, size, index, index * int(first.nbytes))
            return
    for index, page in enumerate(pages):
        yield _slice(tif, page, path, size, index if len(pages) > 1 else None)


def _slice(
    tif: TiffFile, page: TiffPage, path: Path, size: int, index: int | None, skip: int = 0
) -> SliceFile:
    plain = _is_plain(page)
    dtype = np.dtype(page.dtype or np.uint8)
    rows, columns = (*page.shape, 0, 0)[:2]
    return SliceFile(
        path,
        index,
        int(page.offset),
        int(page.dataoffsets[0]) + skip if plain else None,
        dtype.newbyteorder(tif.byteorder) if plain else dtype,
        (int(rows), int(columns)),
        page.photometric == PHOTOMETRIC.MINISWHITE,
        _data_fault(page, size, skip),
    )


def _is_plain(page: TiffPage) -> bool:
    return bool(page.is_contiguous) and page.fillorder == 1 and bool(page.dataoffsets)


def _data_fault(page: TiffPage, size: int, skip: int) -> str:
    """Say what of the pixel data is not in the file."""
    offsets, counts = page.dataoffsets, page.databytecounts
    expected = math.prod(page.chunked)
    if len(offsets) < expected or len(counts) < expected:
        return f"truncated, {min(len(offsets), len(counts))} of {expected} strips or tiles are listed"
    if _is_plain(page):
        end = offsets[0] + skip + page.nbytes
    elif any(count == 0 for count in counts):
        return f"{sum(count == 0 for count in counts)} of {len(counts)} strips or tiles hold no data"
    else:
        end = max(offset + count for offset, count in zip(offsets, counts, strict=True))
    return f"truncated, its pixels end at byte {end}, the file at {size}" if end > size else ""


def _kind_problems(pages: list[TiffPage], path: Path) -> Iterator[Problem]:
    wanted = "expected slices of one channel in uint8 or uint16: export them as greyscale"
    kinds = {}
    for page in pages:
        if page.samplesperpixel > 1:
            kinds[f"colour, {page.samplesperpixel} samples a pixel; {wanted}"] = page
        elif page.photometric == PHOTOMETRIC.PALETTE and not _is_grey_palette(page):
            kinds[f"palette colour; {wanted}"] = page
        elif page.dtype is None or np.dtype(page.dtype) not in ACCEPTED:
            kinds[f"pixels of type {page.dtype or 'unknown'}; {wanted}"] = page
        elif len(page.shape) != 2:
            kinds[f"pages of {len(page.shape)} dimensions; {wanted}"] = page
    return (Problem(kind, path.name) for kind in kinds)


def _is_grey_palette(page: TiffPage) -> bool:
    """Whether a palette is a grey ramp; Zeiss replaces some of its entries by colours for annotations."""
    palette = page.colormap
    if palette is None:
        return False
    levels = palette.shape[1]
    ramp = np.arange(levels) * (65535 // (levels - 1))
    return bool(np.mean(np.all(palette == ramp, axis=0)) > 0.75)


def _indices(pages: list[TiffPage]) -> tuple[int, ...]:
    indices = [slice_index(page) for page in pages]
    found = tuple(index for index in indices if index is not None)
    rising = all(a < b for a, b in itertools.pairwise(found))
    return found if len(found) == len(pages) and rising else ()


def _facts(tif: TiffFile, page: TiffPage) -> dict[str, Any]:
    vendors = {"FEI/Thermo": tif.is_fei, "Zeiss": tif.is_sem, "OME": tif.is_ome, "ImageJ": tif.is_imagej}
    return {
        "container": "BigTIFF" if tif.is_bigtiff else "TIFF",
        "byte_order": "big" if tif.byteorder == ">" else "little",
        "compression": COMPRESSION(page.compression).name.lower(),
        "bits": page.bitspersample,
        "metadata": ", ".join(name for name, present in vendors.items() if present) or "none",
    }
