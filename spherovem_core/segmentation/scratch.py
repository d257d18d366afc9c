"""Arrays that a segmenter writes and reads back while it predicts a field, and that nobody needs afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from spherovem_core.blocks import MemorySink, ReadableSink


@dataclass(frozen=True)
class Files:
    """Chunks and files of an array on disk.

    Attributes
    ----------
    chunks, shards
        Extents in voxels, of whole chunks; a shard is one file, which is written at once.
    """

    chunks: tuple[int, ...]
    shards: tuple[int, ...]


class Scratch(Protocol):
    """Place of such arrays: memory, or the provisional arrays of a step, which survive a kill."""

    def open(self, name: str, shape: Sequence[int], dtype: DTypeLike, files: Files) -> ReadableSink:
        """Begin or continue an array; blocks that it takes must be aligned to its shards."""

    def discard(self, name: str) -> None:
        """Delete an array; nothing happens if it is not there."""


@dataclass(frozen=True)
class MemoryScratch:
    """Arrays in memory."""

    sinks: dict[str, MemorySink] = field(default_factory=dict)

    def open(self, name: str, shape: Sequence[int], dtype: DTypeLike, files: Files) -> ReadableSink:
        """Begin or continue an array."""
        if name not in self.sinks:
            self.sinks[name] = MemorySink(np.zeros(tuple(shape), dtype))
        return self.sinks[name]

    def discard(self, name: str) -> None:
        """Forget an array."""
        self.sinks.pop(name, None)


def slab_files(shape: Sequence[int], chunks: Sequence[int], shards: Sequence[int]) -> Files:
    """Return chunks and shards no larger than an array needs; shards are whole numbers of chunks."""
    small = tuple(min(c, n) for c, n in zip(chunks, shape, strict=True))
    large = tuple(max(1, min(s // c, -(-n // c))) * c for s, c, n in zip(shards, small, shape, strict=True))
    return Files(small, large)
