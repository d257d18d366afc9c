"""Parts of a block of an object, compressed: those of an object larger than memory are known before it is painted."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PackedParts:
    """Parts of the voxels of a block, with the number of voxels of each from 0 on."""

    shape: tuple[int, ...]
    content: bytes
    sizes: NDArray[np.int64]

    @classmethod
    def pack(cls, parts: NDArray[np.uint16]) -> "PackedParts":
        """Compress parts."""
        # Any: imagecodecs takes arrays, but its stubs say bytes.
        plain: Any = np.ascontiguousarray(parts)
        return cls(
            parts.shape, bytes(imagecodecs.zstd_encode(plain, level=1)), np.bincount(parts.reshape(-1))
        )

    def unpack(self) -> NDArray[np.uint16]:
        """Return the parts."""
        return np.frombuffer(imagecodecs.zstd_decode(self.content), np.uint16).reshape(self.shape)


def sum_sizes(blocks: Iterable[PackedParts]) -> NDArray[np.int64]:
    """Return the number of voxels of each part, the first of number 1."""
    sizes = [packed.sizes for packed in blocks]
    total = np.zeros(max(map(len, sizes)), np.int64)
    for own in sizes:
        total[: len(own)] += own
    return total[1:]
