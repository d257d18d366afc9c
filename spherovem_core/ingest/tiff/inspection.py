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
from spherovem_core.ingest.reader import ACCEPTED_TYPES, FileReport, SliceFile
from spherovem_core.ingest.tiff.opening import open_tiff
from spherovem_core.ingest.tiff.pixels import DAMAGE, PagePlace
from spherovem_core.ingest.tiff.stack_metadata import declared_count, hyperstack_problems, ome_page_order
from spherovem_core.ingest.tiff.vendor_metadata import (
    databar_rows,
    resolution_voxel_size,
    slice_index,
    voxel_sizes,
)


def inspect_file(path: Path) -> FileReport:
    """Read the directories of a TIFF file and check that its pages are of an accepted kind and complete.

    Reduced-resolution and mask pages are skipped.
    """
    size = locations.size_of(path)
    try:
        with open_tiff(path) as tif:
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
                voxel_sizes=voxel_sizes(tif),
                untrusted_pixel=resolution_voxel_size(pages[0]),
                databar_rows=databar_rows(tif),
                indices=ome_page_order(tif, len(pages)) or _indices(pages),
                facts=_facts(tif, pages[0]),
            )
    except (*DAMAGE, MemoryError) as error:  # a damaged count asks for any amount of memory
        return _unreadable(path, size, str(error))


def _unreadable(path: Path, size: int, reason: str) -> FileReport:
    return FileReport(
        path,
        (SliceFile(path, fault=f"truncated or not a TIFF file ({size} bytes: {reason})"),),
    )


def _read_pages(tif: TiffFile) -> tuple[list[TiffPage], bool]:
    """Follow the chain of pages to its end; return the pages, and whether the chain should have gone further."""
    pages: list[TiffPage] = []
    while True:
        try:
            pages.append(tif.pages[len(pages)])
        except (*DAMAGE, MemoryError):  # the end of the chain, or a damaged directory
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
        # ImageJ writes a large stack as one directory, followed by all planes one after another.
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
    place = PagePlace(
        int(page.offset),
        int(page.dataoffsets[0]) + skip if plain else None,
        page.photometric == PHOTOMETRIC.MINISWHITE,
    )
    return SliceFile(
        path,
        index,
        dtype.newbyteorder(tif.byteorder) if plain else dtype,
        (int(rows), int(columns)),
        _data_fault(page, size, skip),
        place,
    )


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
        end = max(offset + count for offset, count in zip(offsets, counts, strict=True))
    return f"truncated, its pixels end at byte {end}, the file at {size}" if end > size else ""


def _kind_problems(pages: list[TiffPage], path: Path) -> Iterator[Problem]:
    wanted = "expected slices of one channel in uint8 or uint16: export them as greyscale"
    kinds = {}
    for page in pages:
        if page.samplesperpixel > 1:
            kinds[f"colour, {page.samplesperpixel} samples per pixel; {wanted}"] = page
        elif page.photometric == PHOTOMETRIC.PALETTE and not _is_grey_palette(page):
            kinds[f"palette colour; {wanted}"] = page
        elif page.dtype is None or np.dtype(page.dtype) not in ACCEPTED_TYPES:
            kinds[f"pixels of type {page.dtype or 'unknown'}; {wanted}"] = page
        elif len(page.shape) != 2:
            kinds[f"pages of {len(page.shape)} dimensions; {wanted}"] = page
    return (Problem(kind, path.name) for kind in kinds)


def _is_grey_palette(page: TiffPage) -> bool:
    """Return whether a palette is a grey ramp; Zeiss replaces some of its entries by colours for annotations."""
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
