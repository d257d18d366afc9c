"""Common parts of the readers of containers: the report of an array, several datasets, and the read through slabs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest.axes import VolumeAxes
from spherovem_core.ingest.problems import Problem, some_of
from spherovem_core.ingest.reader import FileReport, SliceFile, refused, type_problems
from spherovem_core.ingest.slabs import LARGEST_CHUNK_BYTES, ChunkedVolume, Load
from spherovem_core.ingest.voxel_size import VoxelSize

MOST_SLICES, LARGEST_SLICE_BYTES = 1_000_000, 2**36
"""More than these are taken for damage, before anything is made of them."""
DAMAGE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    AttributeError,
    OSError,
    MemoryError,
)
"""Errors of h5py, of zarr and its codecs on damaged files. An OSError of the system is none of these: see `is_of_system`."""


@dataclass(frozen=True)
class ArrayInContainer:
    """One array that is a volume.

    Attributes
    ----------
    path
        The file or folder that holds it.
    axes
        Its axes, without a problem.
    dtype, chunks
        Type, and (Z, Y, X) of the pieces that are decoded as a whole.
    load
        Reads a box (Z, Y, X); raises `BadSlicesError` without a name.
    voxel_size
        From the metadata.
    facts
        Facts for the history.
    faults
        Reason per slice that cannot be read.
    """

    path: Path
    axes: VolumeAxes
    dtype: np.dtype[Any]
    chunks: tuple[int, int, int]
    load: Load
    voxel_size: VoxelSize
    facts: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[int, str] = field(default_factory=dict)


def volume_report(array: ArrayInContainer) -> FileReport:
    """Describe the slices of an array."""
    chunk = prod(array.chunks) * array.dtype.itemsize
    if chunk > LARGEST_CHUNK_BYTES:
        found = (
            f"its chunks of {' × '.join(map(str, array.chunks))} voxels take {chunk / 2**30:.1f} GiB each, which are decoded "
            "as a whole; expected at most 4 GiB: write it with smaller chunks"
        )
        return refused(array.path, (Problem(found, array.path.name),))
    shape = array.axes.shape
    plane = prod(shape[1:]) * array.dtype.itemsize
    if shape[0] > MOST_SLICES or plane > LARGEST_SLICE_BYTES:
        found = (
            f"an array of {' × '.join(map(str, shape))} voxels; expected at most {MOST_SLICES} slices of 64 GiB each: its "
            "metadata are damaged"
        )
        return refused(array.path, (Problem(found, array.path.name),))
    volume = ChunkedVolume(shape, array.dtype, array.chunks, array.load)
    slices = tuple(
        SliceFile(
            array.path,
            z if shape[0] > 1 else None,
            array.dtype,
            shape[1:],
            array.faults.get(z, ""),
            (volume, z),
        )
        for z in range(shape[0])
    )
    size = array.voxel_size
    axes = {"axes": "z, y, x assumed, since the array does not name them"} if array.axes.assumed else {}
    return FileReport(
        array.path,
        slices,
        type_problems(array.dtype, array.path.name),
        declared_count=shape[0],
        voxel_sizes=(size,) if size.has_values else (),
        facts={"bits": array.dtype.itemsize * 8, **array.facts, **axes},
    )


def read_from_volume(file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
    """Read a part of a slice whose `place` is its volume and its number; see `Reader.read`."""
    volume, z = file.place
    try:
        values: NDArray[Any] = volume.read(z, rows, columns)
    except BadSlicesError as error:
        raise BadSlicesError(f"{file.name}: {error}") from error
    return values


def several_datasets(names: Sequence[str], title: str) -> Problem:
    """Report several datasets of which one has to be chosen, or none."""
    if not names:
        return Problem("holds no array of two or more dimensions; expected a volume z, y, x", title)
    found = (
        f"holds {len(names)} datasets ({some_of(names)}); expected one: choose it with --dataset {names[0]} "
        f"(ingest.dataset), or name {title}/{names[0]} as the source"
    )
    return Problem(found, title)
