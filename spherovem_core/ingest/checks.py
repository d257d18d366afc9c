"""Checks over a whole acquisition; each yields the problems that it finds."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from spherovem_core.errors import AcquisitionError, ParameterError
from spherovem_core.ingest.description import Description
from spherovem_core.ingest.numbering import ranges
from spherovem_core.ingest.ordering import OrderedSlices
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import ACCEPTED_TYPES, FileReport, SliceFile
from spherovem_core.ingest.stack import SliceStack
from spherovem_core.ingest.value_range import with_grey_scale
from spherovem_core.ingest.voxel_size import VoxelSize, combine, describe_missing_axes, differs, spacing_of

Kind = tuple[tuple[int, int], np.dtype[Any]]


def shape_and_type(file: SliceFile, databars: Mapping[Path, int]) -> Kind:
    """Return the shape with the databar cut off, and the type in native byte order.

    Raises
    ------
    ParameterError
        If the databar leaves nothing of the slice.
    """
    rows, columns = file.shape
    rows -= databars[file.path]
    if rows < 1:
        raise ParameterError(
            f"databar_rows = {databars[file.path]} leaves nothing of {file.name} with its {file.shape[0]} rows"
        )
    return (rows, columns), file.dtype.newbyteorder("=")


def usual_shape_and_type(files: Sequence[SliceFile | None], databars: Mapping[Path, int]) -> Kind:
    """Find the shape and type of most slices; of two equally frequent ones, those of the first slice."""
    kinds = [shape_and_type(file, databars) for file in files if file is not None and not file.fault]
    return Counter(kinds).most_common(1)[0][0] if kinds else ((0, 0), np.dtype(np.uint8))


def shape_problems(
    files: Sequence[SliceFile | None], databars: Mapping[Path, int], usual: Kind
) -> Iterator[Problem]:
    """Report slices of another shape or type than most."""
    readable = [
        (file, shape_and_type(file, databars)) for file in files if file is not None and not file.fault
    ]
    (rows, columns), dtype = usual
    others = f"the other {sum(kind == usual for _, kind in readable)} slices"
    for file, (shape, own_dtype) in readable:
        if shape != usual[0]:
            found = f"{shape[0]} × {shape[1]} pixels, {others} have {rows} × {columns}"
        elif own_dtype != dtype:
            found = f"pixels of type {own_dtype}, {others} have {dtype}"
        else:
            continue
        yield Problem(f"{found}; export all slices alike", file.name)


def orientation_problems(files: Sequence[SliceFile | None]) -> Iterator[Problem]:
    """Report slices that are turned or mirrored against most others by their metadata, which is not applied."""
    readable = [file for file in files if file is not None and not file.fault]
    counts = Counter(file.orientation for file in readable).most_common()
    for file in readable:
        if file.orientation != counts[0][0]:
            yield Problem(
                f"its orientation (TIFF tag 274) is {file.orientation}, that of the other {counts[0][1]} slices {counts[0][0]}; "
                "export all slices alike",
                file.name,
            )


def missing_slice_problems(
    ordered: OrderedSlices, longest: int, excluded: Collection[int] = ()
) -> Iterator[Problem]:
    """Report slices that are missing or truncated, and runs of them and of excluded ones that are too long to be filled.

    Excluded slices, given by their positions, have no file in `ordered`.
    """
    missing = [
        number
        for z, (number, file) in enumerate(zip(ordered.numbers, ordered.files, strict=True))
        if file is None and z not in excluded
    ]
    if missing:
        numbers = "slice number" if len(missing) == 1 else f"{len(missing)} slice numbers"
        yield Problem(f"{numbers} missing: {ranges(missing)}", fillable=True)
    for file in ordered.files:
        if file is not None and file.fault:
            yield Problem(file.fault, file.name, fillable=True)
    bad = [file is None or bool(file.fault) for file in ordered.files]
    lost = "missing, excluded or truncated" if excluded else "missing or truncated"
    for is_bad, run in groupby(zip(bad, ordered.numbers, strict=True), key=lambda pair: pair[0]):
        numbers_of_run = [number for _, number in run]
        if is_bad and len(numbers_of_run) > longest:
            yield Problem(
                f"slices {numbers_of_run[0]} to {numbers_of_run[-1]} are {lost}, more than max_filled_slices = {longest} in a row"
            )


def slice_count_problems(ordered: OrderedSlices, description: Description) -> Iterator[Problem]:
    """Report another number of slices than ``acquisition.json`` states: some are missing at an end of the stack."""
    found, stated = len(ordered.files), description.slice_count
    if stated is not None and found != stated:
        yield Problem(
            f"acquisition.json states slice_count = {stated}, but the numbers run from {ordered.numbers[0]} to "
            f"{ordered.numbers[-1]}, {found} slices; add the others, or correct slice_count to continue without them"
        )


def spacing_problems(
    size: VoxelSize, reports: Sequence[FileReport], *, trust_resolution_tags: bool
) -> Iterator[Problem]:
    """Report an incomplete voxel spacing."""
    if spacing_of(size) is None:
        missing = describe_missing_axes(size)
        pixel = reports[0].untrusted_pixel
        if size.yx_nm is None and pixel is not None and pixel.yx_nm and not trust_resolution_tags:
            missing += (
                f" (the resolution tags say y, x = {pixel.yx_nm[0]:g}, {pixel.yx_nm[1]:g} nm, on most instruments "
                "the screen's dpi; trust_resolution_tags takes them)"
            )
        if reports[0].left_out:
            missing += f" ({'; '.join(reports[0].left_out)}: it was binned, cropped or resized since)"
        yield Problem(missing, about="spacing")


def voxel_size_problems(
    reports: Sequence[FileReport], files: Sequence[SliceFile | None]
) -> Iterator[Problem]:
    """Report files, and pages of one file, whose metadata give another voxel size than the first one; `files` are those kept."""
    sizes = [(report.path.name, combine(report.voxel_sizes)) for report in reports]
    known = [(name, size) for name, size in sizes if size.has_values]
    for name, size in known[1:]:
        if differs(size, known[0][1]):
            yield Problem(
                f"voxel size {size.text}, in {known[0][0]} it is {known[0][1].text}; "
                "magnification must not change: split the acquisition, or pass spacing_nm",
                name,
            )
    pages = {(file.path, file.page) for file in files if file is not None}
    for report in reports:
        for page, size in report.changed_voxel_sizes:
            if (report.path, page) not in pages:
                continue
            yield Problem(
                f"voxel size {size.text}, on its first page it is {combine(report.voxel_sizes).text}; "
                "magnification must not change: split the acquisition, or pass spacing_nm",
                f"{report.path.name} page {page + 1}",
            )


def content_problems(stack: SliceStack, known: set[str]) -> list[Problem]:
    """Read every slice without a known problem; report those that are blank, saturated or cannot be decoded."""
    if stack.source_dtype not in ACCEPTED_TYPES:
        return []
    try:
        stack = with_grey_scale(stack)
    except AcquisitionError as error:
        return [Problem(str(error))]
    unread = [
        z for z, file in enumerate(stack.kept_files) if file and not known & {file.name, file.path.name}
    ]
    # Two threads keep two slices in memory: a slice may have gigabytes.
    with ThreadPoolExecutor(2) as threads:
        reasons = threads.map(lambda z: stack.read_as_acquired(z).reason, unread)
        return [
            Problem(reason, stack.slice_name(z), fillable=True)
            for z, reason in zip(unread, reasons, strict=True)
            if reason
        ]
