"""State of a file when it was written: size, time and checksum.

The checksum of a file is XXH3 of 128 bits: two files of equal checksums are equal for all purposes here, which are to find
damage and changes, not forgery. It is computed outside of Python's lock and costs a tenth of the BLAKE2b (RFC 7693) that
earlier versions took for files, and that still seals documents; files are compared under the one that was noted for them. What
that costs beside the compression shows `benchmarks/integrity.py`.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

CHECKSUM_BYTES = 16
READ_BYTES = 2**20
XXH3 = "xxh3:"
"""Prefix of the checksums of files; those of earlier versions, BLAKE2b, have none."""


def new_checksum(content: bytes = b"") -> "hashlib.blake2b":
    """Start a checksum."""
    return hashlib.blake2b(content, digest_size=CHECKSUM_BYTES)


class FileChecksum:
    """Checksum of the content of a file, part by part.

    Parameters
    ----------
    like
        A checksum that it is to be compared with; one of an earlier version is BLAKE2b.
    """

    def __init__(self, like: str = XXH3) -> None:
        self._is_xxh3 = like.startswith(XXH3)
        self._digest: Any = xxhash.xxh3_128() if self._is_xxh3 else new_checksum()
        self.update = self._digest.update

    @property
    def text(self) -> str:
        """The checksum so far."""
        return f"{XXH3 if self._is_xxh3 else ''}{self._digest.hexdigest()}"


@dataclass(frozen=True)
class FileState:
    """Size, time and checksum of a file.

    Attributes
    ----------
    size
        Bytes.
    mtime_ns
        Time of the last change, in ns since 1970.
    checksum
        Of its bytes: the name of the method and hexadecimal digits.
    """

    size: int
    mtime_ns: int
    checksum: str

    @classmethod
    def of(cls, path: Path, like: str = XXH3) -> "FileState":
        """Read a file.

        Parameters
        ----------
        like
            The checksum that it is to be compared with.
        """
        checksum = FileChecksum(like)
        with path.open("rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            while part := file.read(READ_BYTES):
                checksum.update(part)
        return cls(found.st_size, found.st_mtime_ns, checksum.text)

    @classmethod
    def from_text(cls, text: Any) -> "FileState | None":
        """Parse what `text` returned; None for anything else."""
        parts = text.split() if isinstance(text, str) else []
        if len(parts) != 3 or not (parts[0].isdecimal() and parts[1].lstrip("-").isdecimal()):
            return None
        return cls(int(parts[0]), int(parts[1]), parts[2])

    @property
    def text(self) -> str:
        """The state in one line."""
        return f"{self.size} {self.mtime_ns} {self.checksum}"

    def is_that_of(self, path: Path) -> bool:
        """Return whether a file has this size and time, or at least this size and these bytes; False where it is not there."""
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        if found.st_size != self.size:
            return False
        return found.st_mtime_ns == self.mtime_ns or self.holds_same(FileState.of(path, self.checksum))

    def holds_same(self, other: "FileState") -> bool:
        """Return whether two states are of the same bytes, whatever their times."""
        return (self.size, self.checksum) == (other.size, other.checksum)
