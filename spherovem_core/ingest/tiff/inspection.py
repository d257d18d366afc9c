"""The content of a TIFF file, checked page by page before any pixel is read."""

import itertools
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage

from spherovem_core.ingest import locations
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import ACCEPTED_TYPES, WANTED, FileReport, SliceFile, refused
from spherovem_core.ingest.tiff.acquisition_times import acquisition_times
from spherovem_core.ingest.tiff.directories import follow_directories
from spherovem_core.ingest.tiff.expansion import expansion_fault
from spherovem_core.ingest.tiff.palettes import grey_order, is_inverted
from spherovem_core.ingest.tiff.pixels import DAMAGE, PagePlace
from spherovem_core.ingest.tiff.stack_metadata import (
    ome_page_order,
    ome_position_problems,
    read_stack_metadata,
)
from spherovem_core.ingest.tiff.vendor_metadata import (
    changed_voxel_sizes,
    databar_rows,
    left_out,
    resolution_voxel_size,
    slice_index,
    vendors,
    voxel_sizes,
)

_ORIENTATION = 274
# Slices behind the end of a truncated file that are listed one by one.
MOST_SHOWN_MISSING = 1000


def inspect_file(path: Path) -> FileReport:
    """Read the directories of a TIFF file and check that its pages are of an accepted kind and complete.

    Reduced-resolution and mask pages are skipped.
    """
    size = locations.size_of(path)
    try:
        with locations.open_binary(path) as file:
            directories = follow_directories(file)
            if not directories.count:
                return _unreadable(path, size, directories.damage or "its image directory is missing")
            file.seek(0)
            tif = TiffFile(file, name=path.name)
            every_page, broken_off = _read_pages(tif, directories.count)
            pages = [page for page in every_page if not (page.is_reduced or page.is_mask)]
            if not pages and every_page:
                found = (
                    "holds nothing but masks and previews by its metadata (tag 254); export the slice again"
                )
                return refused(path, (Problem(found, path.name),))
            if not pages:
                return _unreadable(path, size, "its image directory is missing")
            stack = read_stack_metadata(tif, pages, path)
            damage = f"damaged, {directories.damage}; copy it again, or export it again"
            return FileReport(
                path,
                slices=tuple(_slices(tif, pages, path, size, stack.count)),
                problems=(
                    *_kind_problems(pages, path),
                    *(stack.problems or ome_position_problems(tif, len(pages), stack.part, path)),
                    *([Problem(damage, path.name)] if directories.damage else []),
                ),
                declared_count=stack.count or int(tif.is_imagej and len(pages) == 1),
                broken_off=broken_off and not directories.damage,
                companions=stack.part.companions if stack.part else (),
                voxel_sizes=voxel_sizes(tif, pages[0]),
                changed_voxel_sizes=tuple(changed_voxel_sizes(pages)),
                left_out=left_out(tif, pages[0]),
                untrusted_pixel=resolution_voxel_size(pages[0]),
                databar_rows=databar_rows(pages[0]),
                indices=ome_page_order(tif, len(pages), stack.part) or _indices(pages),
                times=acquisition_times(pages),
                facts=_facts(tif, pages[0]),
            )
    except (*DAMAGE, MemoryError) as error:  # a damaged count asks for any amount of memory
        return _unreadable(path, size, str(error))


def _unreadable(path: Path, size: int, reason: str) -> FileReport:
    return FileReport(
        path,
        (SliceFile(path, fault=f"truncated or not a TIFF file ({size} bytes: {reason})"),),
    )


def _read_pages(tif: TiffFile, count: int) -> tuple[list[TiffPage], bool]:
    """Read this many pages, as far as they can be read; return them, and whether the chain should have gone further."""
    pages: list[TiffPage] = []
    while len(pages) < count:
        try:
            # Files of light microscopes are opened with all pages but the first shortened.
            pages.append(tif.pages[len(pages)].aspage())
        except (*DAMAGE, MemoryError):  # a damaged directory
            break
    return pages, bool(pages) and _next_directory(tif, pages[-1]) != 0


