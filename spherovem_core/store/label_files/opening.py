"""Label volumes in common file formats; regions are read, never the whole."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spherovem_core.errors import LabelsError
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.label_files.mrc_labels import open_mrc
from spherovem_core.store.label_files.nifti_labels import open_nifti
from spherovem_core.store.label_files.npy_labels import open_npy, open_npz
from spherovem_core.store.label_files.tiff_labels import SUFFIXES, open_tiff, open_tiff_slices, tiff_slices
from spherovem_core.store.label_files.unpacking import gunzip
from spherovem_core.store.label_files.volume import EXPECTED, LabelVolume
from spherovem_core.store.label_files.zarr_labels import is_zarr, open_zarr

MRC_SUFFIXES = (".mrc", ".map", ".rec")


@contextmanager
def open_label_volume(name: str) -> Iterator[LabelVolume]:
    """Open labels for the duration of the context.

    Parameters
    ----------
    name
        Path of a zarr array or of a multiscale image, whose finest level is taken; of a webKnossos dataset or one of its
        layers; of an npz, npy, NIfTI or MRC file; of a TIFF file whose pages are the slices, or a folder of such slices.
        ``FILE.npz:NAME`` names one array of several. Compressed files are unpacked in small pieces into the folder for
        temporary files (``TMPDIR``), where they need their full size.

    Raises
    ------
    LabelsError
        If the path does not exist or cannot be read as labels.
    IncompleteArtifactError
        If it is an unfinished array of spherovem.
    """
    path, member = split_name(name)
    if not path.exists():
        raise LabelsError(f"labels {path} do not exist; {EXPECTED}")
    with tempfile.TemporaryDirectory(prefix="spherovem-labels-") as temporary:
        volume = _open(path, member, Path(temporary))
        if volume.unpack is not None:
            volume.unpack()
        yield volume


@dataclass(frozen=True)
class LabelHeader:
    """Header of a label file, known without reading or unpacking it; attributes as in `LabelVolume`."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    spacing_nm: SpacingNm | None
    origin_nm: SpacingNm | None


def describe_labels(name: str) -> LabelHeader:
    """Read the header of a label file.

    Raises
    ------
    LabelsError
        If the path does not exist or its header is not that of labels.
    """
    path, member = split_name(name)
    if not path.exists():
        raise LabelsError(f"labels {path} do not exist; {EXPECTED}")
    with tempfile.TemporaryDirectory(prefix="spherovem-labels-") as temporary:
        found = _open(path, member, Path(temporary))
        return LabelHeader(found.shape, found.dtype, found.spacing_nm, found.origin_nm)


def split_name(name: str) -> tuple[Path, str | None]:
    """Return the path of a name such as ``FILE.npz:NAME``, and the array's name where there is one."""
    head, colon, tail = name.rpartition(":")
    if colon and head.lower().endswith(".npz"):
        return Path(head).expanduser(), tail
    return Path(name).expanduser(), None


def _open(path: Path, member: str | None, folder: Path) -> LabelVolume:
    if path.is_dir():
        return open_tiff_slices(path, folder) if not is_zarr(path) and tiff_slices(path) else open_zarr(path)
    kind = Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if kind not in (".npz", ".npy", ".nii", *SUFFIXES, *MRC_SUFFIXES):
        raise LabelsError(f"labels {path} are of an unknown kind; {EXPECTED}")
    shown = str(path)
    if kind == ".nii":
        return open_nifti(path, folder)
    if path.suffix.lower() == ".gz":
        path = gunzip(path, folder)
    if kind == ".npz":
        return open_npz(path, member, folder)
    if kind == ".npy":
        return open_npy(path, shown_name=shown)
    return open_mrc(path, shown) if kind in MRC_SUFFIXES else open_tiff(path, folder)
