"""Small acquisitions on disk for the tests of the ingest stage."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

SPACING_NM = (50.0, 10.0, 12.0)
SHAPE = (7, 40, 64)


def textured(shape: tuple[int, ...] = SHAPE, dtype: str = "uint8", seed: int = 0) -> NDArray[Any]:
    """Make noise without the lowest and the highest values."""
    high = int(np.iinfo(dtype).max)
    return np.random.default_rng(seed).integers(5, high - 5, shape).astype(dtype)


def write_slices(folder: Path, volume: NDArray[Any], **options: Any) -> Path:
    """Write one TIFF per slice, ``slice_0000.tif`` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for z, values in enumerate(volume):
        tifffile.imwrite(folder / f"slice_{z:04d}.tif", values, metadata=None, **options)
    return folder


def truncate(path: Path, fraction: float = 0.5) -> None:
    """Keep only the first fraction of a file's bytes."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
