"""Labels of other programs on the grid of a volume: the nearest voxel is taken."""

import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import LabelsError
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.label_files.opening import open_label_volume
from spherovem_core.store.label_files.placement import Level, place_labels
from spherovem_core.store.label_files.volume import LabelVolume

LARGEST = int(np.iinfo(np.uint32).max)
MOST_READ = 2**24
"""Voxels of the file that are read at once, where it is finer than the grid."""
TIE = 1e-6
"""Of two voxels that are equally near, rounding must not choose a different one at each place."""


@dataclass(frozen=True)
class LabelsOnGrid:
    """Labels of a file on the grid of a volume; indexed like an array, a region reads only what it needs.

    Attributes
    ----------
    name
        Path of the file.
    shape, spacing_nm, origin_nm
        The grid: shape, voxel size and centre of the first voxel.
    file_shape, file_spacing_nm, file_origin_nm
        Those of the file.
    """

    name: str
    shape: tuple[int, int, int]
    spacing_nm: SpacingNm
    origin_nm: SpacingNm
    file_spacing_nm: SpacingNm
    file_origin_nm: SpacingNm
    volume: LabelVolume = field(repr=False)
    nearest: tuple[NDArray[np.int64], ...] = field(repr=False)
    """Index in the file of the voxel nearest to each of the grid, per axis; -1 outside of the file."""

    dtype: ClassVar[np.dtype[np.uint32]] = np.dtype(np.uint32)

    @property
    def file_shape(self) -> tuple[int, ...]:
        """Shape of the labels in the file."""
        return self.volume.shape

    def __getitem__(self, region: Any, /) -> NDArray[np.uint32]:
        parts = list(region) if isinstance(region, tuple) else [region]
        if Ellipsis in parts:
            place = parts.index(Ellipsis)
            parts[place : place + 1] = [slice(None)] * (4 - len(parts))
        parts += [slice(None)] * (3 - len(parts))
        chosen = [axis[part] for axis, part in zip(self.nearest, parts, strict=True)]
        out = np.zeros([np.size(axis) for axis in chosen], np.uint32)
        self._read([np.atleast_1d(axis) for axis in chosen], out)
        return out.reshape([len(axis) for axis in chosen if np.ndim(axis)])

    def _read(self, chosen: Sequence[NDArray[np.int64]], out: NDArray[np.uint32]) -> None:
        """Fill an array with the chosen voxels of the file; boxes of many voxels for few are read in halves."""
        inside = [axis >= 0 for axis in chosen]
        if not all(part.any() for part in inside):
            return
        known = [axis[part] for axis, part in zip(chosen, inside, strict=True)]
        box = [(int(axis.min()), int(axis.max()) + 1) for axis in known]
        read, wanted = math.prod(stop - start for start, stop in box), math.prod(map(len, known))
        if read > MOST_READ and read > 2 * wanted and out.size > 1:
            longest = max(
                (axis for axis in range(3) if len(chosen[axis]) > 1),
                key=lambda axis: box[axis][1] - box[axis][0],
            )
            half = len(chosen[longest]) // 2
            for part in (slice(None, half), slice(half, None)):
                pieces = [axis[part] if number == longest else axis for number, axis in enumerate(chosen)]
                self._read(
                    pieces, out[tuple(part if number == longest else slice(None) for number in range(3))]
                )
            return
        values = read_labels(self.name, self.volume, tuple(slice(start, stop) for start, stop in box))
        places = [axis - start for axis, (start, _) in zip(known, box, strict=True)]
        out[np.ix_(*inside)] = values[np.ix_(*places)]


@contextmanager
def open_labels_on_grid(
    name: str,
    shape: tuple[int, int, int],
    spacing_nm: SpacingNm,
    origin_nm: SpacingNm,
    *,
    levels: Sequence[Level] = (),
    file_spacing_nm: SpacingNm | None = None,
    file_origin_nm: SpacingNm | None = None,
) -> Iterator[LabelsOnGrid]:
    """Open the labels of a file on the grid of a volume, for the duration of the context.

    The file lies on the grid or on one of the `levels`, which is recognised by its shape, or it has a voxel size and an
    offset of its own. Without an offset, labels of another voxel size have to cover the volume. Places outside of the file
    are background. The labels are checked once when they are opened: those of unsigned integers up to the first label,
    others to the end.

    Parameters
    ----------
    name
        As `open_label_volume` takes it.
    shape, spacing_nm, origin_nm
        The grid: shape, voxel size and centre of the first voxel.
    levels
        Shape, voxel size and first centre of other resolutions of the volume.
    file_spacing_nm, file_origin_nm
        Voxel size of the file and centre of its first voxel, where it does not state them or states them wrongly.

    Raises
    ------
    LabelsError
        If the file is not there, is damaged, has more than three axes, does not fit the volume or lies outside of it; if
        its values are no labels; or if all of them are 0.
    """
    with open_label_volume(name) as volume:
        volume = _three_axes(name, volume)
        grids = [(shape, spacing_nm, origin_nm), *levels]
        spacing, origin = place_labels(name, volume, grids, file_spacing_nm, file_origin_nm)
        nearest = tuple(map(_nearest, shape, spacing_nm, origin_nm, volume.shape, spacing, origin))
        if not all((axis >= 0).any() for axis in nearest):
            raise LabelsError(
                f"{name} lies outside of the volume: its first voxel is at {_um(origin)} µm, its last at "
                f"{_um(_last(volume.shape, spacing, origin))}; the volume reaches from {_um(origin_nm)} to "
                f"{_um(_last(shape, spacing_nm, origin_nm))} (z, y, x): give its offset"
            )
        labels = LabelsOnGrid(name, shape, spacing_nm, origin_nm, spacing, origin, volume, nearest)
        _check_values(labels)
        yield labels


