"""Voxel sizes that no electron microscope has, and resolutions of a screen in the place of a voxel size."""

import math
from collections.abc import Iterator, Sequence

from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.source_files import DESCRIPTION
from spherovem_core.ingest.voxel_size import REMEDY, VoxelSize

ARGUMENT = "argument"
SMALLEST_NM = 0.5
LARGEST_NM = 10_000.0
LARGEST_ANISOTROPY = 100.0

# Programs fill in these where they know no pixel size: one pixel per nm, µm or mm, and the dots per inch of screens and printers.
_UNITS_NM = {1.0: "nm", 1e3: "µm", 1e6: "mm"}
_DOTS = (72, 96, 300)
_INCH_NM = 2.54e7
# Rounded to dots per metre, 72 dots per inch are 2835 (or 2834).
_INCH_TOLERANCE = 3e-4
_MOST_POWERS = 8
_FILLED_IN_BY = ("ImageJ", "OME", "resolution tags")
_TOLERANCE = 1e-5


def plausibility_problems(sizes: Sequence[VoxelSize]) -> Iterator[Problem]:
    """Report a voxel size from metadata that can hardly be one; what the user states in nm counts as it is.

    Parameters
    ----------
    sizes
        As `spherovem_core.ingest.voxel_size.combine` takes them, the most trusted first.
    """
    depth = next((size for size in sizes if size.z_nm is not None), None)
    pixel = next((size for size in sizes if size.yx_nm is not None), None)
    found = []
    if depth is not None and depth.z_nm is not None and not _is_stated(depth):
        found += _out_of_range("z", (depth.z_nm,), depth.origin)
    if pixel is not None and pixel.yx_nm is not None and not _is_stated(pixel):
        found += _out_of_range("y, x", pixel.yx_nm, pixel.origin) or _filled_in(pixel.yx_nm, pixel.origin)
    if not found and depth is not None and pixel is not None:
        found += _anisotropic(depth, pixel)
    for text in found:
        yield Problem(f"{text}; {REMEDY}", about="spacing")


def _is_stated(size: VoxelSize) -> bool:
    return size.origin in (ARGUMENT, DESCRIPTION)


def _out_of_range(axes: str, values: Sequence[float], origin: str) -> list[str]:
    if all(SMALLEST_NM <= value <= LARGEST_NM for value in values):
        return []
    return [
        f"voxel size {axes} = {', '.join(f'{value:.6g}' for value in values)} nm ({origin}) is not plausible; expected "
        f"{SMALLEST_NM:g} to {LARGEST_NM:g} nm"
    ]


def _filled_in(values: Sequence[float], origin: str) -> list[str]:
    if not origin.startswith(_FILLED_IN_BY):
        return []
    for unit_nm, unit in _UNITS_NM.items():
        dots = (1,) if origin.startswith("OME") else (1, *_DOTS)
        for count in dots:
            if all(math.isclose(value * count, unit_nm, rel_tol=_TOLERANCE) for value in values):
                pixels = "1 pixel" if count == 1 else f"{count} pixels"
                return [
                    f"voxel size y, x = {values[0]:.6g} nm ({origin}) is {pixels} per {unit}, "
                    "which programs write where they know none"
                ]
    for count in _DOTS:
        ratio = _INCH_NM / count / values[0]
        power = round(math.log10(ratio))
        if 0 < power <= _MOST_POWERS and all(
            math.isclose(value * 10**power, _INCH_NM / count, rel_tol=_INCH_TOLERANCE) for value in values
        ):
            return [
                f"voxel size y, x = {values[0]:.6g} nm ({origin}) has the digits of {count} dots per inch, the resolution of a "
                "screen or printer in another unit"
            ]
    return []


def _anisotropic(depth: VoxelSize, pixel: VoxelSize) -> list[str]:
    if depth.z_nm is None or pixel.yx_nm is None or (_is_stated(depth) and _is_stated(pixel)):
        return []
    sides = (depth.z_nm, *pixel.yx_nm)
    ratio = max(sides) / min(sides)
    if ratio <= LARGEST_ANISOTROPY:
        return []
    return [
        f"voxel size z, y, x = {', '.join(f'{side:.6g}' for side in sides)} nm (z: {depth.origin}; y, x: {pixel.origin}) is "
        f"{ratio:.3g} times as long as wide; expected at most {LARGEST_ANISOTROPY:g}"
    ]
