"""Small volumes in formats that are folders or hold several datasets, as their usual programs write them."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tensorstore
import zarr
from numpy.typing import NDArray

from spherovem_core.spacing import SpacingNm

AXIS_TYPES = {"c": "channel", "t": "time"}


def write_ome_zarr(
    path: Path,
    volume: NDArray[Any],
    spacing_nm: SpacingNm | None,
    *,
    version: str = "0.5",
    axes: str = "zyx",
    levels: int = 1,
    finest_last: bool = False,
    channels: bool = False,
    unit: str = "nanometer",
    per_unit_nm: float = 1.0,
    chunks: tuple[int, ...] | None = None,
    **options: Any,
) -> None:
    """Write an image of OME-Zarr 0.4 (zarr v2) or 0.5 (zarr v3), axes in any order.

    Parameters
    ----------
    volume
        (Z, Y, X); with `channels` (C, Z, Y, X).
    finest_last
        List the levels from coarse to fine, against the specification.
    """
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    spacing = dict(zip("zyx", spacing_nm or (1.0, 1.0, 1.0), strict=True))
    datasets = []
    for level in range(levels):
        step = 2**level
        own = volume[..., ::step, ::step]
        names = "czyx" if channels else "zyx"
        own = own[(..., *(None for name in axes if name not in names))]
        stored = names + "".join(name for name in axes if name not in names)
        own = own.transpose([stored.index(name) for name in axes])
        place = str(levels - 1 - level if finest_last else level)
        group.create_array(place, data=np.ascontiguousarray(own), chunks=chunks or own.shape, **options)
        scale = [
            spacing.get(name, 1.0) / per_unit_nm * (step if name in "yx" else 1) if name in "zyx" else 1.0
            for name in axes
        ]
        datasets.append({"path": place, "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    described = [
        {
            "name": name,
            "type": AXIS_TYPES.get(name, "space"),
            **({"unit": unit} if name in "zyx" and spacing_nm else {}),
        }
        for name in axes
    ]
    image = {"axes": described, "datasets": datasets[::-1] if finest_last else datasets}
    if version == "0.4":
        group.attrs.update({"multiscales": [{"version": "0.4", **image}]})
    else:
        group.attrs.update({"ome": {"version": "0.5", "multiscales": [image]}})


def write_plain_zarr(
    path: Path,
    volume: NDArray[Any],
    *,
    zarr_format: Any = 3,
    chunks: tuple[int, ...] | None = None,
    **options: Any,
) -> None:
    """Write an array without metadata."""
    zarr.create_array(path, data=volume, chunks=chunks or volume.shape, zarr_format=zarr_format, **options)


BDV_XML = """<?xml version="1.0" encoding="UTF-8"?>
<SpimData version="0.2"><BasePath type="relative">.</BasePath><SequenceDescription>
<ImageLoader format="{format}"><{tag} type="relative">{name}</{tag}></ImageLoader>
<ViewSetups><ViewSetup><id>0</id><size>{x} {y} {z}</size>
<voxelSize><unit>{unit}</unit><size>{sides}</size></voxelSize></ViewSetup></ViewSetups>
</SequenceDescription></SpimData>
"""


def write_bdv_xml(container: Path, volume: NDArray[Any], spacing_nm: SpacingNm, kind: str) -> None:
    """Write the XML file beside a container, with the voxel size in µm."""
    z, y, x = volume.shape
    sides = " ".join(str(side / 1000) for side in spacing_nm[::-1])
    tag = "hdf5" if kind == "bdv.hdf5" else "n5"
    text = BDV_XML.format(format=kind, tag=tag, name=container.name, x=x, y=y, z=z, unit="µm", sides=sides)
    container.with_suffix(".xml").write_text(text, encoding="utf-8")


def write_bdv_hdf5(path: Path, volume: NDArray[Any], spacing_nm: SpacingNm, *, setups: int = 1) -> None:
    """Write BigDataViewer's layout with two levels; 16 bits are stored as signed, as its Java does."""
    stored = volume.view(np.int16) if volume.dtype == np.uint16 else volume
    with h5py.File(path, "w") as file:
        for setup in range(setups):
            file[f"s{setup:02d}/resolutions"] = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 1.0]])
            file[f"s{setup:02d}/subdivisions"] = np.array([[16, 16, 4], [16, 16, 4]], np.int32)
            group = file.create_group(f"t00000/s{setup:02d}")
            group.create_dataset("0/cells", data=stored, chunks=(4, 16, 16), compression="gzip")
            group.create_dataset("1/cells", data=stored[:, ::2, ::2], chunks=(4, 16, 16), compression="gzip")
    write_bdv_xml(path, volume, spacing_nm, "bdv.hdf5")


