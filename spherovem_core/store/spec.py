"""The specification of an array: content, shape, type, files and voxel spacing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spherovem_core.rounding import round_to
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.codecs import Codec, codec_for

Content = Literal["image", "label", "field"]


@dataclass(frozen=True)
class ArraySpec:
    """Specification of an array that is to be written.

    Attributes
    ----------
    group
        Multiscale group inside the volume, such as ``raw`` or ``registered/labels/cells``.
    content
        ``image`` and ``field`` are averaged in coarser levels, ``label`` takes the most frequent value;
        a ``field`` may hold NaN.
    shape
        (Z, Y, X), or (C, Z, Y, X).
    chunks, shards
        Extents in voxels. Shards are the unit of writing: one file each.
    origin_nm
        Position of the centre of voxel (0, 0, 0).
    own_codec
        Codec of the chunks; None for the usual one of this content and type.
    resolution
        Step to whose multiples values are rounded as they are written; 0 keeps them as they are.
    is_sparse
        True to leave out the first coarser level, which holds most bytes of all coarser ones.
    """

    group: str
    content: Content
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    spacing_nm: SpacingNm
    origin_nm: SpacingNm = (0.0, 0.0, 0.0)
    own_codec: Codec | None = None
    resolution: float = 0.0
    is_sparse: bool = False

    @property
    def codec(self) -> Codec:
        """Codec of the chunks."""
        return self.own_codec or codec_for(self.content, self.dtype)

    @property
    def fill_value(self) -> float:
        """Value that a reader finds where nothing was written."""
        return float("nan") if self.dtype.kind == "f" else 0

    @property
    def identity(self) -> dict[str, Any]:
        """Properties that must be the same for a partial array to be continued."""
        return {
            "shape": list(self.shape),
            "dtype": self.dtype.name,
            "chunks": list(self.chunks),
            "shards": list(self.shards),
            "codec": self.codec.name,
            "spacing_nm": list(self.spacing_nm),
            "origin_nm": list(self.origin_nm),
            **({"resolution": self.resolution} if self.resolution else {}),
        }

    def rounded(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values as they are stored: of its type, and rounded to multiples of the resolution."""
        values = values.astype(self.dtype, copy=False)
        return round_to(values, self.resolution) if self.resolution else values


def slice_shards(shape: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Choose chunks and shards for a full-resolution image: one file per slice, chunks of up to 512².

    Stages write and read full resolution by slices. In `benchmarks/storage.py`, slices are read from chunks of 512² 2 to 3
    times as fast as from chunks of 256² and from slabs with chunks of one slice, at least 5 times as fast as from slabs with
    deep chunks, and at least 70 times as fast as from cubes. Cubes and xz planes are read from the coarser levels, whose
    shards are cubes.
    """
    _, height, width = shape
    chunk = (1, min(512, height), min(512, width))
    return chunk, (1, _round_up(height, chunk[1]), _round_up(width, chunk[2]))


def cube_shards(shape: Sequence[int], edge: int = 128) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Choose chunks and shards for labels and fields: files of `edge`³ voxels in chunks of 64³, channels together."""
    *lead, depth, height, width = shape
    small = tuple(min(64, edge, n) for n in (depth, height, width))
    large = tuple(
        min(edge, _round_up(n, c)) // c * c for n, c in zip((depth, height, width), small, strict=True)
    )
    return (*lead, *small), (*lead, *large)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
