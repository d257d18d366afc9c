"""Label volumes in common file formats: zarr, npz, npy or TIFF; regions are read, never the whole."""

import errno
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from spherovem_core.errors import IncompleteArtifactError, LabelsError, StoreNotWritableError
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.nodes import ATTRIBUTE
from spherovem_core.store.ome import multiscale_of, spacing_of_level

EXPECTED = "expected a zarr array or OME-Zarr image, .npz, .npy, .tif or .tiff"


@dataclass(frozen=True)
class LabelVolume:
    """Labels opened for reading; indexed like an array.

    Attributes
    ----------
    shape, dtype
        Shape and type of the whole array.
    chunks
        Smallest extents that are read at once.
    spacing_nm
        Voxel size if the file states it, else None.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    spacing_nm: SpacingNm | None
    _read: Callable[[Any], NDArray[Any]] = field(repr=False)

    def __getitem__(self, region: Any, /) -> NDArray[Any]:
        return np.asarray(self._read(region))


@contextmanager
def open_label_volume(name: str) -> Iterator[LabelVolume]:
    """Open labels for the duration of the context.

    Parameters
    ----------
    name
        Path of a zarr array or of a multiscale image, whose finest level is taken; of an npz or npy file; or of
        a TIFF file whose pages are the slices. ``FILE.npz:NAME`` names one array of several. npz and TIFF files are
        unpacked in small pieces into the folder for temporary files (``TMPDIR``), where they need their full size.

    Raises
    ------
    LabelsError
        If the path does not exist or cannot be read as labels.
    IncompleteArtifactError
        If it is an unfinished array of spherovem.
    """
    path, member = _split(name)
    if not path.exists():
        raise LabelsError(f"labels {path} do not exist; {EXPECTED}")
    suffix = path.suffix.lower()
    if path.is_dir():
        yield _open_zarr(path)
    elif suffix == ".npy":
        yield _from_memory_map(path, None)
    elif suffix in (".npz", ".tif", ".tiff"):
        with tempfile.TemporaryDirectory(prefix="spherovem-labels-") as temporary:
            folder = Path(temporary)
            yield _open_npz(path, member, folder) if suffix == ".npz" else _open_tiff(path, folder)
    else:
        raise LabelsError(f"labels {path} are of an unknown kind; {EXPECTED}")


def _split(name: str) -> tuple[Path, str | None]:
    head, colon, tail = name.rpartition(":")
    if colon and head.lower().endswith(".npz"):
        return Path(head).expanduser(), tail
    return Path(name).expanduser(), None


def _open_zarr(path: Path) -> LabelVolume:
    try:
        node: Any = zarr.open(path, mode="r")
    except (FileNotFoundError, ValueError, KeyError, zarr.errors.NodeTypeValidationError) as error:
        raise LabelsError(f"{path} is no zarr array or group ({error}); {EXPECTED}") from error
    if isinstance(node, zarr.Array):
        image = _attributes_of(path.parent)
        return _from_zarr(path, node, spacing_of_level(image, path.name))
    attributes = node.attrs.asdict()
    levels = [dataset["path"] for dataset in multiscale_of(attributes).get("datasets", [])]
    if not levels:
        raise LabelsError(
            f"{path} is a zarr group, but no multiscale image; name the array inside it: {', '.join(sorted(node)) or 'none'}"
        )
    return _from_zarr(path, node[levels[0]], spacing_of_level(attributes, levels[0]))


def _from_zarr(path: Path, array: Any, spacing_nm: SpacingNm | None) -> LabelVolume:
    own = array.attrs.asdict().get(ATTRIBUTE, {})
    if own and not own.get("complete"):
        raise IncompleteArtifactError(
            f"labels {path} are unfinished; run the acquisition again to complete them"
        )
    spacing = own.get("spacing_nm")
    return LabelVolume(
        array.shape,
        np.dtype(array.dtype),
        array.shards or array.chunks,
        (spacing[0], spacing[1], spacing[2]) if spacing else spacing_nm,
        array.__getitem__,
    )


def _attributes_of(folder: Path) -> dict[str, Any]:
    try:
        return dict(zarr.open_group(folder, mode="r").attrs.asdict())
    except (FileNotFoundError, ValueError, KeyError):
        return {}


def _open_npz(path: Path, member: str | None, folder: Path) -> LabelVolume:
    """Unpack one array of the archive into a folder, in small pieces, and map it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            chosen = member or ("labels" if "labels" in names else names[0] if len(names) == 1 else None)
            if chosen not in names:
                raise LabelsError(
                    f"{path} holds {', '.join(names) or 'nothing'}; name one of them as {path}:NAME"
                )
            with archive.open(f"{chosen}.npy") as packed, _unpacking(path, folder) as plain:
                shutil.copyfileobj(packed, plain, 2**20)
            spacing = None
            if "spacing_nm" in names:
                with archive.open("spacing_nm.npy") as packed:
                    spacing = np.lib.format.read_array(packed, allow_pickle=False)
    except zipfile.BadZipFile as error:
        raise LabelsError(f"{path} is no whole npz file ({error}); copy or write it again") from error
    return _from_memory_map(folder / "labels.npy", spacing, shown_name=f"{path}:{chosen}")


