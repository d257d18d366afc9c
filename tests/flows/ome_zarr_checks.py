"""Checks of an OME-Zarr volume: a published validator, and checks that it lacks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaozarrs
import zarr

from spherovem_core.store.reading import missing_shards


def problems(volume: Path) -> list[str]:
    """List the faults of the multiscale groups of a volume, in words."""
    return [f"{name}: {problem}" for name, group in _images(volume) for problem in _problems(group)]


def _images(volume: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(volume.rglob("zarr.json")):
        if "multiscales" in _ome(file.parent):
            yield str(file.parent.relative_to(volume)), file.parent


def _ome(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = dict(zarr.open(folder, mode="r").attrs).get("ome", {})
    return found


def _problems(group: Path) -> Iterator[str]:
    try:
        yaozarrs.validate_zarr_store(str(group))
    except Exception as error:
        yield f"not valid: {error}"
        return
    scale = _ome(group)["multiscales"][0]
    spatial = [axis for axis in scale["axes"] if axis["type"] == "space"]
    if [(axis["name"], axis.get("unit")) for axis in spatial] != [(name, "nanometer") for name in "zyx"]:
        yield "spatial axes are not z, y, x in nanometer"
    for dataset in scale["datasets"]:
        yield from _level_problems(group / dataset["path"], dataset["coordinateTransformations"])
    if group.parent.name == "labels":
        yield from _label_problems(group, scale)


def _level_problems(folder: Path, transforms: list[dict[str, Any]]) -> Iterator[str]:
    kept = dict(zarr.open_array(folder, mode="r").attrs)["spherovem"]
    if transforms[0]["scale"][-3:] != kept["spacing_nm"]:
        yield f"level {folder.name}: scale is not the array's voxel size"
    if transforms[1]["translation"][-3:] != kept["origin_nm"]:
        yield f"level {folder.name}: translation is not the array's origin"
    if not kept["complete"] or missing_shards(folder):
        yield f"level {folder.name}: incomplete"


def _label_problems(group: Path, scale: dict[str, Any]) -> Iterator[str]:
    if "image-label" not in _ome(group):
        yield "no image-label metadata"
    if group.name not in _ome(group.parent).get("labels", []):
        yield "not listed in its labels group"
    image = group.parents[1]
    levels = [_grid(image, dataset) for dataset in _ome(image)["multiscales"][0]["datasets"]]
    if _grid(group, scale["datasets"][0]) not in levels:
        yield "lies on no level of its image"


def _grid(group: Path, dataset: dict[str, Any]) -> tuple[Any, ...]:
    shape = zarr.open_array(group / dataset["path"], mode="r").shape
    scale, translation = dataset["coordinateTransformations"]
    return shape, scale["scale"], translation["translation"]
