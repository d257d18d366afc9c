"""Files of slices: ``NAME.tif``, labels ``labels/NAME-cells.tif``, unknown pixels ``labels/NAME-cells-unknown.tif``."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from spherovem_core.errors import LabelsError
from spherovem_core.store import write_atomically

LABELS_FOLDER = "labels"
PLANES = ("xy", "xz", "yz")
"""The plane across z, y and x."""
UNKNOWN_PLANE = "unknown"
PLACE = re.compile(r"-(xy|xz|yz)-[zyx](\d+)nm$")


@dataclass(frozen=True)
class SliceOrigin:
    """Place from which a slice was cut, kept as JSON in its TIFF description.

    Attributes
    ----------
    acquisition
        Name of the volume.
    plane
        ``xy``, ``xz`` or ``yz``; rows run along the second axis, columns along the first.
    position_nm
        Position of the plane on the third axis.
    corner_nm
        Centre of the first pixel along rows and columns.
    pixel_nm
        Side of the square pixels.
    black, white
        Intensities that become 0 and 1 for the network: percentiles of the whole volume.
    """

    acquisition: str
    plane: str
    position_nm: float
    corner_nm: tuple[float, float]
    pixel_nm: float
    black: float
    white: float

    @property
    def name(self) -> str:
        """Name of the file without its suffix, such as ``spheroid-xz-y00012500nm``."""
        axis = next(a for a in "zyx" if a not in self.plane)
        return f"{self.acquisition}-{self.plane}-{axis}{round(self.position_nm):08d}nm"


def write_slice(folder: Path, image: NDArray[np.uint8], origin: SliceOrigin) -> Path:
    """Write a slice atomically and return its path."""
    path = folder / f"{origin.name}.tif"
    description = json.dumps({"spherovem": origin.__dict__})

    def write(fresh: Path) -> None:
        tifffile.imwrite(fresh, image, description=description, metadata=None, photometric="minisblack")

    write_atomically(path, write)
    return path


def read_slice(path: Path) -> tuple[NDArray[Any], SliceOrigin | None]:
    """Read a slice and its origin, which is None if the file does not carry one.

    Raises
    ------
    LabelsError
        If the file is not a single grey plane.
    """
    image, description = _read_plane(path)
    try:
        origin = json.loads(description)["spherovem"]
        return image, SliceOrigin(**{**origin, "corner_nm": tuple(origin["corner_nm"])})
    except (ValueError, KeyError, TypeError):
        return image, None


def read_labels(path: Path) -> tuple[NDArray[np.uint32], str]:
    """Read the labels of a slice, and the description in their file.

    Raises
    ------
    LabelsError
        If the file is not a single plane of integers from 0 to 2^32 - 1.
    """
    labels, description = _read_plane(path)
    if labels.dtype.kind not in "biu" or (labels.size and (labels.min() < 0 or labels.max() >= 2**32)):
        raise LabelsError(
            f"{path} holds {labels.dtype} from {labels.min()} to {labels.max()}; "
            "expected labels: whole numbers from 0, which is background"
        )
    return labels.astype(np.uint32), description


def image_paths(folder: Path) -> list[Path]:
    """Find the slices in a folder, sorted by name.

    Raises
    ------
    LabelsError
        If there is no slice.
    """
    if not folder.is_dir():
        raise LabelsError(
            f"{folder} is not a folder; expected one with slices NAME.tif and {LABELS_FOLDER}/NAME-cells.tif"
        )
    found = sorted(
        p for p in folder.iterdir() if p.suffix.lower() in (".tif", ".tiff") and not p.name.startswith(".")
    )
    if not found:
        raise LabelsError(
            f"{folder} holds no .tif file; cut slices into it with spherovem cut-slices, and label them"
        )
    return found


def labels_path(image: Path, kind: str) -> Path:
    """Return the path for the labels of a slice."""
    return image.parent / LABELS_FOLDER / f"{image.stem}-{kind}{image.suffix}"


def unknown_path(image: Path, kind: str) -> Path:
    """Return the path for the mask of the pixels whose objects nobody has labelled; most slices have none."""
    return image.parent / LABELS_FOLDER / f"{image.stem}-{kind}-unknown{image.suffix}"


def plane_of(path: Path) -> str:
    """Return the plane in the name of a file, or ``unknown``."""
    found = PLACE.search(path.stem)
    return found.group(1) if found else UNKNOWN_PLANE


def _read_plane(path: Path) -> tuple[NDArray[Any], str]:
    """Read pixels and description, and check the shape: from a truncated file tifffile reads a shorter array silently."""
    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            count, shape, description = len(file.pages), page.shape, page.description
            values = np.asarray(page.asarray())
    except (tifffile.TiffFileError, OSError, ValueError, IndexError, RuntimeError) as error:
        raise LabelsError(f"{path} cannot be read as TIFF ({error}); copy or write it again") from error
    if count != 1 or len(shape) != 2 or values.shape != shape:
        raise LabelsError(
            f"{path} has {count} pages, the first of shape {values.shape}; expected one grey plane (rows, columns)"
        )
    return values, description
