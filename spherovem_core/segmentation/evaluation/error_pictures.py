"""Pictures of errors of a segmentation: image, true outlines and found outlines in three planes."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.segmentation.evaluation.worst_errors import WorstError
from spherovem_core.segmentation.overlays import overlay
from spherovem_core.spacing import SpacingNm, voxel_volume_um3

SIDE_PX = 160
"""Pixels along the side of a plane, before outlines are drawn at twice the resolution."""
PLANES = (("xy", (1, 2)), ("xz", (0, 2)), ("yz", (0, 1)))
FIRST, SECOND = (90, 200, 120), (225, 80, 160)
"""Tints of the two parts of an error."""
STRENGTH = 0.3
INCHES = 2.6


@dataclass(frozen=True)
class ErrorPictures:
    """Volumes from which errors are drawn.

    Attributes
    ----------
    truth, predicted : (Z, Y, X) array of int
    spacing_nm
        Voxel size of both.
    image : (Z, Y, X) array, optional
        Intensities on the same grid; without it the ground is black.
    """

    truth: ArrayLike
    predicted: ArrayLike
    spacing_nm: SpacingNm
    image: ArrayLike | None = None

    def draw(self, errors: Sequence[WorstError]) -> bytes:
        """Draw one row per error, with planes to scale through its place, and return a PNG.

        Orange outlines are true objects, blue ones found objects, and green ones both. The parts that were merged, or the
        pieces into which an object was split, are tinted green and pink. A yellow cross marks the place.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure((3 * INCHES, (INCHES + 0.35) * len(errors)), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(errors), 3, squeeze=False)
        side_um = SIDE_PX * min(self.spacing_nm[-2:]) / 1000
        for row, error in zip(grid, errors, strict=True):
            for axes, (name, plane) in zip(row, PLANES, strict=True):
                picture, (y, x) = self.plane(error, plane)
                axes.imshow(picture, interpolation="nearest")
                axes.plot(x, y, "+", color="yellow", markersize=7)
                axes.set_xticks([])
                axes.set_yticks([])
                axes.set_xlabel(f"{name}, {side_um:.3g} µm wide", fontsize=7)
            row[0].set_title(describe_error(error, self.spacing_nm), fontsize=8, loc="left")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()

    def plane(
        self, error: WorstError, plane: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], tuple[float, float]]:
        """Return the colours (2 `SIDE_PX`, 2 `SIDE_PX`, 3) of a plane through an error, and the error's row and column there.

        The plane is given by its two axes. It lies within the volume where that is large enough.
        """
        window = self._window(error, plane)
        truth, predicted = window.sample(self.truth), window.sample(self.predicted)
        image = np.zeros((SIDE_PX, SIDE_PX)) if self.image is None else window.sample(self.image)
        own, other = (predicted, truth) if error.error == "merger" else (truth, predicted)
        picture = overlay(_scaled(image, window.inside), truth, predicted)
        lines = (picture != picture[..., :1]).any(axis=2)
        for label, colour in zip(error.parts, (FIRST, SECOND), strict=True):
            part = ((own == error.label) & (other == label)).repeat(2, axis=0).repeat(2, axis=1) & ~lines
            tinted = (1 - STRENGTH) * picture[part] + STRENGTH * np.array(colour)
            picture[part] = tinted.astype(np.uint8)
        row, column = window.place
        return picture, (2 * row + 0.5, 2 * column + 0.5)

    def _window(self, error: WorstError, plane: tuple[int, int]) -> "_Window":
        step = min(self.spacing_nm[-2:])
        shape = (1,) * (3 - len(self.truth.shape)) + tuple(self.truth.shape)
        indices, place = [], []
        for axis in plane:
            pixel = step / self.spacing_nm[axis]
            half, last = SIDE_PX // 2 * pixel, shape[axis] - 1
            # A window larger than the volume has its middle in the volume's.
            middle = np.clip(error.place[axis], min(half, last / 2), max(last - half, last / 2))
            indices.append(np.rint(middle + (np.arange(SIDE_PX) - SIDE_PX // 2) * pixel).astype(int))
            place.append(SIDE_PX // 2 + (error.place[axis] - middle) / pixel)
        return _Window(error.place, plane, shape, (indices[0], indices[1]), (place[0], place[1]))


@dataclass(frozen=True)
class _Window:
    """A square of a plane through `point`: voxel indices of its rows and columns, and where the point lies in it."""

    point: tuple[int, int, int]
    plane: tuple[int, int]
    shape: tuple[int, ...]
    indices: tuple[NDArray[np.int64], NDArray[np.int64]]
    place: tuple[float, float]

    @property
    def inside(self) -> NDArray[np.bool_]:
        """True where the square lies in the volume."""
        rows, columns = (
            (index >= 0) & (index < self.shape[axis])
            for index, axis in zip(self.indices, self.plane, strict=True)
        )
        return np.logical_and.outer(rows, columns)

    def sample(self, volume: ArrayLike) -> NDArray[Any]:
        """Return the nearest voxels (`SIDE_PX`, `SIDE_PX`); 0 outside the volume."""
        inside = self.inside
        kept = [index[inside.any(axis=1 - n)] for n, index in enumerate(self.indices)]
        region = [slice(n, n + 1) for n in self.point]
        for axis, index in zip(self.plane, kept, strict=True):
            region[axis] = slice(int(index.min()), int(index.max()) + 1)
        lead = 3 - len(volume.shape)
        across = next(axis for axis in range(3) if axis not in self.plane)
        values = np.asarray(volume[tuple(region[lead:])])[(None,) * lead].squeeze(across)
        sampled = np.zeros(inside.shape, volume.dtype)
        sampled[inside] = values[np.ix_(*(index - index.min() for index in kept))].ravel()
        return sampled


def describe_error(error: WorstError, spacing_nm: SpacingNm) -> str:
    """Say which objects an error is about, how large it is and where."""
    first, second = error.parts
    volume = error.voxels * voxel_volume_um3(spacing_nm)
    z, y, x = error.place
    what = (
        f"merger: found {error.label} covers true {first} and {second}"
        if error.error == "merger"
        else f"split: true {error.label} in found {first} and {second}"
    )
    return f"{what}; {volume:.3g} µm³, at voxel {z}, {y}, {x}"


def _scaled(image: NDArray[Any], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return intensities from 0 to 1, between the 1st and the 99th percentile of what lies inside the volume."""
    values = image.astype(np.float32)
    low, high = np.percentile(values[inside], (1, 99))
    return np.asarray(np.clip((values - low) / max(high - low, 1e-6), 0, 1) * inside, np.float32)
