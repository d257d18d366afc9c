"""All scores of a segmentation against its truth, on arrays that need not fit in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, map_blocks
from spherovem_core.errors import ParameterError
from spherovem_core.execution import Execution
from spherovem_core.label_overlaps import (
    Contingency,
    count_overlaps,
    image_offset,
    pool,
)
from spherovem_core.parameters import EvaluationParameters
from spherovem_core.segmentation.evaluation.boundaries import Pair, boundary_distances
from spherovem_core.segmentation.evaluation.matching import Matching, match_objects
from spherovem_core.segmentation.evaluation.summary import Evaluation, min_voxels, summarise
from spherovem_core.segmentation.evaluation.worst_errors import find_worst_errors
from spherovem_core.segmentation.grid import check_spacing
from spherovem_core.spacing import SpacingNm


def evaluate_labels(
    truth: ArrayLike,
    predicted: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: EvaluationParameters | None = None,
    execution: Execution | None = None,
) -> Evaluation:
    """Compare two label volumes.

    Both are read twice: in blocks for the table of overlaps, and around each matched pair for its surfaces; a third time around
    the worst errors. Memory grows with the number of objects and the largest surface, not with the number of voxels.

    Parameters
    ----------
    truth, predicted : (Z, Y, X) or (Y, X) array of int
        Instance labels, 0 is background; NumPy, zarr, or any array that can be sliced.
    spacing_nm
        Voxel size of both.
    parameters
        Limits from which objects match and count.
    execution
        Its executor, of threads, maps blocks and pairs.

    Raises
    ------
    ShapeMismatchError
        If the shapes differ.
    ParameterError
        If an array does not hold integers, or the spacing is not positive.
    """
    parameters = parameters or EvaluationParameters()
    execution = execution or Execution()
    check_spacing(spacing_nm)
    table = count_overlaps(truth, predicted, execution)
    matching = _match(table, spacing_nm, parameters)
    boundaries = np.full((len(matching.pairs), 2), np.nan)
    if parameters.boundary_error:
        boundaries = _measure_boundaries(table, matching, truth, predicted, spacing_nm, execution)
    worst = find_worst_errors(table, matching, truth, predicted, parameters.worst_errors)
    return summarise(table, matching, boundaries, spacing_nm, parameters, worst)


def evaluate_sections(
    truths: Sequence[NDArray[np.integer[Any]]],
    predictions: Sequence[NDArray[np.integer[Any]]],
    spacing_nm: SpacingNm,
    parameters: EvaluationParameters | None = None,
) -> Evaluation:
    """Compare the labels of several sections, with one score over the objects of all.

    Parameters
    ----------
    truths, predictions
        (Y, X) arrays of int, in pairs of equal shape.
    spacing_nm
        Pixel size along y and x; the first number is the thickness by which `min_diameter_um` and volumes are computed.

    Raises
    ------
    ShapeMismatchError, ParameterError
        As in `evaluate_labels`; the latter also if there is no section.
    """
    parameters = parameters or EvaluationParameters()
    check_spacing(spacing_nm)
    pairs = list(zip(truths, predictions, strict=True))
    if not pairs:
        raise ParameterError("there is no section to evaluate; give at least one pair of labels")
    tables = [count_overlaps(*pair) for pair in pairs]
    table = pool(tables)
    matching = _match(table, spacing_nm, parameters)
    boundaries: dict[int, NDArray[np.float64]] = {}
    for number, (own, (truth, predicted)) in enumerate(zip(tables, pairs, strict=True)):
        inner = _match(own, spacing_nm, parameters)
        measured = _measure_boundaries(own, inner, truth, predicted, spacing_nm, Execution())
        labels = own.true.labels[own.rows[inner.pairs]] + image_offset(number)
        boundaries |= dict(zip(labels.tolist(), measured, strict=True))
    order = table.true.labels[table.rows[matching.pairs]].tolist()
    stacked = np.array([boundaries[label] for label in order]).reshape(-1, 2)
    return summarise(table, matching, stacked, spacing_nm, parameters)


def _match(table: Contingency, spacing_nm: SpacingNm, parameters: EvaluationParameters) -> Matching:
    return match_objects(table, parameters.match_iou, min_voxels(spacing_nm, parameters))


def _measure_boundaries(
    table: Contingency,
    matching: Matching,
    truth: ArrayLike,
    predicted: ArrayLike,
    spacing_nm: SpacingNm,
    execution: Execution,
) -> NDArray[np.float64]:
    """Measure the boundary distances of each matched pair, in their order."""
    rows, columns = table.rows[matching.pairs], table.columns[matching.pairs]
    pairs = [
        Pair(
            int(table.true.labels[row]),
            int(table.predicted.labels[column]),
            table.true.boxes[row],
            table.predicted.boxes[column],
        )
        for row, column in zip(rows, columns, strict=True)
    ]
    distances = np.full((len(pairs), 2), np.nan)
    measured = map_blocks(
        boundary_distances, pairs, truth, predicted, spacing_nm, executor=execution.executor
    )
    for number, (_, values) in enumerate(measured):
        distances[number] = values
        execution.report(number + 1, len(pairs))
    return distances
