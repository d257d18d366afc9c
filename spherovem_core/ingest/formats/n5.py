"""N5 as a source of slices: plain datasets, multi-resolution groups, and BigDataViewer's layout."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.ingest import locations
from spherovem_core.ingest.axes import VolumeAxes, split_choices, volume_axes
from spherovem_core.ingest.chunk_faults import absent_chunk_faults
from spherovem_core.ingest.containers import (
    ArrayInContainer,
    read_from_volume,
    several_datasets,
    volume_report,
)
from spherovem_core.ingest.formats.bigdataviewer import bdv_voxel_size
from spherovem_core.ingest.formats.tensorstore_volumes import loader, open_tensorstore
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport, SliceFile, refused
from spherovem_core.ingest.units import length_nm
from spherovem_core.ingest.voxel_size import VoxelSize

ATTRIBUTES = "attributes.json"
LEVEL = re.compile(r"s(\d+)")
BDV_LEVEL = re.compile(r"setup(\d+)/timepoint\d+/s\d+")
DEEPEST = 6
LARGEST_ATTRIBUTES = 2**26


@dataclass(frozen=True)
class N5Reader:
    """Reader of an N5 dataset, whose axes are x, y, z unless it names them; of levels s0, s1 ... the finest.

    A block that is not there is a fault, unless `fill_absent`: then it counts as zeros.
    """

    fill_absent: bool = False
    name: str = "N5"
    suffixes: tuple[str, ...] = (".n5",)

    def can_read(self, path: Path) -> bool:
        """Return false: N5 volumes are folders."""
        return False

    def can_read_folder(self, folder: Path) -> bool:
        """Return whether a folder is an N5 container or dataset."""
        if not locations.has_file(folder, ATTRIBUTES):
            return folder.suffix.lower() == ".n5" and locations.is_folder(folder)
        found = _attributes(folder)
        return "n5" in found or {"dimensions", "blockSize"} <= set(found) or folder.suffix.lower() == ".n5"

    def filling_absent(self) -> "N5Reader":
        """Return a reader that takes absent blocks for zeros."""
        return replace(self, fill_absent=True)

    def inspect(self, path: Path) -> FileReport:
        """Read the attributes, and look which blocks are there."""
        around = [path, *locations.folders_around(path)]
        root = next((each for each in reversed(around) if self.can_read_folder(each)), path)
        inside, choices = split_choices(path.relative_to(root).parts)
        folder = root.joinpath(*inside)
        if not locations.is_folder(folder):
            found = f"has no dataset {'/'.join(inside)}; it has {', '.join(_datasets(root)) or 'none'}"
            return refused(root, (Problem(found, root.name),))
        if "dimensions" not in _attributes(folder):
            names = _datasets(folder)
            if len(names) != 1:
                return refused(root, (several_datasets(names, root.name),))
            folder = folder / names[0] if names[0] else folder
        try:
            return self._report(root, folder, choices)
        except (ValueError, TypeError, LookupError) as error:
            fault = (
                f"{folder.relative_to(root)} is damaged or no N5 dataset ({error}); copy or write it again"
            )
            return FileReport(root, (SliceFile(root, fault=fault),))

    def _report(self, root: Path, folder: Path, choices: Mapping[str, int]) -> FileReport:
        own, inside = _attributes(folder), folder.relative_to(root).as_posix()
        store = open_tensorstore("n5", folder, fill_absent=self.fill_absent)
        shape, blocks = tuple(store.shape), tuple(store.chunk_layout.read_chunk.shape)
        axes = volume_axes(shape, _axis_names(own, len(shape)), choices)
        if axes.problem:
            return refused(root, (Problem(f"{inside} has {axes.problem}", root.name),))
        present = None if self.fill_absent else _present_blocks(folder)
        return volume_report(
            ArrayInContainer(
                root,
                axes,
                np.dtype(store.dtype.numpy_dtype),
                axes.of(blocks),
                loader(store, axes),
                _voxel_size(root, folder, own, axes),
                {
                    "compression": str(_mapping(own.get("compression")).get("type", "none")),
                    "metadata": "N5",
                    "dataset": inside,
                    "axes": "as named" if "axes" in own else "x, y, z by the format",
                },
                {} if present is None else absent_chunk_faults(present, shape, blocks, axes),
            )
        )

    def read(self, file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
        """Read a part of a slice from the slab of blocks that holds it."""
        return read_from_volume(file, rows, columns)


def _attributes(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads(locations.read_range(folder / ATTRIBUTES, 0, LARGEST_ATTRIBUTES))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _datasets(folder: Path, depth: int = 0) -> list[str]:
    """List the datasets below a group by their paths; of levels s0, s1 ... only the finest."""
    if "dimensions" in _attributes(folder):
        return [""]
    if depth == DEEPEST:
        return []
    inside = locations.children(folder)[1]
    levels = sorted((int(found[1]), path) for path in inside if (found := LEVEL.fullmatch(path.name)))
    if levels and "dimensions" in _attributes(levels[0][1]):
        inside = [path for path in inside if not LEVEL.fullmatch(path.name)] + [levels[0][1]]
    return sorted(
        "/".join(part for part in (path.name, name) if part)
        for path in inside
        for name in _datasets(path, depth + 1)
    )


def _axis_names(own: Mapping[str, Any], ndim: int) -> list[str]:
    named = own.get("axes")
    if isinstance(named, list) and len(named) == ndim and all(isinstance(name, str) for name in named):
        return named
    return ["x", "y", "z", *(f"axis{n}" for n in range(3, ndim))][:ndim]


def _voxel_size(root: Path, folder: Path, own: Mapping[str, Any], axes: VolumeAxes) -> VoxelSize:
    """Return the size that the dataset states, or a group around it (times the level's downsampling), or BigDataViewer's XML."""
    stated = _stated(own, axes)
    if stated is not None:
        return stated
    factors = own.get("downsamplingFactors", [1] * len(axes.order))
    group = folder
    while group != root:
        group = group.parent
        around = _attributes(group)
        stated = _stated_of_level(around, folder.name) or _stated(around, axes, factors)
        if stated is not None:
            return stated
    bdv = BDV_LEVEL.fullmatch(folder.relative_to(root).as_posix())
    if bdv and all(factor == 1 for factor in factors):
        return bdv_voxel_size(root, int(bdv[1]))
    return VoxelSize(None, None, "")


def _stated(own: Mapping[str, Any], axes: VolumeAxes, factors: Sequence[Any] = ()) -> VoxelSize | None:
    """Return ``pixelResolution``, or ``resolution`` with ``units``, in the order of the axes; or a ``transform`` by names."""
    transform = _mapping(own.get("transform"))
    if transform and (found := _of_transform(transform)):
        return found
    pixel = own.get("pixelResolution")
    sides, units = (pixel, own.get("units", own.get("unit"))) if isinstance(pixel, list) else (None, None)
    if isinstance(pixel, dict):
        sides, units = pixel.get("dimensions"), pixel.get("unit")
    if sides is None:
        sides, units = own.get("resolution"), own.get("units", own.get("unit"))
    if not isinstance(sides, list) or units is None or len(sides) < 2:
        return None
    listed = units if isinstance(units, list) else [units] * len(sides)
    if len(listed) != len(sides):
        return None
    steps = factors if len(factors) == len(sides) else [1] * len(sides)
    lengths = [
        length_nm(side * step if isinstance(side, int | float) else side, unit)
        for side, step, unit in zip(sides, steps, listed, strict=True)
    ]
    lengths += [None] * (1 + max(axis for axis in axes.order if axis is not None) - len(lengths))
    z, y, x = axes.of(lengths, None)
    size = VoxelSize.from_axes(z, y, x, "N5 attributes")
    return size if size.has_values else None


def _of_transform(transform: Mapping[str, Any]) -> VoxelSize | None:
    names, scale, units = (transform.get(key) for key in ("axes", "scale", "units"))
    if not all(isinstance(each, list) for each in (names, scale, units)):
        return None
    sides = {
        name: length_nm(side, unit)
        for name, side, unit in zip(names or [], scale or [], units or [], strict=False)
    }
    size = VoxelSize.from_axes(sides.get("z"), sides.get("y"), sides.get("x"), "N5 attributes")
    return size if size.has_values else None


def _stated_of_level(group: Mapping[str, Any], level: str) -> VoxelSize | None:
    images = group.get("multiscales")
    for image in images if isinstance(images, list) else []:
        for dataset in _mapping(image).get("datasets") or []:
            if _mapping(dataset).get("path") == level:
                return _of_transform(_mapping(dataset.get("transform")))
    return None


def _present_blocks(folder: Path) -> set[tuple[int, ...]] | None:
    if locations.is_web(folder):
        return None
    found = (file.relative_to(folder).parts for file in locations.files_below(folder))
    return {tuple(map(int, parts)) for parts in found if all(part.isdigit() for part in parts)}
