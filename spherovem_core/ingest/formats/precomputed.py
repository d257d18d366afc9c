"""Neuroglancer's precomputed volumes as a source of slices."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.ingest import locations
from spherovem_core.ingest.axes import split_choices, volume_axes
from spherovem_core.ingest.chunk_faults import absent_chunk_faults
from spherovem_core.ingest.containers import ArrayInContainer, read_from_volume, volume_report
from spherovem_core.ingest.formats.tensorstore_volumes import loader, open_tensorstore
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport, SliceFile, refused
from spherovem_core.ingest.units import length_nm
from spherovem_core.ingest.voxel_size import VoxelSize

INFO = "info"
LARGEST_INFO = 2**26
CHUNK = re.compile(r"(\d+)-\d+_(\d+)-\d+_(\d+)-\d+(\.gz|\.br)?")


@dataclass(frozen=True)
class PrecomputedReader:
    """Reader of the finest scale of a precomputed volume, or of the one that the dataset names by its key.

    A chunk that is not there is a fault, unless `fill_absent`: then it counts as zeros.
    """

    fill_absent: bool = False
    name: str = "precomputed"
    suffixes: tuple[str, ...] = (".precomputed",)

    def can_read(self, path: Path) -> bool:
        """Return false: precomputed volumes are folders."""
        return False

    def can_read_folder(self, folder: Path) -> bool:
        """Return whether a folder holds the ``info`` of a volume."""
        return locations.has_file(folder, INFO) and {"data_type", "scales"} <= set(_info(folder))

    def filling_absent(self) -> "PrecomputedReader":
        """Return a reader that takes absent chunks for zeros."""
        return replace(self, fill_absent=True)

    def inspect(self, path: Path) -> FileReport:
        """Read the description, and look which chunks are there."""
        around = [path, *locations.folders_around(path)]
        root = next((each for each in around if self.can_read_folder(each)), path)
        inside, choices = split_choices(path.relative_to(root).parts)
        try:
            scales = _info(root)["scales"]
            keys = [str(scale["key"]) for scale in scales]
            finest = min(range(len(keys)), key=lambda n: float(np.prod(scales[n]["resolution"])))
            wanted = "/".join(inside)
            if wanted and wanted not in keys:
                found = f"has no scale {wanted}; it has {', '.join(keys)}"
                return refused(root, (Problem(found, root.name),))
            index = keys.index(wanted) if wanted else finest
            if _info(root).get("type") == "segmentation":
                found = (
                    "is a segmentation by its info; expected an image: give labels where labels are asked for"
                )
                return refused(root, (Problem(found, root.name),))
            return self._report(root, scales[index], index, choices)
        except (ValueError, TypeError, LookupError) as error:
            fault = f"is damaged or no precomputed volume ({error}); copy or write it again"
            return FileReport(root, (SliceFile(root, fault=fault),))

    def _report(
        self, root: Path, scale: Mapping[str, Any], index: int, choices: Mapping[str, int]
    ) -> FileReport:
        store = open_tensorstore(
            "neuroglancer_precomputed", root, fill_absent=self.fill_absent, scale_index=index
        )
        shape, chunks = tuple(store.shape), tuple(store.chunk_layout.read_chunk.shape)
        axes = volume_axes(shape, ["x", "y", "z", "c"], choices)
        if axes.problem:
            return refused(root, (Problem(f"{scale['key']} has {axes.problem}", root.name),))
        x, y, z = (length_nm(side, "nm") for side in scale["resolution"])
        present = None
        if not self.fill_absent and "sharding" not in scale:
            present = _present_chunks(root / str(scale["key"]), scale, chunks)
        return volume_report(
            ArrayInContainer(
                root,
                axes,
                np.dtype(store.dtype.numpy_dtype),
                axes.of(chunks),
                loader(store, axes),
                VoxelSize.from_axes(z, y, x, "info of the precomputed volume"),
                {
                    "compression": str(scale.get("encoding", "raw")),
                    "metadata": "neuroglancer",
                    "dataset": str(scale["key"]),
                },
                {} if present is None else absent_chunk_faults(present, shape, chunks, axes),
            )
        )

    def read(self, file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
        """Read a part of a slice from the slab of chunks that holds it."""
        return read_from_volume(file, rows, columns)


def _info(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads(locations.read_range(folder / INFO, 0, LARGEST_INFO))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _present_chunks(
    folder: Path, scale: Mapping[str, Any], chunks: tuple[int, ...]
) -> set[tuple[int, ...]] | None:
    """List the chunks that are there, with all their channels."""
    if locations.is_web(folder):
        return None
    offset = scale.get("voxel_offset", [0, 0, 0])
    names = (CHUNK.fullmatch(file.name) for file in locations.files_below(folder))
    return {
        (*((int(found[n + 1]) - int(offset[n])) // chunks[n] for n in range(3)), 0)
        for found in names
        if found is not None
    }