def read_labels(name: str, volume: LabelVolume, region: tuple[slice, ...]) -> NDArray[np.uint32]:
    """Read a region of a file as labels.

    Raises
    ------
    LabelsError
        If a value is no label, or the region cannot be decoded.
    """
    try:
        values = volume[region]
    except LabelsError:
        raise
    except (ValueError, OSError, RuntimeError, EOFError, zlib.error) as error:
        raise LabelsError(
            f"{name}: the voxels {_region(region)} cannot be read ({error}); copy or write the file again"
        ) from error
    if values.dtype.kind == "f":
        if not (np.isfinite(values) & (values == np.floor(values))).all():
            wrong = values[~(np.isfinite(values) & (values == np.floor(values)))][0]
            raise LabelsError(
                f"{name} has the value {wrong} at {_region(region)}; expected whole numbers as labels"
            )
    elif values.dtype.kind not in "bui":
        raise LabelsError(f"{name} has values of the type {values.dtype}; expected whole numbers as labels")
    if values.dtype.kind in "if" and values.size and values.min() < 0:
        raise LabelsError(
            f"{name} has the label {values.min():.0f} at {_region(region)}; expected 0 and above"
        )
    # As a Python number: 2**32 - 1 would become 2**32 as a float32.
    if values.size and values.dtype.itemsize >= 4 and values.max().item() > LARGEST:
        raise LabelsError(
            f"{name} has the label {values.max():.0f} at {_region(region)}; expected at most {LARGEST}: number the objects from 1"
        )
    if (
        values.dtype.kind == "f"
        and values.size
        and values.max() > (distinct := 2 ** (np.finfo(values.dtype).nmant + 1))
    ):
        raise LabelsError(
            f"{name} has the label {values.max():.0f} at {_region(region)}, and values of the type {values.dtype}, in which "
            f"labels above {distinct} are not told apart; write them as integers"
        )
    return values.astype(np.uint32, copy=False)


def _three_axes(name: str, volume: LabelVolume) -> LabelVolume:
    if len(volume.shape) != 3:
        raise LabelsError(
            f"{name} has {len(volume.shape)} axes, of shape {volume.shape}; expected z, y, x: write one volume of labels"
        )
    if volume.dtype.kind not in "buif":
        raise LabelsError(f"{name} has values of the type {volume.dtype}; expected whole numbers as labels")
    return volume


def _nearest(
    count: int, spacing: float, origin: float, own_count: int, own_spacing: float, own_origin: float
) -> NDArray[np.int64]:
    """Return the index of the file's voxel in which each voxel of the grid has its centre, along one axis; -1 outside."""
    places = (origin + np.arange(count) * spacing - own_origin) / own_spacing
    nearest = np.floor(places + 0.5 + TIE).astype(np.int64)
    return np.where((nearest >= 0) & (nearest < own_count), nearest, -1)


def _last(shape: Sequence[int], spacing: SpacingNm, origin: SpacingNm) -> SpacingNm:
    z, y, x = (o + (n - 1) * s for n, s, o in zip(shape, spacing, origin, strict=True))
    return z, y, x


def _check_values(labels: LabelsOnGrid) -> None:
    """Read the part of the file that lies in the volume; stop at the first label where no value can be wrong."""
    box = [(int(axis[axis >= 0].min()), int(axis.max()) + 1) for axis in labels.nearest]
    sound = labels.volume.dtype.kind in "bu" and labels.volume.dtype.itemsize <= 4
    found = False
    for region in _pieces(box, labels.volume.chunks):
        found = bool(read_labels(labels.name, labels.volume, region).any()) or found
        if found and sound:
            return
    if not found:
        raise LabelsError(f"{labels.name} has no label in the volume: all values there are 0")


def _pieces(box: Sequence[tuple[int, int]], chunks: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Cut a box of the file into pieces of whole chunks, each of which fits into memory."""
    sides = [min(chunk, stop - start) for chunk, (start, stop) in zip(chunks, box, strict=True)]
    for axis in (2, 1, 0):
        others = math.prod(side for number, side in enumerate(sides) if number != axis)
        start, stop = box[axis]
        times = max(1, MOST_READ // max(1, others * sides[axis]))
        sides[axis] = min(stop - start, sides[axis] * times)
    for corner in product(
        *(range(start, stop, side) for (start, stop), side in zip(box, sides, strict=True))
    ):
        yield tuple(
            slice(first, min(first + side, stop))
            for first, side, (_, stop) in zip(corner, sides, box, strict=True)
        )


def _region(region: Sequence[slice]) -> str:
    return ", ".join(f"{axis} {part.start}:{part.stop}" for axis, part in zip("zyx", region, strict=True))


def _um(place: Sequence[float]) -> str:
    return ", ".join(f"{value / 1000:.4g}" for value in place)
