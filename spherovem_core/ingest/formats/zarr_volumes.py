"""Zarr as a source of slices: OME-Zarr 0.4 and 0.5, and plain arrays of zarr v2 and v3."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
from spherovem_core.ingest.formats.zarr_stores import AbsentChunkError, open_store
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport, SliceFile, is_of_system, refused
from spherovem_core.ingest.units import length_nm
from spherovem_core.ingest.voxel_size import VoxelSize

MARKERS = ("zarr.json", ".zgroup", ".zarray")
DEEPEST = 4
_IMAGE_LABEL = "image-label"


@dataclass(frozen=True)
class ZarrReader:
    """Reader of zarr arrays, and of groups that are one multiscale image, whose finest level is taken.

    A chunk that is not there is a fault, unless `fill_absent`: then it counts as the fill value. Chunks that a shard lists as
    empty count as the fill value in any case.
    """

    fill_absent: bool = False
    name: str = "zarr"
    suffixes: tuple[str, ...] = (".zarr",)

    def can_read(self, path: Path) -> bool:
        """Return false: zarr volumes are folders."""
        return False

    def can_read_folder(self, folder: Path) -> bool:
        """Return whether a folder is a zarr group or array."""
        return locations.has_file(folder, *MARKERS)

    def filling_absent(self) -> "ZarrReader":
        """Return a reader that takes absent chunks for the fill value."""
        return replace(self, fill_absent=True)

    def inspect(self, path: Path) -> FileReport:
        """Read the metadata, and look which chunks are there."""
        root, inside, choices = self._split(path)
        try:
            return self._inspect(root, inside, choices)
        except DAMAGE as error:
            if is_of_system(error):
                raise
            what = "/".join(inside) or root.name
            fault = f"{what} is damaged or no zarr array ({type(error).__name__}: {error}); copy or write it again"
            return FileReport(root, (SliceFile(root, fault=fault),))

    def _inspect(self, root: Path, inside: list[str], choices: Mapping[str, int]) -> FileReport:
        import zarr

        store = open_store(root)
        node = zarr.open(store, path="/".join(inside), mode="r")
        if isinstance(node, zarr.Group):
            chosen = _choose(node, root.name)
            if isinstance(chosen, Problem):
                return refused(root, (chosen,))
            inside = [*inside, *chosen.split("/")]
            node = zarr.open(store, path="/".join(inside), mode="r")
        image = _attributes_above(store, inside)
        if not isinstance(node, zarr.Array):
            raise ValueError(f"{'/'.join(inside)} is no array")
        store.strict = not self.fill_absent
        return self._report(root, inside, node, image, choices)

    def _report(
        self,
        root: Path,
        inside: Sequence[str],
        array: Any,
        image: Mapping[str, Any],
        choices: Mapping[str, int],
    ) -> FileReport:
        if _IMAGE_LABEL in image or _IMAGE_LABEL in (image.get("ome") or {}):
            found = "holds labels by its metadata (image-label), no image; name the image as the source"
            return refused(root, (Problem(found, root.name),))
        described = _multiscale_with(image, inside)
        names = _axis_names(array, described)
        axes = volume_axes(array.shape, names, choices)
        if axes.problem:
            return refused(
                root, (Problem(f"{'/'.join(inside) or 'the array'} has {axes.problem}", root.name),)
            )

        def load(z: slice, rows: slice, columns: slice) -> NDArray[Any]:
            try:
                return axes.turned(np.asarray(array[axes.box(z, rows, columns, array.ndim)]))
            except AbsentChunkError as error:
                raise BadSlicesError(
                    f"the chunk {error} is not there; copy or write the volume again"
                ) from error
            except DAMAGE as error:
                if is_of_system(error):
                    raise
                raise BadSlicesError(f"cannot be decoded ({type(error).__name__}: {error})") from error

        faults: Mapping[int, str] = {}
        files = array.shards or array.chunks
        if not self.fill_absent:
            present = _present_chunks(root.joinpath(*inside))
            faults = {} if present is None else absent_chunk_faults(present, array.shape, files, axes)
        return volume_report(
            ArrayInContainer(
                root,
                axes,
                np.dtype(array.dtype),
                axes.of(array.chunks),
                load,
                _voxel_size(array, described, axes),
                {
                    "container": f"{'OME-Zarr' if described else 'zarr'} v{array.metadata.zarr_format}",
                    "compression": ", ".join(type(codec).__name__.lower() for codec in array.compressors)
                    or "none",
                    "metadata": "OME" if described else "none",
                    "dataset": "/".join(inside),
                },
                faults,
            )
        )

    def read(self, file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
        """Read a part of a slice from the slab of chunks that holds it."""
        return read_from_volume(file, rows, columns)

    def _split(self, path: Path) -> tuple[Path, list[str], dict[str, int]]:
        root = path
        inside: list[str] = []
        while not self.can_read_folder(root) and root != root.parent:
            inside.insert(0, root.name)
            root = root.parent
        while self.can_read_folder(root.parent):
            inside.insert(0, root.name)
            root = root.parent
        inside, choices = split_choices(inside)
        return root, inside, choices


def _choose(group: Any, title: str) -> str | Problem:
    """Choose the array of a group: the finest level of its image, or the only array."""
    import zarr

    attributes = group.attrs.asdict()
    described = attributes.get("ome", attributes)
    images = described.get("multiscales") or []
    if len(images) > 1:
        names = [str(image["datasets"][0]["path"]) for image in images]
        return several_datasets(names, title)
    if images:
        return str(_finest(images[0]))
    # Folders that are no part of the hierarchy, such as the chunks of an array whose metadata are damaged, are passed over.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        found = dict(group.members(max_depth=DEEPEST))
    inside = [
        name
        for name, member in found.items()
        if isinstance(member, zarr.Group)
        and _multiscales(member.attrs.asdict())
        and "labels" not in name.split("/")
    ]
    plain = [
        name
        for name, member in found.items()
        if isinstance(member, zarr.Array)
        and member.ndim > 1
        and "labels" not in name.split("/")
        and not any(name.startswith(f"{image}/") for image in inside)
    ]
    names = sorted([*inside, *plain])
    if len(names) != 1:
        return several_datasets(names, title)
    chosen = _choose(found[names[0]], title) if inside else ""
    return chosen if isinstance(chosen, Problem) else "/".join(part for part in (names[0], chosen) if part)


def _multiscales(attributes: Mapping[str, Any]) -> list[Any]:
    return list(attributes.get("ome", attributes).get("multiscales") or [])


def _finest(image: Mapping[str, Any]) -> str:
    """Return the path of the level with the smallest voxels; by the specification it is the first."""

    def size(dataset: Mapping[str, Any]) -> float:
        scales = [
            step["scale"]
            for step in dataset.get("coordinateTransformations", [])
            if step.get("type") == "scale"
        ]
        return float(np.prod([side for scale in scales for side in scale])) if scales else 0.0

    return str(min(image["datasets"], key=size)["path"])


def _attributes_above(store: Any, inside: Sequence[str]) -> Mapping[str, Any]:
    """Return the attributes of the nearest group that describes a multiscale image."""
    import zarr

    for depth in range(len(inside) - 1, -1, -1):
        try:
            attributes = zarr.open_group(store, path="/".join(inside[:depth]), mode="r").attrs.asdict()
        except (FileNotFoundError, ValueError, KeyError):
            continue
        if _multiscales(attributes):
            return dict(attributes)
    return {}


def _multiscale_with(image: Mapping[str, Any], inside: Sequence[str]) -> Mapping[str, Any]:
    """Return the description of the image to which a level belongs; its `level` is the level's own entry."""
    for described in _multiscales(image):
        for dataset in described.get("datasets", []):
            parts = str(dataset.get("path", "")).strip("/").split("/")
            if list(inside[-len(parts) :]) == parts:
                return {**described, "level": dataset}
    return {}