@contextmanager
def _unpacking(path: Path, folder: Path) -> Iterator[BinaryIO]:
    """Open a file for the unpacked array; turn a full disk into an error that names the remedy."""
    try:
        with (folder / "labels.npy").open("wb") as plain:
            yield plain
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreNotWritableError(
            f"{path} cannot be unpacked in {folder.parent} ({error.strerror}); free space there, or set TMPDIR to "
            "a folder with room for the whole array"
        ) from error


def _from_memory_map(path: Path, spacing: NDArray[Any] | None, shown_name: str = "") -> LabelVolume:
    try:
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise LabelsError(f"{shown_name or path} is no whole npy array ({error}); write it again") from error
    sides = None if spacing is None or spacing.shape != (3,) else [float(side) for side in spacing]
    return LabelVolume(
        array.shape,
        array.dtype,
        (*(1 for _ in array.shape[1:]), *array.shape[-1:]),
        None if sides is None else (sides[0], sides[1], sides[2]),
        array.__getitem__,
    )


def _open_tiff(path: Path, folder: Path) -> LabelVolume:
    """Unpack a TIFF file page by page and map it: an object spans many pages, each of which is compressed as a whole."""
    try:
        with tifffile.TiffFile(path) as file:
            pages: list[Any] = list(file.pages)
            _check_pages(path, file, pages)
            dtype = pages[0].dtype.newbyteorder("=")
            header = {
                "descr": np.lib.format.dtype_to_descr(dtype),
                "fortran_order": False,
                "shape": (len(pages), *pages[0].shape),
            }
            with _unpacking(path, folder) as plain:
                np.lib.format.write_array_header_1_0(plain, header)
                for page in pages:
                    plain.write(np.ascontiguousarray(_page(path, page), dtype).tobytes())
    except tifffile.TiffFileError as error:
        raise LabelsError(f"{path} is no TIFF file ({error}); {EXPECTED}") from error
    return _from_memory_map(folder / "labels.npy", None, shown_name=str(path))


def _check_pages(path: Path, file: tifffile.TiffFile, pages: Sequence[Any]) -> None:
    """Check that the pages are the slices: tifffile returns fewer pages of a truncated file without an error."""
    shapes = sorted({page.shape for page in pages})
    if len(shapes) != 1 or len(shapes[0]) != 2:
        raise LabelsError(
            f"{path} has pages of shapes {shapes}; expected one plane of labels per page, all of one shape"
        )
    shape = file.shaped_metadata[0].get("shape", ()) if file.shaped_metadata else ()
    declared = int(np.prod(shape[:-2])) if len(shape) > 2 else 0
    declared = declared or int((file.imagej_metadata or {}).get("images", 0))
    if declared not in (0, len(pages)):
        raise LabelsError(
            f"{path} has {len(pages)} pages, but its header says {declared}; it is truncated or not written page by page: "
            "copy it again, or write it as npz"
        )


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
