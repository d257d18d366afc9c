"""Comparison of a finished array with the record of its files: a stat of each, and a read only of those with another time."""

import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from spherovem_core.store.changes import Change, format_time
from spherovem_core.store.checksums import FileState
from spherovem_core.store.nodes import METADATA, Node, essentials, marker_of, seal, shard_grid
from spherovem_core.store.shard_record import RECORD, ShardRecord, shard_path, stat_shards

logger = logging.getLogger(__name__)

READERS = 4
"""Files read at once: checksums run outside of Python's lock, and network storage is latency."""
BATCH = 64
SAVE_EVERY_S = 30.0
SAID_FROM_BYTES = 2 * 10**9

Index = tuple[int, ...]


@dataclass(frozen=True)
class ArrayCheck:
    """Outcome of a check.

    Attributes
    ----------
    missing
        Files that are not there.
    changes
        Other files than those that were written, by their path in the array's folder.
    is_recorded
        False for an array that was written before records were kept.
    files, bytes_on_disk
        Number and size of its files.
    """

    missing: tuple[str, ...]
    changes: tuple[Change, ...]
    is_recorded: bool
    files: int = 0
    bytes_on_disk: int = 0


def check_array(folder: Path, node: Node, *, read_all: bool = False) -> ArrayCheck:
    """Compare an array with its record.

    A file of the recorded size and time is taken as unchanged. One of the recorded size and another time is read; where its
    bytes are those that were written, as after a copy, the record takes over the time, so that it is read once. A record that is
    lost or damaged is made again if the files are those that the completion marker speaks of.

    Parameters
    ----------
    read_all
        Read every file.
    """
    marker = marker_of(node) or {}
    try:
        if "checksum" in marker and seal(node) != marker["checksum"]:
            what = "holds another shape, type, codec or marker than when the array was completed"
            return ArrayCheck((), (Change(METADATA, what),), True)
        grid, fields = shard_grid(node), essentials(node)
    except (KeyError, TypeError, ValueError):
        return ArrayCheck((), (Change(METADATA, "is no whole description of an array"),), True)
    sizes, times = stat_shards(folder, grid)
    missing = tuple(_name(index) for index in _where(sizes < 0))
    found = int((sizes >= 0).sum()), int(sizes[sizes >= 0].sum())
    if "content" not in marker:
        return ArrayCheck(missing, (), False, *found)
    record = ShardRecord.load(folder, grid)
    if record is None or record.content(fields) != marker["content"]:
        changes = () if missing else _renew(folder, grid, fields, marker["content"])
        return ArrayCheck(missing, changes, True, *found)
    resized = (sizes >= 0) & (sizes != record.entries["size"])
    changes = tuple(
        Change(_name(index), _resized(int(sizes[index]), int(times[index]), record.get(index)))
        for index in _where(resized)
    )
    doubtful = (sizes >= 0) & ~resized & ((times != record.entries["mtime_ns"]) | read_all)
    rewritten = _settle(folder, record, _where(doubtful), int(sizes[doubtful].sum()))
    return ArrayCheck(missing, (*changes, *rewritten), True, *found)


def record_files(folder: Path, grid: Sequence[int], *, earlier: bool = False) -> ShardRecord:
    """Read every file of an array and record it as it is, or as `earlier` versions did."""
    record = ShardRecord.empty(grid, earlier=earlier)
    for index, state in _states(folder, np.ndindex(*grid), record.method):
        record.set(index, state)
    return record


def _renew(folder: Path, grid: Sequence[int], fields: str, content: str) -> tuple[Change, ...]:
    """Make a lost record again, or tell that the files are not those of the marker."""
    logger.info("%s: its record of files is lost or damaged; reading all files", folder)
    records = (record_files(folder, grid, earlier=earlier) for earlier in (False, True))
    record = next((each for each in records if each.content(fields) == content), None)
    if record is None:
        what = "is missing or damaged, and the files are not those that were computed"
        return (Change(RECORD, what),)
    _save(record, folder)
    return ()


def _settle(folder: Path, record: ShardRecord, indices: list[Index], size: int) -> list[Change]:
    """Read the files with another time; take over the times of those that hold the same, return the others."""
    changes = []
    if size >= SAID_FROM_BYTES:
        logger.info(
            "%s: reading %d files of %.1f GB to compare their checksums", folder, len(indices), size / 1e9
        )
    saved, settled = time.monotonic(), False
    for index, state in _states(folder, indices, record.method):
        known = record.get(index)
        if not state.holds_same(known):
            what = f"holds other bytes, of {format_time(state.mtime_ns)}; it was written {format_time(known.mtime_ns)}"
            changes.append(Change(_name(index), what))
        elif state.mtime_ns != known.mtime_ns:
            record.entries["mtime_ns"][index] = state.mtime_ns
            settled = True
            if time.monotonic() - saved > SAVE_EVERY_S:
                _save(record, folder)
                saved, settled = time.monotonic(), False
    if settled:
        _save(record, folder)
    return changes


def _save(record: ShardRecord, folder: Path) -> None:
    """Save a record of the same content; results that cannot be written are read again the next time."""
    with suppress(OSError):
        record.save(folder)


def _states(folder: Path, indices: Iterable[Index], method: str) -> Iterator[tuple[Index, FileState]]:
    """Read files, several at once; memory does not grow with their number."""
    remaining = iter(indices)
    with ThreadPoolExecutor(min(READERS, os.cpu_count() or 1)) as threads:
        while batch := list(islice(remaining, BATCH)):
            states = threads.map(lambda index: FileState.of(shard_path(folder, index), method), batch)
            yield from zip(batch, states, strict=True)


def _where(mask: Any) -> list[Index]:
    return [tuple(map(int, index)) for index in np.argwhere(mask)]


def _name(index: Index) -> str:
    return "/".join(("c", *map(str, index)))


def _resized(size: int, mtime_ns: int, known: FileState) -> str:
    return (
        f"has {size} bytes, of {format_time(mtime_ns)}; it had {known.size}, of {format_time(known.mtime_ns)}"
    )
