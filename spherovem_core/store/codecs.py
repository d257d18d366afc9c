"""The codec of the chunks, by content and type of their values.

`benchmarks/storage.py` on real data, `benchmarks/ingest.py` on a texture and `benchmarks/stored_codecs.py` on the demo's results
decided the choice:

- Images of one byte take zstd at level 1. On 8-bit FIB-SEM and section images it reaches the compression ratio of
  level 3 and of a bit shuffle (1.14 and 1.03) at 1.2 to 3 times their rate, on noisy texture a higher ratio (1.25, not 1.03).
  A denoised image is smoother: level 3 makes it 11 % smaller at a sixth of the rate, which a stage that computes for longer
  than that can ask for.
- Values of two bytes, images and flows, take a shuffle before it, since their upper bytes are alike (smooth float16 1.43, not
  1.10). The shuffle works on blocks of 256 KiB: zstd codes 128 KiB at a time and so meets upper and lower bytes apart. Noisy
  16-bit texture reaches 1.14 at twice the rate of blosc's own block size with 1.06.
- Labels and fields of four bytes take a shuffle of whole chunks and level 5 of blosc, which is 9 of zstd: labels of cells and
  nuclei take 0.44 to 0.51 of the bytes of plain level 1 at 0.9 GB/s, rounded distances 0.58 at 0.3 GB/s.

All are codecs of the zarr specification, which every reader has: a delta filter would make rounded distances, as whole numbers of
two bytes, about a fifth smaller, and only zarr-python would read them.
"""

import re
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, ZstdCodec

FAST, THOROUGH = 1, 5
SHUFFLED_BLOCK = 256 * 1024
WHOLE_CHUNK = 1024 * 1024
"""Bytes of a chunk of 64³ values of four bytes."""


@dataclass(frozen=True)
class Codec:
    """A codec of chunks.

    Attributes
    ----------
    level
        Level of zstd, or of blosc with zstd where it is shuffled.
    is_shuffled
        Whether the bytes of values are grouped by their place in the value before compression.
    """

    level: int = FAST
    is_shuffled: bool = False

    @property
    def name(self) -> str:
        """Name in the metadata of arrays; a partial array is continued only under the same name."""
        return f"{'shuffle-' if self.is_shuffled else ''}zstd-{self.level}"

    @classmethod
    def of_name(cls, name: str) -> "Codec":
        """Return the codec of a name.

        Raises
        ------
        ValueError
            If it is no name of a codec.
        """
        match = re.fullmatch(r"(shuffle-)?zstd-(\d+)", name)
        if match is None:
            raise ValueError(f"{name!r} is no codec; expected zstd-LEVEL or shuffle-zstd-LEVEL")
        return cls(int(match[2]), match[1] is not None)

    def compressor(self, dtype: np.dtype[Any]) -> Any:
        """Make zarr's object of the codec."""
        if self.is_shuffled:
            return BloscCodec(
                cname="zstd",
                clevel=self.level,
                shuffle="shuffle",
                typesize=dtype.itemsize,
                blocksize=_block_of(dtype),
            )
        return ZstdCodec(level=self.level)

    def encode(self, chunk: NDArray[Any]) -> bytes:
        """Compress a chunk such that the `compressor` of its type decodes it; runs outside Python's lock."""
        # Any: imagecodecs takes arrays, but its stubs say bytes.
        little: Any = chunk.astype(chunk.dtype.newbyteorder("<"), copy=False)
        if self.is_shuffled:
            return bytes(
                imagecodecs.blosc_encode(
                    little,
                    level=self.level,
                    compressor="zstd",
                    shuffle="shuffle",
                    typesize=chunk.dtype.itemsize,
                    blocksize=_block_of(chunk.dtype),
                    numthreads=1,
                )
            )
        return bytes(imagecodecs.zstd_encode(little, level=self.level))


SMOOTH = Codec(3)
"""Codec of a denoised image that stays."""


def codec_for(content: str, dtype: np.dtype[Any]) -> Codec:
    """Choose the codec of an array by its content (``image``, ``label`` or ``field``) and type."""
    if dtype.itemsize == 2:
        return Codec(is_shuffled=True)
    if content != "image" and dtype.itemsize == 4:
        return Codec(THOROUGH, is_shuffled=True)
    return Codec()


def _block_of(dtype: np.dtype[Any]) -> int:
    return SHUFFLED_BLOCK if dtype.itemsize == 2 else WHOLE_CHUNK
