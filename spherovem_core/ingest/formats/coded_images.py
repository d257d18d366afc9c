"""Images that are decoded as a whole from the content of their file."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest import locations
from spherovem_core.ingest.reader import SliceFile

DAMAGE = (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, MemoryError)


def read_coded(file: SliceFile, decode: Callable[[bytes], Any]) -> NDArray[Any]:
    """Decode a file that is one image.

    Raises
    ------
    BadSlicesError
        If it cannot be decoded, or is not what its header said.
    OSError
        If the disk or network fails.
    """
    content = locations.read_range(file.path, 0, locations.size_of(file.path))
    try:
        values = np.asarray(decode(content))
    except DAMAGE as error:
        raise BadSlicesError(f"{file.name}: cannot be decoded ({error}); copy the file again") from error
    if values.shape != file.shape or values.dtype != file.dtype.newbyteorder("="):
        raise BadSlicesError(
            f"{file.name}: decoded to {values.shape} pixels of type {values.dtype}, its header says {file.shape} of {file.dtype}"
        )
    return values
