"""Labels in npy and npz files."""

import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from spherovem_core.errors import LabelsError
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.label_files.unpacking import PIECE, unpacking
from spherovem_core.store.label_files.volume import LabelVolume, deferred_volume, triple, volume_of_array

SPACING = "spacing_nm"
"""Array of an npz file that is the voxel size of the labels."""


def map_npy(path: Path, shown_name: str = "") -> Any:
    """Map the array of an npy file."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise LabelsError(f"{shown_name or path} is no whole npy array ({error}); write it again") from error


def open_npy(path: Path, spacing_nm: SpacingNm | None = None, shown_name: str = "") -> LabelVolume:
    """Map an npy file."""
    return volume_of_array(map_npy(path, shown_name), spacing_nm)


def open_npz(path: Path, member: str | None, folder: Path) -> LabelVolume:
    """Open one array of the archive; it is unpacked into a folder, in small pieces, and mapped."""
    with _archive(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        arrays = [name for name in names if name != SPACING]
        chosen = member or ("labels" if "labels" in arrays else arrays[0] if len(arrays) == 1 else None)
        if chosen not in names:
            raise LabelsError(
                f"{path} holds {', '.join(arrays) or 'nothing'}; name one of them as {path}:NAME"
            )
        with archive.open(f"{chosen}.npy") as packed:
            shape, _, dtype = _header(packed)
        spacing = None
        if SPACING in names:
            with archive.open(f"{SPACING}.npy") as packed:
                spacing = np.lib.format.read_array(packed, allow_pickle=False)
    sides = None if spacing is None or spacing.shape != (3,) else triple(spacing)
    return deferred_volume(shape, dtype, lambda: _unpack(path, str(chosen), folder), sides)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise LabelsError(f"{path} is no whole npz file ({error}); copy or write it again") from error
    except ValueError as error:
        if isinstance(error, LabelsError):
            raise
        raise LabelsError(f"{path} holds no plain arrays ({error}); write it again") from error


def _header(packed: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(packed)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    found: tuple[tuple[int, ...], bool, np.dtype[Any]] = read(packed)
    return found


def _unpack(path: Path, chosen: str, folder: Path) -> Any:
    plain_path = folder / "labels.npy"
    with (
        _archive(path) as archive,
        archive.open(f"{chosen}.npy") as packed,
        unpacking(path, plain_path) as plain,
    ):
        shutil.copyfileobj(packed, plain, PIECE)
    return map_npy(plain_path, f"{path}:{chosen}")
