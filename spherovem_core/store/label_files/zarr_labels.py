"""Labels in zarr arrays, OME-Zarr 0.4 and 0.5, and webKnossos datasets."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from spherovem_core.errors import IncompleteArtifactError, LabelsError
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.label_files.volume import EXPECTED, LabelVolume, triple
from spherovem_core.store.label_files.webknossos import (
    WEBKNOSSOS,
    finest_array,
    is_layer,
    segmentation_layer,
    webknossos_axes,
    webknossos_geometry,
)
from spherovem_core.store.nodes import ATTRIBUTE
from spherovem_core.store.ome import NM_PER_UNIT, multiscale_of

ZARR_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a zarr array, a zarr group, or a webKnossos dataset or layer."""
    return any((path / name).is_file() for name in (*ZARR_FILES, WEBKNOSSOS)) or is_layer(path)


def open_zarr(path: Path) -> LabelVolume:
    """Open a zarr array, the finest level of a multiscale image, or the segmentation of a webKnossos dataset.

    Axes are sorted by their names: webKnossos has c, x, y, z. Channels and times of extent 1 are left out.

    Raises
    ------
    LabelsError
        If there is no array of labels there, or several.
    IncompleteArtifactError
        If it is an unfinished array of spherovem.
    """
    if (path / WEBKNOSSOS).is_file():
        path = segmentation_layer(path)
    elif is_layer(path):
        path = finest_array(path)
    node = _open(path)
    if isinstance(node, zarr.Array):
        return _of_array(path, node, _attributes_of(path.parent), path.name)
    attributes = node.attrs.asdict()
    levels = [dataset["path"] for dataset in multiscale_of(attributes).get("datasets", [])]
    inside = attributes.get("ome", attributes).get("labels") or _labels_of(node)
    if inside and "image-label" not in attributes.get("ome", attributes):
        names = ", ".join(str(path / "labels" / name if levels else path / name) for name in inside)
        raise LabelsError(
            f"{path} is {'an image' if levels else 'a group'} with labels inside; name the labels: {names}"
        )
    if not levels:
        raise LabelsError(
            f"{path} is a zarr group, but no multiscale image; name the array inside it: {', '.join(sorted(node)) or 'none'}"
        )
    return _of_array(path, _open(path / levels[0]), attributes, levels[0])


def _open(path: Path) -> Any:
    try:
        return zarr.open(path, mode="r")
    except (FileNotFoundError, ValueError, KeyError, TypeError, zarr.errors.NodeTypeValidationError) as error:
        raise LabelsError(f"{path} is no zarr array or group ({error}); {EXPECTED}") from error


def _attributes_of(folder: Path) -> dict[str, Any]:
    try:
        return dict(zarr.open_group(folder, mode="r").attrs.asdict())
    except (FileNotFoundError, ValueError, KeyError, zarr.errors.NodeTypeValidationError):
        return {}


def _labels_of(image: Any) -> list[str]:
    """List the labels that an image group holds beside its levels."""
    if "labels" not in image:
        return []
    attributes = image["labels"].attrs.asdict()
    return list(attributes.get("ome", attributes).get("labels", []))


def _of_array(path: Path, array: Any, image: Mapping[str, Any], level: str) -> LabelVolume:
    own = array.attrs.asdict().get(ATTRIBUTE, {})
    if own and not own.get("complete"):
        raise IncompleteArtifactError(
            f"labels {path} are unfinished; run the acquisition again to complete them"
        )
    axes = _axes_of(path, array, image, level)
    spacing, origin = _geometry(image, level)
    if spacing is None:
        spacing, origin = webknossos_geometry(path)
    if own.get("spacing_nm"):
        spacing, origin = triple(own["spacing_nm"]), triple(own.get("origin_nm", (0.0, 0.0, 0.0)))
    kept, fixed = _kept_axes(array.shape, axes)
    pieces = array.shards or array.chunks
    return LabelVolume(
        tuple(array.shape[axis] for axis in kept),
        np.dtype(array.dtype),
        tuple(pieces[axis] for axis in kept),
        spacing,
        array.__getitem__ if kept == list(range(array.ndim)) else _sorted_reader(array, kept, fixed),
        origin,
    )


