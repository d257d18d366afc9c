"""Table of overlaps between the labels of two volumes, counted block by block; all scores follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region, block_grid, map_blocks
from spherovem_core.errors import ParameterError, ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.label_runs import find_label_runs

BLOCK_VOXELS = 2**22
"""Voxels read at once: 16 MiB of uint32 labels of each volume."""

PAIR = ["true", "predicted"]
LOW, HIGH = ["z0", "y0", "x0"], ["z1", "y1", "x1"]
REDUCTION: dict[str, str] = {
    "voxels": "sum",
    **dict.fromkeys(LOW, "min"),
    **dict.fromkeys(HIGH, "max"),
}


@dataclass(frozen=True)
class Objects:
    """Labels of one volume.

    Attributes
    ----------
    labels : (N,) ndarray of int64
        In rising order, with 0 for the background if there is any.
    sizes : (N,) ndarray of int64
        Their voxel counts.
    boxes : (N, 3, 2) ndarray of int64
        Their bounding boxes: first voxel and the one after the last along z, y, x.
    """

    labels: NDArray[np.int64]
    sizes: NDArray[np.int64]
    boxes: NDArray[np.int64]


@dataclass(frozen=True)
class Contingency:
    """Sparse table of the overlaps between true and predicted labels.

    Attributes
    ----------
    true, predicted
        Rows and columns of the table.
    rows, columns : (P,) ndarray of intp
        Indices in `true` and `predicted` of each pair of labels that share a voxel, background included.
    voxels : (P,) ndarray of int64
        Voxels that the pair shares.
    boxes : (P, 3, 2) ndarray of int64
        Bounding boxes of these voxels: first voxel and the one after the last along z, y, x.
    """

    true: Objects
    predicted: Objects
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    voxels: NDArray[np.int64]
    boxes: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair."""
        union = self.true.sizes[self.rows] + self.predicted.sizes[self.columns] - self.voxels
        return self.voxels / union

    @property
    def on_objects(self) -> NDArray[np.bool_]:
        """True for each pair without background."""
        return (self.true.labels[self.rows] > 0) & (self.predicted.labels[self.columns] > 0)


def count_overlaps(
    truth: ArrayLike,
    predicted: ArrayLike,
    execution: Execution | None = None,
    block_shape: Sequence[int] | None = None,
) -> Contingency:
    """Count the voxels that each pair of labels shares, block by block.

    Memory grows with the number of overlapping pairs, not with the number of voxels. A block is cut into runs along
    x in which neither label changes, so that only some per cent of its voxels are sorted.

    Parameters
    ----------
    truth, predicted : (..., Y, X) array of int
        At most three axes; labels below 2^63, 0 is background.
    execution
        Its executor maps blocks; its deadline is checked between them.
    block_shape
        Shape of the blocks in voxels; by default it follows the chunks of both volumes.

    Raises
    ------
    ShapeMismatchError
        If the shapes differ.
    ParameterError
        If a volume does not hold integers, or has more than three axes.
    """
    check_comparable(truth, predicted)
    execution = execution or Execution()
    blocks = block_grid(truth.shape, block_shape or _block_shape(truth, predicted))
    found: list[pd.DataFrame] = []
    pending = 0
    results = map_blocks(_count_block, blocks, truth, predicted, executor=execution.executor)
    for done, (_, pairs) in enumerate(results, 1):
        found.append(pairs)
        pending += len(pairs)
        # Adding up whenever the table may have doubled keeps memory and time proportional to it.
        if pending > 2 * len(found[0]) + 100_000:
            found, pending = [_add_up(found)], 0
        execution.report(done, len(blocks))
    return _table(_add_up(found))


def check_comparable(truth: ArrayLike, predicted: ArrayLike) -> None:
    """Refuse volumes that cannot be compared voxel by voxel; errors as in `count_overlaps`."""
    if truth.shape != predicted.shape:
        raise ShapeMismatchError(
            f"truth has shape {truth.shape} and prediction {predicted.shape}; resample one onto the other first"
        )
    for name, labels in (("truth", truth), ("prediction", predicted)):
        if np.dtype(labels.dtype).kind not in "biu" or not 1 <= len(labels.shape) <= 3:
            raise ParameterError(
                f"{name} holds {np.dtype(labels.dtype)} in shape {labels.shape}; expected integer labels in (Z, Y, X)"
            )