def write_n5_array(
    path: Path, volume: NDArray[Any], blocks: tuple[int, ...] = (16, 16, 4), **attributes: Any
) -> None:
    """Write one dataset (Z, Y, X), which N5 holds as x, y, z."""
    metadata = {
        "dataType": volume.dtype.name,
        "dimensions": volume.shape[::-1],
        "blockSize": blocks,
        "compression": {"type": "gzip"},
    }
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{path}/"}, "metadata": metadata}
    tensorstore.open(spec, create=True).result()[...] = volume.T
    own = json.loads((path / "attributes.json").read_text())
    (path / "attributes.json").write_text(json.dumps({**own, **attributes}))


def write_n5(path: Path, volume: NDArray[Any], spacing_nm: SpacingNm) -> None:
    """Write a container with a multi-resolution group, in the way of the programs of Janelia."""
    write_n5_array(path / "volumes" / "raw" / "s0", volume)
    write_n5_array(path / "volumes" / "raw" / "s1", volume[:, ::2, ::2], downsamplingFactors=[2, 2, 1])
    (path / "attributes.json").write_text('{"n5": "2.5.1"}')
    pixel = {"unit": "nm", "dimensions": spacing_nm[::-1]}
    (path / "volumes" / "raw" / "attributes.json").write_text(json.dumps({"pixelResolution": pixel}))


def write_bdv_n5(path: Path, volume: NDArray[Any], spacing_nm: SpacingNm) -> None:
    """Write BigDataViewer's layout in N5."""
    write_n5_array(path / "setup0" / "timepoint0" / "s0", volume)
    write_n5_array(path / "setup0" / "timepoint0" / "s1", volume[:, ::2, ::2])
    (path / "attributes.json").write_text('{"n5": "2.5.1"}')
    (path / "setup0" / "attributes.json").write_text('{"downsamplingFactors": [[1, 1, 1], [2, 2, 1]]}')
    write_bdv_xml(path, volume, spacing_nm, "bdv.n5")


def write_precomputed(
    path: Path, volume: NDArray[Any], spacing_nm: SpacingNm, *, sharded: bool = False
) -> None:
    """Write two scales, the coarse one first, that begin away from the origin."""
    for step in (2, 1):
        own = volume[:, ::step, ::step].T
        dz, dy, dx = spacing_nm
        scale: dict[str, Any] = {
            "size": own.shape,
            "encoding": "raw",
            "chunk_size": [16, 16, 4],
            "resolution": [dx * step, dy * step, dz],
            "voxel_offset": [3, 0, 5],
        }
        if sharded:
            scale["sharding"] = {
                "@type": "neuroglancer_uint64_sharded_v1",
                "preshift_bits": 1,
                "hash": "identity",
                "minishard_bits": 1,
                "shard_bits": 1,
                "data_encoding": "gzip",
            }
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{path}/"},
            "multiscale_metadata": {"data_type": volume.dtype.name, "num_channels": 1, "type": "image"},
            "scale_metadata": scale,
        }
        tensorstore.open(spec, create=True).result()[...] = own[..., np.newaxis]