def _axis_names(array: Any, described: Mapping[str, Any]) -> list[str]:
    axes = described.get("axes") or []
    names = [axis["name"] if isinstance(axis, Mapping) else axis for axis in axes]
    stored = getattr(array.metadata, "dimension_names", None) or array.attrs.asdict().get("_ARRAY_DIMENSIONS")
    names = names or [str(name) for name in stored or () if name is not None]
    return [str(name) for name in names] if len(names) == array.ndim else []


def _voxel_size(array: Any, described: Mapping[str, Any], axes: VolumeAxes) -> VoxelSize:
    """Return the scale of the level with the units of its axes; a scale without unit is no voxel size."""
    listed = [axis for axis in described.get("axes") or [] if isinstance(axis, Mapping)]
    if not described or len(listed) != array.ndim:
        return VoxelSize(None, None, "")
    scale = np.ones(array.ndim)
    known = False
    steps = [
        *described["level"].get("coordinateTransformations", []),
        *described.get("coordinateTransformations", []),
    ]
    for step in steps:
        if step.get("type") == "scale" and len(step.get("scale", ())) == array.ndim:
            scale, known = scale * np.asarray(step["scale"], float), True
    if not known:
        return VoxelSize(None, None, "")
    sides = [length_nm(side, axis.get("unit")) for side, axis in zip(scale, listed, strict=True)]
    z, y, x = axes.of(sides, None)
    return VoxelSize.from_axes(z, y, x, "OME-Zarr metadata")


def _present_chunks(folder: Path) -> set[tuple[int, ...]] | None:
    """List the chunks or shards that are there; None if the server lists no objects."""
    if locations.is_web(folder):
        return None
    present = set()
    for file in locations.files_below(folder):
        key = file.relative_to(folder).as_posix()
        parts = key.removeprefix("c/").removeprefix("c.").replace(".", "/").split("/")
        if all(part.isdigit() for part in parts):
            present.add(tuple(map(int, parts)))
    return present
