"""Parts of objects that were split before: a journal is applied from its beginning, and the same splits come again and again."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from spherovem_core.corrections.grid import Index, PointUmTuple
from spherovem_core.corrections.necks import parts_of_seeds
from spherovem_core.store import write_atomically

VERSION = 2
"""Raised whenever `parts_of_seeds` would cut an object in another way, together with `Split.meaning`."""


class SplitCache:
    """Splits at seeds, kept in a folder by the content of the object and the places of the seeds.

    Parameters
    ----------
    folder
        Folder of one kind of object; None keeps nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._used: set[str] = set()

    def parts_of_seeds(
        self, mask: NDArray[np.bool_], spacing: PointUmTuple, seeds: Sequence[Index]
    ) -> NDArray[np.uint16]:
        """Return the parts of an object as `necks.parts_of_seeds` does."""
        if self.folder is None:
            return parts_of_seeds(mask, spacing, seeds)
        path = self.folder / _name(mask, spacing, seeds)
        self._used.add(path.name)
        with suppress(OSError, ValueError, RuntimeError):
            found = np.frombuffer(imagecodecs.zstd_decode(path.read_bytes()), np.uint16)
            return found.reshape(mask.shape)
        parts = parts_of_seeds(mask, spacing, seeds)
        # A folder that cannot be written costs time alone.
        with suppress(OSError):
            write_atomically(path, _writer(parts))
        return parts

    def drop_unused(self) -> None:
        """Remove the splits that were not asked for."""
        if self.folder is not None and self.folder.is_dir():
            for path in self.folder.iterdir():
                if path.name not in self._used:
                    path.unlink(missing_ok=True)


def _name(mask: NDArray[np.bool_], spacing: PointUmTuple, seeds: Sequence[Index]) -> str:
    content = hashlib.sha256(repr((VERSION, mask.shape, spacing, seeds)).encode())
    content.update(np.packbits(mask).tobytes())
    return f"{content.hexdigest()}.parts"


def _writer(parts: NDArray[np.uint16]) -> Callable[[Path], None]:
    # Any: imagecodecs takes arrays, but its stubs say bytes.
    plain: Any = np.ascontiguousarray(parts)
    content = bytes(imagecodecs.zstd_encode(plain, level=1))

    def write(path: Path) -> None:
        path.write_bytes(content)

    return write
