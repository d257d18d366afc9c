"""Ledgers of finished work, from which a killed step continues."""

import json
import threading
from collections.abc import Collection, Iterator, MutableMapping
from pathlib import Path
from typing import Any


def read_entries(path: Path) -> dict[str, Any]:
    """Read the entries of a ledger of any digest without changing the file; empty if there is none."""
    return {key: value for line in _read_whole_lines(path)[1:] for key, value in line.items()}


def _read_whole_lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = []
    for text in path.read_bytes().split(b"\n"):
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


class Ledger(MutableMapping[str, Any]):
    """Mapping of JSON values in a file that survives a kill after any entry.

    Entries are appended to a text file, one line each, and flushed to the operating system before the
    call returns. A line that a kill cut off is dropped when the file is read again. The first line binds the
    ledger to a digest: a file with another digest is discarded.
    Several threads of one process may write.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self._path = path
        self._digest = digest
        self._lock = threading.Lock()
        self._entries: dict[str, Any] = {}
        lines = _read_whole_lines(path)
        if lines and lines[0] == {"fingerprint": digest}:
            self._entries = {key: value for line in lines[1:] for key, value in line.items()}
        else:
            lines = [{"fingerprint": digest}]
        self._rewrite(lines)

    def _rewrite(self, lines: list[dict[str, Any]]) -> None:
        """Write the whole lines to a new file, so that the next entry does not continue a line cut off."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.write_text("".join(json.dumps(line) + "\n" for line in lines))
        fresh.replace(self._path)

    def __setitem__(self, key: str, value: Any) -> None:
        with self._lock:
            with self._path.open("a") as file:
                file.write(json.dumps({key: value}) + "\n")
            self._entries[key] = value

    def __getitem__(self, key: str) -> Any:
        return self._entries[key]

    def drop(self, keys: Collection[str]) -> None:
        """Drop entries; after a kill they are there or gone."""
        gone = set(keys)
        with self._lock:
            self._entries = {key: value for key, value in self._entries.items() if key not in gone}
            heading = {"fingerprint": self._digest}
            self._rewrite([heading, *({key: value} for key, value in self._entries.items())])

    def drop_oldest(self, needed: Collection[str], most: int) -> None:
        """Drop the oldest of the entries that are not needed, so that at most `most` entries remain beside the needed ones."""
        needed = set(needed)
        others = [key for key in self._entries if key not in needed]
        if len(others) > most:
            self.drop(others[: len(others) - most])

    def __delitem__(self, key: str) -> None:
        raise TypeError("a ledger only grows; delete its file to start again")

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