def _next_directory(tif: TiffFile, page: TiffPage) -> int:
    layout, file = tif.tiff, tif.filehandle
    file.seek(page.offset)
    (tags,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
    file.seek(page.offset + layout.tagnosize + tags * layout.tagsize)
    link = file.read(layout.offsetsize)
    return int(struct.unpack(layout.offsetformat, link)[0]) if len(link) == layout.offsetsize else -1


def _slices(tif: TiffFile, pages: list[TiffPage], path: Path, size: int, count: int) -> Iterator[SliceFile]:
    first = pages[0]
    if len(pages) == 1 and _is_plain(first) and (tif.is_imagej or tif.is_shaped) and first.nbytes:
        # ImageJ writes a large stack as one directory, followed by all planes one after another.
        there, rest = divmod(max(0, size - int(first.dataoffsets[0])), int(first.nbytes))
        if count > 1 or (tif.is_imagej and there > 1 and rest == 0):
            # A damaged count may be of any size; those behind the end of the file are missing. More planes than it are a fault.
            for index in range(max(there, min(count, there + MOST_SHOWN_MISSING))):
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
    place = PagePlace(
        int(page.offset),
        int(page.dataoffsets[0]) + skip if plain else None,
        is_inverted(page),
        int(page.bitspersample),
    )
    return SliceFile(
        path,
        index,
        dtype.newbyteorder(tif.byteorder) if plain else dtype,
        (int(rows), int(columns)),
        _data_fault(page, size, skip),
        place,
        _orientation(page),
    )


def _orientation(page: TiffPage) -> int:
    value = page.tags.valueof(_ORIENTATION, 1)
    return value if isinstance(value, int) and value in range(1, 9) else 1


def _is_plain(page: TiffPage) -> bool:
    return bool(page.is_contiguous) and page.fillorder == 1 and bool(page.dataoffsets)


def _data_fault(page: TiffPage, size: int, skip: int) -> str:
    """Describe which pixel data are not in the file; return an empty text if all are."""
    offsets, counts = page.dataoffsets, page.databytecounts
    expected = math.prod(page.chunked)
    if len(offsets) < expected or len(counts) < expected:
        return f"truncated, {min(len(offsets), len(counts))} of {expected} strips or tiles are listed"
    if _is_plain(page):
        end = offsets[0] + skip + page.nbytes
    elif any(count == 0 for count in counts):
        return f"{sum(count == 0 for count in counts)} of {len(counts)} strips or tiles hold no data"
    else:
        end = max((offset + count for offset, count in zip(offsets, counts, strict=False)), default=0)
    if end <= size and (fault := expansion_fault(page, sum(counts))):
        return fault
    return f"truncated, its pixels end at byte {end}, the file at {size}" if end > size else ""


def _kind_problems(pages: list[TiffPage], path: Path) -> Iterator[Problem]:
    kinds = {}
    for page in pages:
        if page.samplesperpixel > 1:
            kinds[f"colour, {page.samplesperpixel} samples per pixel; {WANTED}"] = page
        elif page.photometric == PHOTOMETRIC.PALETTE and grey_order(page) == 0:
            kinds[f"palette colour; {WANTED}"] = page
        elif page.dtype is None or np.dtype(page.dtype) not in ACCEPTED_TYPES:
            kinds[f"pixels of type {page.dtype or 'unknown'}; {WANTED}"] = page
        elif len(page.shape) != 2:
            kinds[f"pages of {len(page.shape)} dimensions; {WANTED}"] = page
    return (Problem(kind, path.name) for kind in kinds)


def _indices(pages: list[TiffPage]) -> tuple[int, ...]:
    indices = [slice_index(page) for page in pages]
    found = tuple(index for index in indices if index is not None)
    rising = all(a < b for a, b in itertools.pairwise(found))
    return found if len(found) == len(pages) and rising else ()


def _facts(tif: TiffFile, page: TiffPage) -> dict[str, Any]:
    return {
        "container": "BigTIFF" if tif.is_bigtiff else "TIFF",
        "byte_order": "big" if tif.byteorder == ">" else "little",
        "compression": COMPRESSION(page.compression).name.lower(),
        "bits": page.bitspersample,
        "metadata": ", ".join(vendors(tif)) or "none",
    }
