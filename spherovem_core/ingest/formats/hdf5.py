"""HDF5 as a source of slices: plain datasets, the layouts of ilastik and BigDataViewer."""

import gc
import importlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest import locations
from spherovem_core.ingest.axes import VolumeAxes, split_choices, volume_axes
from spherovem_core.ingest.chunk_faults import absent_chunk_faults
from spherovem_core.ingest.containers import (
    DAMAGE,
    ArrayInContainer,
    read_from_volume,
    several_datasets,
    volume_report,
)
from spherovem_core.ingest.extras import missing_extra
from spherovem_core.ingest.formats.bigdataviewer import bdv_voxel_size
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport, SliceFile, is_of_system, refused
from spherovem_core.ingest.units import length_nm
from spherovem_core.ingest.voxel_size import VoxelSize

SUFFIXES = (".h5", ".hdf5", ".hdf", ".hd5")
BDV_CELLS = re.compile(r"t\d{5,}/s(\d{2,})/0/cells")
# Slices that are read at once from an array in which a slice does not lie in one piece.
SLAB = 32


@dataclass(frozen=True)
class Hdf5Reader:
    """Reader of a dataset in an HDF5 file.

    A chunk for which the file has no data is a fault, unless `fill_absent`: then it counts as the fill value.
    """

    fill_absent: bool = False
    name: str = "HDF5"
    suffixes: tuple[str, ...] = (".h5", ".hdf5")

    def can_read(self, path: Path) -> bool:
        """Return whether a file is named as an HDF5 file."""
        return path.suffix.lower() in SUFFIXES

    def can_read_folder(self, folder: Path) -> bool:
        """Return false: HDF5 containers are files."""
        return False

    def filling_absent(self) -> "Hdf5Reader":
        """Return a reader that takes absent chunks for the fill value."""
        return replace(self, fill_absent=True)

    def inspect(self, path: Path) -> FileReport:
        """Read the description of the dataset, and which of its chunks are there."""
        container = next(
            (each for each in path.parents if self.can_read(each) and locations.is_file(each)), path
        )
        inside, choices = split_choices(path.relative_to(container).parts if container != path else ())
        size = locations.size_of(container)
        try:
            with _opened(container) as file:
                name = "/".join(inside) if inside else _choose(file, container.name)
                if isinstance(name, Problem):
                    return refused(container, (name,))
                return self._report(container, file, name, choices)
        except DAMAGE as error:
            if is_of_system(error):
                raise
            fault = f"truncated or not an HDF5 file ({size} bytes: {error})"
            return FileReport(container, (SliceFile(container, fault=fault),))

    def _report(self, container: Path, file: Any, name: str, choices: Mapping[str, int]) -> FileReport:
        import h5py

        dataset = file.get(name)
        if not isinstance(dataset, h5py.Dataset):
            found = f"has no dataset {name}; it has {', '.join(_datasets(file)) or 'none'}"
            return refused(container, (Problem(found, container.name),))
        axes = volume_axes(dataset.shape or (), _axis_names(dataset), choices)
        problem = axes.problem and f"{name} has {axes.problem}"
        problem = problem or _storage_problem(dataset, name, file.filename)
        if problem:
            return refused(container, (Problem(problem, container.name),))
        is_bdv = BDV_CELLS.fullmatch(name)
        # BigDataViewer's Java has no unsigned type: it stores 16 bits as signed and reads them as unsigned.
        dtype = np.dtype("u2") if is_bdv and dataset.dtype == np.int16 else dataset.dtype
        chunks = _pieces(dataset, axes)
        faults = {} if self.fill_absent else _absent(dataset, axes)
        return volume_report(
            ArrayInContainer(
                container,
                axes,
                dtype,
                chunks,
                _loader(container, name, axes, dataset.ndim, dtype),
                bdv_voxel_size(container, int(is_bdv[1])) if is_bdv else _voxel_size(dataset, axes),
                {
                    "compression": str(dataset.compression or "none"),
                    "metadata": "BigDataViewer"
                    if is_bdv
                    else "ilastik"
                    if "axistags" in dataset.attrs
                    else "none",
                    "dataset": name,
                },
                faults,
            )
        )

    def read(self, file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
        """Read a part of a slice from the slab of chunks that holds it."""
        return read_from_volume(file, rows, columns)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import h5py
    except ImportError as error:
        raise missing_extra("hdf5", "HDF5 files", error) from error
    with suppress(ImportError):
        # Registers the filters of other programs: Blosc, Zstandard, LZ4, bitshuffle.
        importlib.import_module("hdf5plugin")
    if locations.is_remote(path):
        with locations.open_binary(path) as stream, h5py.File(_Uncollected(stream), "r") as file:
            yield file
    else:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file


class _Uncollected(io.RawIOBase):
    """Open object that is read while no garbage is collected.

    h5py holds its lock during a read, for which the thread of the client works: h5py objects that a collection there freed would
    wait for that lock, and the read for ever for the client.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell  # type: ignore[method-assign]

    def readinto(self, buffer: Any) -> int:
        collects = gc.isenabled()
        gc.disable()
        try:
            return int(self._stream.readinto(buffer))  # type: ignore[attr-defined]
        finally:
            if collects:
                gc.enable()


def _loader(
    container: Path, name: str, axes: VolumeAxes, ndim: int, dtype: np.dtype[Any]
) -> Callable[[slice, slice, slice], NDArray[Any]]:
    """Read boxes; the file is opened for each, so that a folder of thousands of files keeps none open."""

    def load(z: slice, rows: slice, columns: slice) -> NDArray[Any]:
        try:
            with _opened(container) as file:
                values = file[name][axes.box(z, rows, columns, ndim)]
        except DAMAGE as error:
            if is_of_system(error):
                raise
            raise BadSlicesError(f"truncated or damaged ({error})") from error
        turned = axes.turned(np.asarray(values))
        return turned.view(dtype) if turned.dtype != dtype else turned

    return load


def _datasets(file: Any) -> list[str]:
    """List the numeric datasets that can be volumes, or else images; of BigDataViewer's, the finest level of each."""
    import h5py

    found: dict[str, int] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iufbc" and item.ndim > 1:
            found[name] = item.ndim

    file.visititems(visit)
    cells = [name for name in found if BDV_CELLS.fullmatch(name)]
    if cells:
        return cells
    volumes = [name for name, ndim in found.items() if ndim > 2]
    return sorted(volumes or found)


def _choose(file: Any, title: str) -> str | Problem:
    names = _datasets(file)
    return names[0] if len(names) == 1 else several_datasets(names, title)


def _axis_names(dataset: Any) -> list[str]:
    """Return the names of the axes: of ilastik's tags, or else the labels of the dimensions."""
    tags = dataset.attrs.get("axistags")
    if tags is not None:
        try:
            names = [str(axis["key"]) for axis in json.loads(tags)["axes"]]
        except (ValueError, TypeError, LookupError):
            names = []
        if len(names) == dataset.ndim:
            return names
    labels = [str(axis.label) for axis in dataset.dims]
    return labels if all(labels) else []


def _storage_problem(dataset: Any, name: str, container: str) -> str:
    import h5py

    if dataset.is_virtual:
        return f"{name} is virtual: its values lie in other files; expected a stored dataset: copy it into one file (h5repack)"
    if dataset.external or dataset.file.filename != container:
        return f"{name} lies in another file; expected a stored dataset: copy it into one file (h5repack)"
    if dataset.dtype.kind not in "iufb":
        return f"{name} holds {dataset.dtype}; expected numbers"
    plan = dataset.id.get_create_plist()
    for place in range(plan.get_nfilters()):
        code, _, _, label = plan.get_filter(place)
        if not h5py.h5z.filter_avail(code):
            text = label.decode("utf-8", "replace").partition(";")[0] or "unknown"
            return (
                f"{name} is compressed with the HDF5 filter {code} ({text}), which is not installed; "
                "install it with: pip install hdf5plugin"
            )
    return ""


def _pieces(dataset: Any, axes: VolumeAxes) -> tuple[int, int, int]:
    """Return the (Z, Y, X) that are read as a whole: a chunk, or some slices of an array that is stored in one piece."""
    if dataset.chunks:
        return axes.of(dataset.chunks)
    together = axes.order[0] in (None, min(axis for axis in axes.order if axis is not None))
    return (1 if together else SLAB, 1, axes.shape[2])


def _absent(dataset: Any, axes: VolumeAxes) -> dict[int, str]:
    if not dataset.chunks:
        if dataset.id.get_storage_size():
            return {}
        return dict.fromkeys(range(axes.shape[0]), "none of its pixels were written; write the file again")
    grid = [-(-side // chunk) for side, chunk in zip(dataset.shape, dataset.chunks, strict=True)]
    if dataset.id.get_num_chunks() == np.prod(grid):
        return {}
    present: set[tuple[int, ...]] = set()

    def note(stored: Any) -> None:
        place = zip(stored.chunk_offset, dataset.chunks, strict=True)
        present.add(tuple(int(offset) // int(chunk) for offset, chunk in place))

    dataset.id.chunk_iter(note)
    return absent_chunk_faults(present, dataset.shape, dataset.chunks, axes)


def _voxel_size(dataset: Any, axes: VolumeAxes) -> VoxelSize:
    """Return element_size_um, which is z, y, x whatever the axes are; or a resolution whose unit is stated."""
    sides = _numbers(dataset.attrs.get("element_size_um"))
    if len(sides) == 3:
        z, y, x = (length_nm(side, "um") for side in sides)
        return VoxelSize.from_axes(z, y, x, "element_size_um")
    sides = _numbers(dataset.attrs.get("resolution"))
    units = dataset.attrs.get("units", dataset.attrs.get("unit"))
    if units is None or len(sides) != len(dataset.shape):
        return VoxelSize(None, None, "")
    listed = [_text(units)] * len(sides) if np.ndim(units) == 0 else [_text(unit) for unit in units]
    lengths = [length_nm(side, unit) for side, unit in zip(sides, listed, strict=False)]
    if len(lengths) != len(sides):
        return VoxelSize(None, None, "")
    z, y, x = axes.of(lengths, None)
    return VoxelSize.from_axes(z, y, x, "resolution of the dataset")


def _numbers(value: Any) -> Sequence[float]:
    try:
        return [float(side) for side in np.ravel(value)] if value is not None else []
    except (TypeError, ValueError):
        return []


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
