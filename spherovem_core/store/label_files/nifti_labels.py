"""Labels in NIfTI files, as ITK-SNAP, 3D Slicer and SimpleITK write them."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import LabelsError
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.label_files.unpacking import gunzip
from spherovem_core.store.label_files.volume import LabelVolume, deferred_volume, triple

NM_PER_UNIT = {"meter": 1e9, "mm": 1e6, "micron": 1e3}
LARGEST_STEP = 0.1
"""Largest step of a scale whose values are rounded to labels; with larger steps, values near whole numbers may be chance."""
ROUNDING = 1e-6
"""Relative error of a scale, which the header holds as a float32."""


def open_nifti(path: Path, folder: Path) -> LabelVolume:
    """Open a NIfTI file, whose axes are x, y, z; a compressed one is unpacked into a folder when it is read.

    The voxel size counts if the header has a unit and the voxel is no cube of side 1, which programs write that know no
    voxel size. The offset counts if the header has an affine map. ITK writes x and y with a negative sign; in its frame
    both grow with the index.

    Raises
    ------
    LabelsError
        If the file is damaged, has a fourth axis, its axes are turned or mirrored, or its scale makes other than whole numbers.
    """
    shown = str(path)
    image = _load(path, shown)
    proxy = image.dataobj
    shape = [*proxy.shape]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if len(shape) > 3:
        raise LabelsError(
            f"{shown} has the axes x, y, z and more, of shape {tuple(shape)}; expected three axes: write one volume per file"
        )
    spacing, origin = _geometry(image, shown)
    turned = tuple(shape[::-1])
    volume = deferred_volume(turned, proxy.dtype, lambda: _map(path, folder).reshape(turned), spacing, origin)
    return (
        volume if (proxy.slope, proxy.inter) == (1, 0) else _scaled(volume, proxy.slope, proxy.inter, shown)
    )


def _load(path: Path, shown: str) -> Any:
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        return nibabel.load(path)
    except (ImageFileError, ValueError, OSError, EOFError, zlib.error) as error:
        raise LabelsError(f"{shown} is no whole NIfTI file ({error}); copy or write it again") from error


def _map(path: Path, folder: Path) -> NDArray[Any]:
    """Map the stored values, axes in the order z, y, x."""
    plain = gunzip(path, folder) if path.suffix.lower() == ".gz" else path
    proxy = _load(plain, str(path)).dataobj
    try:
        mapped: NDArray[Any] = proxy.get_unscaled().T
    except (ValueError, OSError, EOFError) as error:
        raise LabelsError(f"{path} is no whole NIfTI file ({error}); copy or write it again") from error
    return mapped


def _scaled(volume: LabelVolume, slope: float, intercept: float, shown: str) -> LabelVolume:
    """Apply the scale of the header, so that whole numbers stay whole.

    Programs that save labels from floating-point numbers spread them over the range of an integer type. What they stored is off
    by half a step of that range at most.
    """
    whole = float(slope).is_integer() and float(intercept).is_integer() and volume.dtype.kind in "bui"

    def read(region: Any) -> NDArray[Any]:
        stored = volume[region]
        if whole:
            return np.asarray(stored.astype(np.int64) * int(slope) + int(intercept))
        values = np.asarray(stored * np.float64(slope) + intercept)
        nearest = np.rint(values)
        off = np.abs(values - nearest)
        known = off <= (abs(slope) / 2 if abs(slope) <= LARGEST_STEP else 0) + ROUNDING * (
            1 + np.abs(nearest)
        )
        if not known.all():
            raise LabelsError(
                f"{shown} states a scale of {slope:.6g} and an offset of {intercept:.6g} (scl_slope, scl_inter), by which it has "
                f"the value {values[~known].flat[0]:.6g}; expected whole numbers: write labels as integers without a scale"
            )
        return nearest

    return LabelVolume(
        volume.shape,
        np.dtype(np.int64 if whole else np.float64),
        volume.chunks,
        volume.spacing_nm,
        read,
        volume.origin_nm,
        volume.unpack,
    )


def _geometry(image: Any, shown: str) -> tuple[SpacingNm | None, SpacingNm | None]:
    """Return voxel size and offset, None where the header states none."""
    header = image.header
    unit = NM_PER_UNIT.get(header.get_xyzt_units()[0])
    placed = bool(header["qform_code"] or header["sform_code"])
    matrix = np.asarray(image.affine, float)
    if placed:
        turned = np.abs(matrix[:3, :3] - np.diag(np.diag(matrix[:3, :3]))).max() > 1e-4 * np.abs(matrix).max()
        signs = tuple(np.sign(np.diag(matrix)[:3]))
        if turned or signs not in ((1, 1, 1), (-1, -1, 1)):
            raise LabelsError(
                f"{shown} states turned or mirrored axes, {matrix[:3, :3].round(6).tolist()}; expected x, y and z along the "
                "axes of the volume: export it with an identity direction"
            )
    sides = np.abs(np.diag(matrix)[:3]) if placed else np.asarray(header.get_zooms()[:3], float)
    if unit is None or sides.size != 3 or np.allclose(sides, 1) or not (sides > 0).all():
        return None, None
    offset = matrix[:3, 3] * np.sign(np.diag(matrix)[:3])
    return triple(sides[::-1] * unit), triple(offset[::-1] * unit) if placed else None
