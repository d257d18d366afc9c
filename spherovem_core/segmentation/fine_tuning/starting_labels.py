"""Labels from which labelling starts: those of the segmentation, sampled on a slice."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import fastremap
import numpy as np
import tifffile
from numpy.typing import NDArray

from spherovem_core.segmentation.fine_tuning.slice_files import SliceOrigin
from spherovem_core.segmentation.grid import PlacedArray
from spherovem_core.store import write_atomically

Source = Literal["predicted", "corrected"]
"""``predicted`` labels are no labels for training before a person has saved them; ``corrected`` ones are."""


def labels_on_slice(labels: PlacedArray, origin: SliceOrigin, shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Sample labels at the pixel centres of a slice; the nearest voxel is taken.

    Parameters
    ----------
    labels : (Z, Y, X) array
        Instance labels on any grid over the volume. Only the slice is read.
    origin
        Place of the slice.
    shape
        Rows and columns of the slice.

    Returns
    -------
    (Y, X) ndarray of uint16
        The numbers of the volume where all fit into 16 bits, which every image editor draws; else from 1.
    """
    axis = next(n for n, name in enumerate("zyx") if name not in origin.plane)
    first, counts = [origin.position_nm] * 3, [1, 1, 1]
    rows, columns = (n for n in range(3) if n != axis)
    first[rows], first[columns] = origin.corner_nm
    counts[rows], counts[columns] = shape
    places = []
    for n, start, count in zip(range(3), first, counts, strict=True):
        nm = start + origin.pixel_nm * np.arange(count) - labels.origin_nm[n]
        places.append(np.clip(np.rint(nm / labels.spacing_nm[n]).astype(int), 0, labels.shape[n] - 1))
    box = tuple(slice(int(each[0]), int(each[-1]) + 1) for each in places)
    read = np.asarray(labels[box])
    index = np.ix_(*(each - each[0] for each in places))
    found: NDArray[Any] = read[index].squeeze(axis)
    if found.size and found.max() > np.iinfo(np.uint16).max:
        found, _ = fastremap.renumber(found, preserve_zero=True)
    return found.astype(np.uint16)


def write_starting_labels(path: Path, labels: NDArray[np.uint16], source: Source) -> None:
    """Write labels of a slice, with a mark that tells predicted ones from a person's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = json.dumps({"spherovem": {"labels": source, "pixels": _digest(labels)}})

    def write(fresh: Path) -> None:
        tifffile.imwrite(fresh, labels, description=mark, metadata=None, photometric="minisblack")

    write_atomically(path, write)


def is_as_predicted(labels: NDArray[Any], description: str) -> bool:
    """Return whether labels are those that were written as a start, and nobody has saved them since.

    An editor that saves the file writes a description of its own; a program that keeps it changes the pixels.
    """
    try:
        mark = json.loads(description)["spherovem"]
        return bool(mark["labels"] == "predicted" and mark["pixels"] == _digest(labels))
    except (ValueError, KeyError, TypeError):
        return False


def _digest(labels: NDArray[Any]) -> str:
    pixels = np.ascontiguousarray(labels, "<u4")
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