def _axes_of(path: Path, array: Any, image: Mapping[str, Any], level: str) -> list[str]:
    """Return the names of an array's axes, in small letters; empty where they are not known."""
    described = multiscale_of(image)
    names: Sequence[Any] = ()
    if level in [dataset.get("path") for dataset in described.get("datasets", [])]:
        names = [axis["name"] if isinstance(axis, dict) else axis for axis in described.get("axes", [])]
    names = names or getattr(array.metadata, "dimension_names", None) or ()
    names = names or array.attrs.asdict().get("_ARRAY_DIMENSIONS", ()) or webknossos_axes(path)
    names = names[-array.ndim :]
    return [str(name).lower() for name in names] if len(names) == array.ndim else []


def _kept_axes(shape: Sequence[int], axes: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the axes in the order (others), z, y, x, and those of extent 1 that are left out."""
    if sorted(axes)[-3:] != ["x", "y", "z"]:
        return list(range(len(shape))), []
    others = [axis for axis in range(len(shape)) if axes[axis] not in "zyx"]
    fixed = [axis for axis in others if shape[axis] == 1]
    return [axis for axis in others if axis not in fixed] + [axes.index(name) for name in "zyx"], fixed


def _sorted_reader(array: Any, kept: Sequence[int], fixed: Sequence[int]) -> Callable[[Any], NDArray[Any]]:
    stored = [axis for axis in range(array.ndim) if axis not in fixed]

    def read(region: Any) -> NDArray[Any]:
        parts = list(region) if isinstance(region, tuple) else [region]
        if Ellipsis in parts:
            place = parts.index(Ellipsis)
            parts[place : place + 1] = [slice(None)] * (len(kept) - len(parts) + 1)
        parts += [slice(None)] * (len(kept) - len(parts))
        whole: list[Any] = [slice(0, 1)] * array.ndim
        for axis, part in zip(kept, parts, strict=True):
            whole[axis] = slice(part, part + 1) if isinstance(part, int | np.integer) else part
        values = np.asarray(array[tuple(whole)]).reshape(
            [len(range(*whole[axis].indices(array.shape[axis]))) for axis in stored]
        )
        values = values.transpose([stored.index(axis) for axis in kept])
        return values[tuple(0 if isinstance(part, int | np.integer) else slice(None) for part in parts)]

    return read


def _geometry(image: Mapping[str, Any], level: str) -> tuple[SpacingNm | None, SpacingNm | None]:
    """Return voxel size and offset of a level in nm, None where the metadata state none.

    Where no level has an offset, the levels share their first corner, as those of a pyramid do.
    """
    described = multiscale_of(image)
    listed = [axis for axis in described.get("axes", []) if isinstance(axis, dict)]
    axes = [str(axis["name"]).lower() for axis in listed]
    if sorted(axes)[-3:] != ["x", "y", "z"] or len(axes) != len(described["axes"]):
        return None, None
    places = [axes.index(name) for name in "zyx"]
    units = [NM_PER_UNIT.get(listed[place].get("unit", "")) for place in places]
    datasets = [dataset for dataset in described["datasets"] if dataset["path"] == level]
    if None in units or not datasets:
        return None, None
    shared = described.get("coordinateTransformations", [])
    scale, shift, shifted = _transform([*datasets[0].get("coordinateTransformations", []), *shared], places)
    finest, _, _ = _transform(
        [*described["datasets"][0].get("coordinateTransformations", []), *shared], places
    )
    if scale is None or finest is None:
        return None, None
    if not shifted:
        shift = (scale - finest) / 2
    in_nm = np.array(units, float)
    return triple(scale * in_nm), triple(shift * in_nm)


def _transform(steps: Sequence[Any], places: Sequence[int]) -> tuple[Any, Any, bool]:
    """Compose scales and translations in their order; the scale is None where there is none."""
    scale, shift, shifted = None, np.zeros(3), False
    for step in steps:
        if step.get("type") == "scale":
            factors = np.array([float(step["scale"][place]) for place in places])
            scale, shift = factors if scale is None else scale * factors, shift * factors
        elif step.get("type") == "translation":
            shift = shift + np.array([float(step["translation"][place]) for place in places])
            shifted = shifted or bool(shift.any())
    return scale, shift, shifted
