"""Volumes for Neuroglancer that are read from the levels of a pyramid, never from the whole of a finer one."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from neuroglancer import CoordinateSpace, LocalVolume
from neuroglancer.local_volume import MeshesNotSupportedForVolume

from spherovem_core.spacing import SpacingNm

COARSEST_SIDE = 128
M_PER_NM = 1e-9


class PyramidVolume(LocalVolume):  # type: ignore[misc]
    """A volume whose coarse views come from its coarse levels.

    Parameters
    ----------
    levels : sequence of (Z, Y, X) array-like
        The finest first.
    factors
        Voxels of the finest level along each axis in one of each level.
    spacing_nm
        Voxel size of the finest level.
    volume_type
        ``image`` or ``segmentation``.
    """

    def __init__(
        self, levels: Sequence[Any], factors: Sequence[Sequence[int]], spacing_nm: SpacingNm, volume_type: str
    ) -> None:
        super().__init__(
            levels[0],
            CoordinateSpace(
                names=["z", "y", "x"], units="m", scales=[side * M_PER_NM for side in spacing_nm]
            ),
            volume_type=volume_type,
            encoding="raw",
            max_downsampling=math.inf,
            max_downsampled_size=COARSEST_SIDE,
            max_downsampling_scales=32,
        )
        self._levels = tuple(levels)
        self._factors = [np.array(each, np.int64) for each in factors]

    def get_encoded_subvolume(
        self, data_format: str, start: Any, end: Any, scale_key: str
    ) -> tuple[bytes, str]:
        """Return a box of a coarse view, as raw bytes."""
        wanted = np.array(scale_key.split(","), np.int64)
        start, end = np.asarray(start, np.int64), np.asarray(end, np.int64)
        shape = -(-np.array(self.shape) // np.maximum(wanted, 1))
        if (
            data_format != "raw"
            or (wanted < 1).any()
            or (start < 0).any()
            or (end < start).any()
            or (end > shape).any()
        ):
            raise ValueError("no such part of the volume")
        fitting = [level for level, own in enumerate(self._factors) if not (wanted % own).any()]
        level = fitting[-1]
        steps = wanted // self._factors[level]
        sides = zip(start * steps, end * steps, steps, self._levels[level].shape, strict=True)
        region = tuple(slice(int(low), min(int(high), n), int(step)) for low, high, step, n in sides)
        values = np.asarray(self._levels[level][region])
        # The first of the named axes, z, is the fastest in a raw chunk.
        return values.tobytes("F"), "application/octet-stream"

    def get_object_mesh(self, object_id: int) -> bytes:
        """Refuse: a surface would need the whole volume in memory.

        Raises
        ------
        MeshesNotSupportedForVolume
            Always.
        """
        raise MeshesNotSupportedForVolume
