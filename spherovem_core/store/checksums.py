"""State of a file when it was written: size, time and checksum.

The checksum is BLAKE2b (RFC 7693) of 16 bytes: two files of equal checksums are equal for all purposes here. Python computes it
outside of its lock, at 0.9 GB/s on one core, on processors with and without instructions for it. What that costs beside the
compression shows `benchmarks/integrity.py`.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKSUM_BYTES = 16


def new_checksum(content: bytes = b"") -> "hashlib.blake2b":
    """Start a checksum."""
    return hashlib.blake2b(content, digest_size=CHECKSUM_BYTES)


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
        Of its bytes, in hexadecimal.
    """

    size: int
    mtime_ns: int
    checksum: str

    @classmethod
    def of(cls, path: Path) -> "FileState":
        """Read a file."""
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            return cls(found.st_size, found.st_mtime_ns, hashlib.file_digest(file, new_checksum).hexdigest())

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
        return found.st_mtime_ns == self.mtime_ns or FileState.of(path).checksum == self.checksum
