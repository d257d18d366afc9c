"""Small volumes in formats that are folders or hold several datasets, as their usual programs write them."""

from pathlib import Path
from typing import Any

import numpy as np
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
