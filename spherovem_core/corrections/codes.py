"""Masks in a journal: small label volumes at a place in µm, written as text."""

import base64
import math
import zlib
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from spherovem_core.spacing import SpacingNm


def _finite(point: tuple[float, float, float]) -> tuple[float, float, float]:
    if not all(math.isfinite(value) for value in point):
        raise ValueError(f"a position must be three finite numbers z, y, x in µm; got {point}")
    return point


PointUm = Annotated[tuple[float, float, float], AfterValidator(_finite)]
"""A position z, y, x in µm, in the frame of the tables' centroids."""

LARGEST_MASK = 2**27
"""Voxels of a mask: 128 MiB when it is unpacked."""


class MaskCodes(BaseModel):
    """A box of voxels, each with a code from 0 to 255.

    Attributes
    ----------
    origin_um
        Position of the centre of voxel (0, 0, 0).
    spacing_nm
        Voxel size z, y, x.
    shape
        Extents z, y, x in voxels.
    content
        The codes as bytes in C order, compressed by zlib, as base64.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin_um: PointUm
    spacing_nm: Annotated[SpacingNm, Field(description="Voxel size z, y, x in nm.")]
    shape: tuple[int, int, int]
    content: str

    @model_validator(mode="after")
    def _holds_the_whole_box(self) -> "MaskCodes":
        if min(self.shape) < 1 or math.prod(self.shape) > LARGEST_MASK:
            raise ValueError(f"a mask has 1 to {LARGEST_MASK} voxels; its shape is {self.shape}")
        if not all(math.isfinite(side) and side > 0 for side in self.spacing_nm):
            raise ValueError(f"the voxel size of a mask must be positive; got {self.spacing_nm}")
        found = len(self._unpacked())
        if found != math.prod(self.shape):
            raise ValueError(f"a mask of shape {self.shape} needs {math.prod(self.shape)} bytes, got {found}")
        return self

    def _unpacked(self) -> bytes:
        decompressor = zlib.decompressobj()
        try:
            # One byte more than expected tells a longer content apart, and a bomb is not unpacked.
            content = decompressor.decompress(
                base64.b64decode(self.content, validate=True), math.prod(self.shape) + 1
            )
        except (ValueError, zlib.error) as error:
            raise ValueError(f"the content of a mask is damaged: {error}") from error
        return content

    @classmethod
    def pack(
        cls, codes: NDArray[Any], origin_um: Sequence[float], spacing_nm: Sequence[float]
    ) -> "MaskCodes":
        """Pack an array of codes.

        Parameters
        ----------
        codes : (Z, Y, X) ndarray of bool or of integers from 0 to 255
        origin_um
            Position of the centre of voxel (0, 0, 0).
        spacing_nm
            Voxel size z, y, x.
        """
        depth, height, width = codes.shape
        z, y, x = map(float, origin_um)
        dz, dy, dx = map(float, spacing_nm)
        content = base64.b64encode(zlib.compress(np.ascontiguousarray(codes, np.uint8).tobytes(), 6))
        return cls(
            origin_um=(z, y, x),
            spacing_nm=(dz, dy, dx),
            shape=(depth, height, width),
            content=content.decode(),
        )

    def unpack(self) -> NDArray[np.uint8]:
        """Return the codes as a (Z, Y, X) array."""
        return np.frombuffer(self._unpacked(), np.uint8).reshape(self.shape)
