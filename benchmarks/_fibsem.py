"""The FIB-SEM stack of neuropil with hand-checked bodies, and the truth of its slices."""

from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import tifffile
from numpy.typing import NDArray

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "fibsem_drosophila"
LEAST_PIXELS = 100
"""Pixels of 10 nm of the smallest piece of a body that counts in a slice."""


def read_stack(folder: Path = DATA) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Read the image and the bodies, (Z, Y, X) both."""
    image = np.stack([tifffile.imread(path) for path in sorted((folder / "slices").glob("*.tif*"))])
    with np.load(folder / "bodies.npz") as arrays:
        return image, arrays["labels"]


def section_truth(bodies: NDArray[Any], least_pixels: int = LEAST_PIXELS) -> NDArray[np.uint16]:
    """Return the connected pieces of each body in a slice (Y, X), without the smallest."""
    pieces = cc3d.connected_components(bodies.astype(np.uint32), connectivity=4)
    pieces[np.bincount(pieces.ravel())[pieces] < least_pixels] = 0
    return pieces.astype(np.uint16)
