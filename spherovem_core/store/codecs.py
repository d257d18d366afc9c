"""How chunks are compressed."""

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, ZstdCodec

LEVEL = 1


def compressor(dtype: np.dtype[Any]) -> Any:
    """Zstd without shuffle for 8-bit data; wider types compress better with their bytes shuffled."""
    if dtype.itemsize == 1:
        return ZstdCodec(level=LEVEL)
    return BloscCodec(cname="zstd", clevel=LEVEL, shuffle="shuffle", typesize=dtype.itemsize)


def encode_chunk(chunk: NDArray[Any]) -> bytes:
    """Compress a chunk into what `compressor` of its type decodes; runs outside Python's lock."""
    # Any: imagecodecs takes arrays, its stubs say bytes.
    little: Any = chunk.astype(chunk.dtype.newbyteorder("<"), copy=False)
    if chunk.dtype.itemsize == 1:
        return bytes(imagecodecs.zstd_encode(little, level=LEVEL))
    return bytes(
        imagecodecs.blosc_encode(
            little,
            level=LEVEL,
            compressor="zstd",
            shuffle="shuffle",
            typesize=chunk.dtype.itemsize,
            numthreads=1,
        )
    )
