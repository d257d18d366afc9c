"""Application of a journal to labels, in order."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.corrections.canvas import LabelCanvas
from spherovem_core.corrections.grid import LabelGrid
from spherovem_core.corrections.journal import Entry
from spherovem_core.corrections.label_index import LabelIndex, index_labels
from spherovem_core.corrections.outcomes import Applied
from spherovem_core.corrections.rules import Rules
from spherovem_core.corrections.split_cache import SplitCache
from spherovem_core.execution import Execution
from spherovem_core.spacing import SpacingNm


class Replay(Rules):
    """Labels while operations are applied to them.

    Parameters
    ----------
    labels : (Z, Y, X) array-like of uint32
        Labels before the first operation; never written.
    grid
        Their place.
    index
        Index of them; None makes it.
    folder
        Empty folder for repainted blocks; None keeps them in memory.
    splits
        Splits that were made before; None makes all.

    Attributes
    ----------
    canvas
        Labels as the operations so far left them.
    """

    def __init__(
        self,
        labels: ArrayLike,
        grid: LabelGrid,
        index: LabelIndex | None = None,
        folder: Path | None = None,
        splits: SplitCache | None = None,
    ) -> None:
        held = LabelCanvas(labels, index_labels(labels) if index is None else index, folder)
        super().__init__(held, grid, splits)
        self.canvas: LabelCanvas = held


def replay(
    labels: ArrayLike,
    grid: LabelGrid,
    entries: Sequence[Entry],
    *,
    index: LabelIndex | None = None,
    folder: Path | None = None,
    splits: SplitCache | None = None,
    execution: Execution | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Replay:
    """Apply operations to labels in order.

    Parameters
    ----------
    labels : (Z, Y, X) array-like of uint32
        Labels before the first operation; never written.
    grid
        Their place.
    entries
        Operations that count, in order, as `Journal.effective` returns them.
    index
        Index of the labels; None makes it.
    folder
        Empty folder for repainted blocks; None keeps them in memory, compressed.
    splits
        Splits that were made before; None makes all.
    execution
        Executor for the index.
    report
        Called with (done, total) after each operation.

    Returns
    -------
    Replay
        Its `applied` says what became of each operation, its `canvas` holds the labels.
    """
    executor = None if execution is None else execution.executor
    found = Replay(labels, grid, index_labels(labels, executor) if index is None else index, folder, splits)
    for done, entry in enumerate(entries, 1):
        found.apply(entry)
        if report is not None:
            report(done, len(entries))
    return found


def correct_labels(
    labels: NDArray[np.integer],
    spacing_nm: SpacingNm,
    entries: Sequence[Entry],
    origin_nm: SpacingNm = (0.0, 0.0, 0.0),
) -> tuple[NDArray[np.uint32], Applied]:
    """Apply operations to labels in memory.

    Parameters
    ----------
    labels : (Z, Y, X) ndarray of unsigned integers
        Labels, 0 is background.
    spacing_nm : (dz, dy, dx)
        Voxel size in nm.
    entries
        Operations that count, in order.
    origin_nm
        Position of the centre of voxel (0, 0, 0).

    Returns
    -------
    labels : (Z, Y, X) ndarray of uint32
    applied
        What became of each operation.
    """
    found = replay(labels, LabelGrid(labels.shape, spacing_nm, origin_nm), entries)
    return found.canvas.labels[tuple(slice(0, n) for n in labels.shape)], found.applied
