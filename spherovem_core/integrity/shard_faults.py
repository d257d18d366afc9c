"""Damage of a shard's file that its own index shows: zarr's ``sharding_indexed`` codec keeps a checksum of the index."""

import math
from pathlib import Path

import google_crc32c
import numpy as np

from spherovem_core.store.nodes import Node, shard_shape

ABSENT = 2**64 - 1


def shard_fault(path: Path, node: Node) -> str | None:
    """Return what is wrong with the index of a shard; None for a sound one, or a file without index.

    The index tells place and length of each chunk; a file that was cut off, or whose end was overwritten, has none that fits.
    """
    codecs = node.get("codecs") or [{}]
    if codecs[0].get("name") != "sharding_indexed":
        return None
    chunk = codecs[0]["configuration"]["chunk_shape"]
    count = math.prod(-(-s // c) for s, c in zip(shard_shape(node), chunk, strict=True))
    length = 16 * count + 4
    size = path.stat().st_size
    if size < length:
        return f"has {size} bytes, less than its index of {length}"
    with path.open("rb") as file:
        file.seek(size - length)
        index = file.read(length)
    if google_crc32c.value(index[:-4]).to_bytes(4, "little") != index[-4:]:
        return "has a damaged index"
    entries = np.frombuffer(index[:-4], "<u8").reshape(-1, 2)
    stored = entries[entries[:, 0] != ABSENT]
    if stored.size and int((stored[:, 0] + stored[:, 1]).max()) > size - length:
        return "has an index of chunks beyond its end"
    return None
