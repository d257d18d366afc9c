"""The codec of the chunks, by the type of their values.

`benchmarks/storage.py` on real data and `benchmarks/ingest.py` on a texture decided the choice:

- Values of one or four bytes take zstd at level 1. On 8-bit FIB-SEM and section images it reaches the compression ratio of
  level 3 and of a bit shuffle (1.14 and 1.03) at 1.2 to 3 times their rate, on noisy texture a higher ratio (1.25, not 1.03).
  Labels reach 53 (35 with their bytes shuffled) at twice the rate, distances twice the ratio.
- Values of two bytes, images and flows, take a shuffle before it, since their upper bytes are alike (smooth float16 1.43, not
  1.10). The shuffle works on blocks of 256 KiB: zstd codes 128 KiB at a time and so meets upper and lower bytes apart. Noisy
  16-bit texture reaches 1.14 at twice the rate of blosc's own block size with 1.06.
"""

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, ZstdCodec

LEVEL = 1
SHUFFLED_BLOCK = 256 * 1024


def is_shuffled(dtype: np.dtype[Any]) -> bool:
    """Return whether the bytes of values are grouped by their place in the value before compression."""
    return dtype.itemsize == 2


def codec_name(dtype: np.dtype[Any]) -> str:
    """Return the name of the codec; a partial array is continued only under the same name."""
    return f"shuffle-zstd-{LEVEL}" if is_shuffled(dtype) else f"zstd-{LEVEL}"


def compressor(dtype: np.dtype[Any]) -> Any:
    """Make zarr's object of the codec."""
    if is_shuffled(dtype):
        return BloscCodec(
            cname="zstd", clevel=LEVEL, shuffle="shuffle", typesize=dtype.itemsize, blocksize=SHUFFLED_BLOCK
        )
    return ZstdCodec(level=LEVEL)


def encode_chunk(chunk: NDArray[Any]) -> bytes:
    """Compress a chunk such that the `compressor` of its type decodes it; runs outside Python's lock."""
    # Any: imagecodecs takes arrays, but its stubs say bytes.
    little: Any = chunk.astype(chunk.dtype.newbyteorder("<"), copy=False)
    if is_shuffled(chunk.dtype):
        return bytes(
            imagecodecs.blosc_encode(
                little,
                level=LEVEL,
                compressor="zstd",
                shuffle="shuffle",
                typesize=chunk.dtype.itemsize,
                blocksize=SHUFFLED_BLOCK,
                numthreads=1,
            )
        )
    return bytes(imagecodecs.zstd_encode(little, level=LEVEL))
