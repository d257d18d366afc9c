"""Results of blocks by the content of the arrays in them, so that blocks in which nothing changed are not evaluated again."""

import json
import math
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from hashlib import blake2b
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, Region, map_blocks

Columns = Mapping[str, NDArray[Any]]
"""Arrays by name: the result of a block."""


@dataclass(eq=False)
class KnownResults:
    """Results by content, and the numbers of those that were taken over.

    Attributes
    ----------
    entries
        JSON values so far. New ones are added at once, so that entries that survive a kill let the next run continue. They hold
        for one version of the method and one set of everything that is not part of their keys.
    used
        Keys of the entries that this run used or added.
    counts
        For each kind of work: number of items that were evaluated, and of items that were taken over.
    """

    entries: MutableMapping[str, Any] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    counts: dict[str, list[int]] = field(default_factory=dict)

    def find(self, key: str) -> Any:
        """Return an entry, or None."""
        found = self.entries.get(key)
        if found is not None:
            self.used.add(key)
        return found

    def add(self, key: str, value: Any) -> None:
        """Keep an entry."""
        self.entries[key] = value
        self.used.add(key)

    def count(self, work: str, evaluated: int, taken_over: int) -> None:
        """Count items of a kind of work."""
        counts = self.counts.setdefault(work, [0, 0])
        counts[0] += evaluated
        counts[1] += taken_over


class RegionDigests:
    """Digests of the values of arrays on one grid in regions.

    Of an array that is stored in shards, whole shards are digested as they are on disk, without decoding them, each once; files
    that are as they were recorded when they were written are not read. The array must not change while digests are asked for.
    """

    def __init__(self, *arrays: ArrayLike) -> None:
        self._arrays = arrays
        self._shards: dict[tuple[int, tuple[int, ...]], str] = {}
        self._records: dict[int, Any] = {}

    def of(self, region: Region) -> str:
        """Return the digest of a region, or of the shards around it. Equal digests mean equal values."""
        place = ",".join(f"{s.start}:{s.stop}" for s in region)
        parts = [place.encode()]
        for number, array in enumerate(self._arrays):
            parts += self._parts(number, array, region)
        return digest_of(*parts)

    def _parts(self, number: int, array: ArrayLike, region: Region) -> Iterator[bytes]:
        stored: Any = array
        if not hasattr(stored, "shard_digest"):
            values = np.ascontiguousarray(array[region])
            yield f"{array.shape} {values.dtype}".encode()
            yield values.tobytes()
            return
        yield str(array.shape).encode()
        if number not in self._records:
            self._records[number] = stored.shard_record()
        for index in stored.shards_of(region):
            if (number, index) not in self._shards:
                self._shards[number, index] = stored.shard_digest(index, self._records[number])
            yield self._shards[number, index].encode()


def map_known_blocks(
    function: Callable[..., Columns],
    blocks: Sequence[Block],
    arguments: tuple[Any, ...],
    work: str,
    digest: Callable[[Block], str],
    known: KnownResults | None,
    executor: Executor | None = None,
    ahead: int = 4,
) -> Iterator[Columns]:
    """Call ``function(block, *arguments)`` for every block in which something changed, and yield the results of all in order.

    Parameters
    ----------
    function
        Returns arrays by name.
    work
        Name of the work in keys and counts.
    digest
        Digests all that the function reads for a block.
    known
        Results so far; None evaluates all blocks.
    executor, ahead
        As in `spherovem_core.blocks.map_blocks`.
    """
    keys = ["" if known is None else f"{work} {block.key} {digest(block)}" for block in blocks]
    changed = [
        block for block, key in zip(blocks, keys, strict=True) if known is None or known.find(key) is None
    ]
    if known is not None:
        known.count(work, len(changed), len(blocks) - len(changed))
    evaluated = map_blocks(function, changed, *arguments, executor=executor, ahead=ahead)
    fresh = {block.index for block in changed}
    for block, key in zip(blocks, keys, strict=True):
        if block.index not in fresh and known is not None:
            yield columns_from_text(known.find(key))
            continue
        result = next(evaluated)[1]
        if known is not None:
            known.add(key, columns_to_text(result))
        yield result


def columns_to_text(columns: Columns) -> str:
    """Encode arrays as compressed text for a ledger."""
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    heading = json.dumps([[name, each.dtype.str, each.shape] for name, each in arrays.items()])
    content = b"".join(each.tobytes() for each in arrays.values())
    return b64encode(zlib.compress(f"{heading}\n".encode() + content, 1)).decode()


def columns_from_text(text: str) -> dict[str, NDArray[Any]]:
    """Decode the text of `columns_to_text`."""
    content = b64decode(text)
    if content.startswith(b"PK"):  # As versions before 0.2 wrote it.
        with np.load(BytesIO(content)) as columns:
            return dict(columns)
    heading, _, values = zlib.decompress(content).partition(b"\n")
    found, start = {}, 0
    for name, kind, shape in json.loads(heading):
        dtype, count = np.dtype(kind), math.prod(shape)
        # A copy: rows of the text cannot be changed.
        found[name] = np.frombuffer(values, dtype, count, start).reshape(shape).copy()
        start += count * dtype.itemsize
    return found


def digest_of(*parts: bytes) -> str:
    """Digest some parts, 32 hexadecimal digits."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