def pool(tables: Sequence[Contingency]) -> Contingency:
    """Join the tables of several images, such as sections, into one.

    Object `label` of image `n` becomes ``label + n * 2**32``. Boxes lose their meaning and are empty.
    """
    return _table(_add_up([_shifted(table, image_offset(n)) for n, table in enumerate(tables)]))


def image_offset(number: int) -> int:
    """Return the number that `pool` adds to the labels of an image."""
    return number << 32


def _count_block(block: Any, truth: ArrayLike, predicted: ArrayLike) -> pd.DataFrame:
    region: Region = block.core
    lead = 3 - len(region)
    corner = (0,) * lead + tuple(s.start for s in region)
    first, second = (np.asarray(labels[region])[(None,) * lead] for labels in (truth, predicted))
    return _add_up([_runs(first, second, corner)])


def _runs(
    truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]], corner: tuple[int, ...]
) -> pd.DataFrame:
    """Find the runs along x in which neither label changes, with their place in the volume."""
    _, height, width = truth.shape
    place, length = find_label_runs(truth, predicted)
    line, x = np.divmod(place, width)
    z, y = np.divmod(line, height)
    z, y, x = z + corner[0], y + corner[1], x + corner[2]
    return pd.DataFrame(
        {
            "true": truth.reshape(-1)[place].astype(np.int64),
            "predicted": predicted.reshape(-1)[place].astype(np.int64),
            "voxels": length,
            "z0": z,
            "y0": y,
            "x0": x,
            "z1": z + 1,
            "y1": y + 1,
            "x1": x + length,
        }
    )


def _add_up(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    whole = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    return whole.groupby(PAIR, sort=True, as_index=False).agg(REDUCTION)


def _table(pairs: pd.DataFrame) -> Contingency:
    true, rows = _objects(pairs, "true")
    predicted, columns = _objects(pairs, "predicted")
    return Contingency(true, predicted, rows, columns, pairs["voxels"].to_numpy(np.int64), _boxes(pairs))


def _objects(pairs: pd.DataFrame, side: str) -> tuple[Objects, NDArray[np.intp]]:
    own = pairs.groupby(side, sort=True).agg(REDUCTION)
    labels = own.index.to_numpy(np.int64)
    objects = Objects(labels, own["voxels"].to_numpy(np.int64), _boxes(own))
    return objects, np.searchsorted(labels, pairs[side].to_numpy(np.int64))


def _boxes(table: pd.DataFrame) -> NDArray[np.int64]:
    return np.stack([table[LOW].to_numpy(np.int64), table[HIGH].to_numpy(np.int64)], axis=2)


def _shifted(table: Contingency, offset: int) -> pd.DataFrame:
    true, predicted = (
        np.where(side.labels > 0, side.labels + offset, 0) for side in (table.true, table.predicted)
    )
    pairs = {"true": true[table.rows], "predicted": predicted[table.columns], "voxels": table.voxels}
    return pd.DataFrame(pairs | dict.fromkeys(LOW + HIGH, 0))


def _block_shape(truth: ArrayLike, predicted: ArrayLike) -> tuple[int, ...]:
    """Return a shape of whole chunks of both volumes within `BLOCK_VOXELS`, grown along the shorter sides first."""
    shape = truth.shape
    block = [1] * len(shape)
    for labels in (truth, predicted):
        stored = getattr(labels, "array", labels)
        chunks = getattr(stored, "shards", None) or getattr(stored, "chunks", None) or (1,) * len(shape)
        block = [min(n, max(own, c)) for n, own, c in zip(shape, block, chunks, strict=True)]
    while True:
        growing = [axis for axis, n in enumerate(shape) if block[axis] < n]
        if not growing or 2 * int(np.prod(block)) > BLOCK_VOXELS:
            return tuple(block)
        axis = min(growing, key=lambda a: block[a])
        block[axis] = min(shape[axis], 2 * block[axis])
