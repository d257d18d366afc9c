"""Labels in TIFF files, OME-TIFF and ImageJ's included, and in folders of slices."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

from spherovem_core.errors import LabelsError
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.label_files.npy_labels import map_npy
from spherovem_core.store.label_files.unpacking import unpacking
from spherovem_core.store.label_files.volume import (
    EXPECTED,
    LabelVolume,
    deferred_volume,
    triple,
    volume_of_array,
)

SUFFIXES = (".tif", ".tiff")
NM_PER_UNIT = {
    "nm": 1.0,
    "nanometer": 1.0,
    "µm": 1e3,
    "μm": 1e3,
    "um": 1e3,
    "micron": 1e3,
    "micrometer": 1e3,
    "\\u00b5m": 1e3,
    "mm": 1e6,
    "å": 0.1,
}


def open_tiff(path: Path, folder: Path) -> LabelVolume:
    """Map a TIFF file whose pages are the slices.

    An uncompressed file in one piece, such as ImageJ writes, is mapped where it lies. Others are unpacked page by page, because
    an object spans many pages, each of which is compressed as a whole.

    Raises
    ------
    LabelsError
        If the file is damaged, or its pages are not the slices of one volume.
    """
    try:
        with tifffile.TiffFile(path) as file:
            pages: list[Any] = list(file.pages)
            spacing = _stated_spacing(file)
            if (mapped := _mapped(path, file, len(pages))) is not None:
                return volume_of_array(mapped, spacing)
            _check_pages(path, file, pages)
            shape, dtype = (len(pages), *pages[0].shape), pages[0].dtype
            return deferred_volume(
                shape, dtype, lambda: _unpack(path, _pages(path), shape, dtype, folder), spacing
            )
    except tifffile.TiffFileError as error:
        raise LabelsError(f"{path} is no TIFF file ({error}); {EXPECTED}") from error


def tiff_slices(path: Path) -> list[Path]:
    """List the TIFF files of a folder."""
    return [each for each in path.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file()]


def open_tiff_slices(path: Path, folder: Path) -> LabelVolume:
    """Unpack a folder of TIFF files, each of which holds a slice; the last number in a name gives the order.

    Raises
    ------
    LabelsError
        If a slice is missing in the numbering, is damaged, or has another shape or type than the first.
    """
    files = _ordered(path, tiff_slices(path))
    shape, dtype = _page_of_file(files[0]).shape, _page_of_file(files[0]).dtype

    def slices() -> Iterator[NDArray[Any]]:
        for file in files:
            values = _page_of_file(file)
            if (values.shape, values.dtype) != (shape, dtype) or len(shape) != 2:
                raise LabelsError(
                    f"{file} has the shape {values.shape} and type {values.dtype}, {files[0].name} {shape} and {dtype}; "
                    "expected one plane of labels per file, all alike"
                )
            yield values

    whole = (len(files), *shape)
    return deferred_volume(whole, dtype, lambda: _unpack(path, slices(), whole, dtype, folder))


def _ordered(path: Path, files: Sequence[Path]) -> list[Path]:
    numbers: dict[int, Path] = {}
    for file in sorted(files):
        found = re.findall(r"\d+", file.stem)
        if not found or int(found[-1]) in numbers:
            problem = "has the number of another slice" if found else "has no number in its name"
            raise LabelsError(
                f"{path}: {file.name} {problem}; expected one number per slice at the end of its name"
            )
        numbers[int(found[-1])] = file
    order = sorted(numbers)
    steps = np.diff(order)
    if len(order) > 1 and (steps != steps.min()).any():
        gap = order[int(np.argmax(steps != steps.min()))]
        raise LabelsError(f"{path}: slices are missing after number {gap}; expected a file for each slice")
    return [numbers[number] for number in order]


def _page_of_file(path: Path) -> NDArray[Any]:
    try:
        with tifffile.TiffFile(path) as file:
            if len(file.pages) != 1:
                raise LabelsError(
                    f"{path} has {len(file.pages)} pages; expected one slice per file in a folder of slices"
                )
            return _page(path, file.pages[0])
    except tifffile.TiffFileError as error:
        raise LabelsError(f"{path} is no TIFF file ({error}); copy or write it again") from error


def _unpack(
    path: Path,
    slices: Iterator[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    folder: Path,
) -> Any:
    native = dtype.newbyteorder("=")
    header = {"descr": np.lib.format.dtype_to_descr(native), "fortran_order": False, "shape": shape}
    plain_path = folder / "labels.npy"
    with unpacking(path, plain_path) as plain:
        np.lib.format.write_array_header_1_0(plain, header)
        for values in slices:
            plain.write(np.ascontiguousarray(values, native).tobytes())
    return map_npy(plain_path, str(path))


def _pages(path: Path) -> Iterator[NDArray[Any]]:
    with tifffile.TiffFile(path) as file:
        for page in file.pages:
            yield _page(path, page)


def _mapped(path: Path, file: tifffile.TiffFile, pages: int) -> NDArray[Any] | None:
    """Map the pixels if they lie in the file uncompressed, in one piece and whole; else return None."""
    series: Any = file.series[0]
    offset = series.dataoffset
    planes = int(np.prod(series.shape[:-2]))
    whole = offset is not None and offset + series.nbytes <= path.stat().st_size
    if not whole or series.axes[-2:] != "YX" or (len(file.series) > 1 and planes != pages):
        return None
    _check_axes(path, series)
    dtype = series.dtype.newbyteorder(file.byteorder)
    return np.memmap(path, dtype, "r", offset, (planes, *series.shape[-2:]))


def _check_axes(path: Path, series: Any) -> None:
    """Refuse a fourth axis: of those before y and x, one may be longer than 1."""
    longer = [
        f"{axis} {extent}" for axis, extent in zip(series.axes[:-2], series.shape, strict=False) if extent > 1
    ]
    if len(longer) > 1:
        raise LabelsError(
            f"{path} has four axes or more ({', '.join(longer)}, and y, x); expected z, y, x: write one volume per file"
        )


def _check_pages(path: Path, file: tifffile.TiffFile, pages: Sequence[Any]) -> None:
    """Check that the pages are the slices: tifffile returns fewer pages of a truncated file without an error."""
    shapes = sorted({page.shape for page in pages})
    if len(shapes) != 1 or len(shapes[0]) != 2:
        raise LabelsError(
            f"{path} has pages of shapes {shapes}; expected one plane of labels per page, all of one shape"
        )
    shape = file.shaped_metadata[0].get("shape", ()) if file.shaped_metadata else ()
    declared = int(np.prod(shape[:-2])) if len(shape) > 2 else 0
    declared = declared or int((file.imagej_metadata or {}).get("images", 0)) or _ome_planes(file)
    if declared not in (0, len(pages)):
        raise LabelsError(
            f"{path} has {len(pages)} pages, but its header says {declared}; it is truncated or not written page by page: "
            "copy it again, or write it as npz"
        )
    if len(file.series) == 1:
        _check_axes(path, file.series[0])


def _page(path: Path, page: Any) -> NDArray[Any]:
    try:
        values = np.asarray(page.asarray())
    except (ValueError, OSError, RuntimeError, IndexError) as error:
        raise LabelsError(
            f"{path}: slice {page.index} cannot be decoded ({error}); copy or write it again"
        ) from error
    expected: Any = page.shape
    if values.shape != expected:
        raise LabelsError(
            f"{path}: slice {page.index} has shape {values.shape}, expected {expected}; it is truncated: copy it again"
        )
    return values


def _ome_pixels(file: tifffile.TiffFile) -> Any:
    """Return the element of the OME metadata that describes the pixels, None if there is none."""
    if not file.is_ome or not file.ome_metadata:
        return None
    try:
        return ElementTree.fromstring(file.ome_metadata.encode()).find(".//{*}Pixels")
    except ElementTree.ParseError:
        return None


def _ome_planes(file: tifffile.TiffFile) -> int:
    pixels = _ome_pixels(file)
    return 0 if pixels is None else int(np.prod([int(pixels.get(f"Size{axis}", 1)) for axis in "ZCT"]))


def _stated_spacing(file: tifffile.TiffFile) -> SpacingNm | None:
    """Return the voxel size of OME or ImageJ metadata; None where an axis or the unit is missing."""
    pixels = _ome_pixels(file)
    if pixels is not None:
        sizes = [pixels.get(f"PhysicalSize{axis}") for axis in "ZYX"]
        units = [pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "ZYX"]
        return _in_nm(sizes, units)
    found = file.imagej_metadata
    page: Any = file.pages[0]
    if not found or "spacing" not in found or not all(f"{axis}Resolution" in page.tags for axis in "YX"):
        return None
    per_unit = [page.tags[f"{axis}Resolution"].value for axis in "YX"]
    sides = [below / above if above else 0.0 for above, below in per_unit]
    return _in_nm([found["spacing"], *sides], [found.get("unit", "")] * 3)


def _in_nm(sizes: Sequence[Any], units: Sequence[str]) -> SpacingNm | None:
    scales = [NM_PER_UNIT.get(str(unit).lower()) for unit in units]
    if None in scales or any(size is None or not float(size) > 0 for size in sizes):
        return None
    sides = [float(size) for size in sizes]
    if all(side == 1 for side in sides):
        return None
    return triple([side * scale for side, scale in zip(sides, scales, strict=True) if scale])
