"""Labels in npy and npz files."""

import shutil
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from spherovem_core.errors import LabelsError
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.label_files.unpacking import PIECE, unpacking
from spherovem_core.store.label_files.volume import LabelVolume, triple, volume_of_array


def open_npy(path: Path, spacing_nm: SpacingNm | None = None, shown_name: str = "") -> LabelVolume:
    """Map an npy file."""
    try:
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise LabelsError(f"{shown_name or path} is no whole npy array ({error}); write it again") from error
    return volume_of_array(array, spacing_nm)


def open_npz(path: Path, member: str | None, folder: Path) -> LabelVolume:
    """Unpack one array of the archive into a folder, in small pieces, and map it."""
    plain_path = folder / "labels.npy"
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            chosen = member or ("labels" if "labels" in names else names[0] if len(names) == 1 else None)
            if chosen not in names:
                raise LabelsError(
                    f"{path} holds {', '.join(names) or 'nothing'}; name one of them as {path}:NAME"
                )
            with archive.open(f"{chosen}.npy") as packed, unpacking(path, plain_path) as plain:
                shutil.copyfileobj(packed, plain, PIECE)
            spacing = None
            if "spacing_nm" in names:
                with archive.open("spacing_nm.npy") as packed:
                    spacing = np.lib.format.read_array(packed, allow_pickle=False)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise LabelsError(f"{path} is no whole npz file ({error}); copy or write it again") from error
    sides = None if spacing is None or spacing.shape != (3,) else triple(spacing)
    return open_npy(plain_path, sides, shown_name=f"{path}:{chosen}")
