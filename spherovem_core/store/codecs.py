"""How chunks are compressed.

Chosen by `benchmarks/storage.py` on real data, and by `benchmarks/ingest.py` on a texture. Zstd at level 1 compresses 8-bit
FIB-SEM and section images as far as level 3 or a bit shuffle does (1.14 and 1.03) at 1.2 to 3 times their rate, and noisy
texture further (1.25 against 1.03); labels 1.5 times as far as with their bytes shuffled (53 against 35) and at twice the
rate; distances twice as far. Values of two bytes, images and flows, gain by a shuffle (smooth float16 1.43 against
1.10), since their upper bytes are alike: in blocks of 256 KiB, so that zstd, which codes 128 KiB at a time, has upper and lower
bytes apart (noisy 16-bit texture 1.14 at twice the rate of blosc's own choice of block with 1.06).
"""

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, ZstdCodec

LEVEL = 1
SHUFFLED_BLOCK = 256 * 1024


def is_shuffled(dtype: np.dtype[Any]) -> bool:
    """Whether the bytes of neighbouring values are put side by side before they are compressed."""
    return dtype.itemsize == 2


def codec_name(dtype: np.dtype[Any]) -> str:
    """The codec in a word: an array is only continued with the one it was begun with."""
    return f"shuffle-zstd-{LEVEL}" if is_shuffled(dtype) else f"zstd-{LEVEL}"


def compressor(dtype: np.dtype[Any]) -> Any:
    """The codec as zarr knows it."""
    if is_shuffled(dtype):
        return BloscCodec(
            cname="zstd", clevel=LEVEL, shuffle="shuffle", typesize=dtype.itemsize, blocksize=SHUFFLED_BLOCK
        )
    return ZstdCodec(level=LEVEL)


def encode_chunk(chunk: NDArray[Any]) -> bytes:
    """Compress a chunk into what `compressor` of its type decodes; runs outside Python's lock."""
    # Any: imagecodecs takes arrays, its stubs say bytes.
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
