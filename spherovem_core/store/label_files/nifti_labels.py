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


def open_nifti(path: Path, folder: Path) -> LabelVolume:
    """Open a NIfTI file, whose axes are x, y, z; a compressed one is unpacked into a folder when it is read.

    The voxel size counts if the header has a unit and the voxel is no cube of side 1, which programs write that know no
    voxel size. The offset counts if the header has an affine map. ITK writes x and y with a negative sign; in its frame
    both grow with the index.

    Raises
    ------
    LabelsError
        If the file is damaged, has a fourth axis, or its axes are turned or mirrored.
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
    return volume if (proxy.slope, proxy.inter) == (1, 0) else _scaled(volume, proxy.slope, proxy.inter)


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


def _scaled(volume: LabelVolume, slope: float, intercept: float) -> LabelVolume:
    def read(region: Any) -> NDArray[Any]:
        return np.asarray(volume[region] * np.float64(slope) + intercept)

    return LabelVolume(
        volume.shape,
        np.dtype(np.float64),
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
