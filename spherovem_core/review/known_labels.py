"""Labels on the grid of the review whose blocks are recognised by the files that hold them, without reading them."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from spherovem_core.blocks import ArrayLike, Region
from spherovem_core.known_blocks import digest_of
from spherovem_core.label_statistics import statistics_code
from spherovem_core.review.review_grid import CoarseLabels, ReviewGrid


class StoredCoarseLabels(CoarseLabels):
    """Stored labels on a `ReviewGrid`, with the digests of their shards for `spherovem_core.known_blocks.RegionDigests`."""

    @property
    def _stored(self) -> Any:
        return self.array

    def shards_of(self, region: Region) -> Iterator[tuple[int, ...]]:
        """Yield the shards that hold what a region of the grid reads."""
        shards: Iterator[tuple[int, ...]] = self._stored.shards_of(self.grid.level_region(region))
        return shards

    def shard_record(self) -> Any:
        """Return the record of what each file held when it was written."""
        return self._stored.shard_record()

    def shard_digest(self, index: tuple[int, ...], record: Any = None) -> str:
        """Digest a shard, the grid on which it is read, and the code that measures its labels."""
        parts = (self.grid.signature, _code(), self._stored.shard_digest(index, record))
        return digest_of(*(part.encode() for part in parts))


@cache
def _code() -> str:
    return statistics_code()


def coarse_labels(grid: ReviewGrid, array: ArrayLike) -> CoarseLabels:
    """Return labels of the grid's level on the grid, with digests of shards if they are stored."""
    return (StoredCoarseLabels if hasattr(array, "shard_digest") else CoarseLabels)(grid, array)
