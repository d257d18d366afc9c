"""Elastic refinement of a stack that affine maps have placed."""

from __future__ import annotations

import itertools
from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.errors import RegistrationError
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration.affine import Matrix
from spherovem_core.registration.crop import EDGE_TOLERANCE_PX, Rectangle
from spherovem_core.registration.elastic_fields import ElasticFields
from spherovem_core.registration.elastic_jobs import measure_local_motions
from spherovem_core.registration.elastic_mesh import Mesh
from spherovem_core.registration.elastic_solution import limit_folds, solve_fields

PASSES = 2
"""The second pass measures what is left with the fields of the first one, so that windows are no longer distorted."""


def refine_elastically(
    source: ArrayLike,
    good: Sequence[int],
    transforms: Matrix,
    crop: Rectangle,
    parameters: RegistrationParameters,
    execution: Execution,
    ledger: MutableMapping[str, Any],
    pattern: NDArray[np.float32] | None = None,
) -> tuple[ElasticFields, Rectangle, list[int]]:
    """Find smooth local fields on top of the affine maps.

    Parameters
    ----------
    source : (Z, Y, X) array-like
    good
        Good slices in rising order; the others get no field.
    transforms : (Z, 2, 3) ndarray
        Affine maps, reference to slice coordinates.
    crop : Rectangle
        Pixels of the reference frame that every slice covers by its affine map.
    parameters, execution, ledger
        As in `register_stack`.
    pattern : (Y', X') ndarray of float32, optional
        What is fixed to the frame, as for `build_pyramid`: it is subtracted, and what it hides has no weight.

    Returns
    -------
    fields : ElasticFields
    crop : Rectangle
        What every slice covers with its field.
    folded : list of int
        Slices whose field folded and was scaled down.
    """
    mesh = Mesh.over(crop)
    fields = ElasticFields(mesh, np.zeros((len(transforms), mesh.rows, mesh.columns, 2), np.float32))
    folded: list[int] = []
    pairs = list(itertools.pairwise(good))
    for _ in range(PASSES):
        motions = measure_local_motions(
            source, pairs, transforms, fields, crop, parameters, execution, ledger, pattern
        )
        fields, folded = limit_folds(solve_fields(motions, good, fields))
        if not fields.nodes.any():
            return fields, crop, folded
    shape = int(source.shape[1]), int(source.shape[2])
    return fields, covered_rectangle(fields, transforms, crop, shape), folded


def covered_rectangle(
    fields: ElasticFields, transforms: Matrix, crop: Rectangle, shape: tuple[int, int]
) -> Rectangle:
    """Shrink a rectangle until every slice covers its border with its field.

    Fields do not fold, so the inside of a border that lies in the slice lies in it too.

    Raises
    ------
    RegistrationError
        If nothing is left.
    """
    moved = [z for z in range(len(fields.nodes)) if fields.of_slice(z) is not None]
    y0, y1, x0, x1 = crop
    limits = np.asarray(shape, dtype=np.float64) - 1.0 + EDGE_TOLERANCE_PX
    for _ in range(200):
        y, x = np.arange(y0, y1, dtype=np.float64), np.arange(x0, x1, dtype=np.float64)
        if min(len(y), len(x)) < 8:
            break
        sides = [(y[:1], x), (y[-1:], x), (y, x[:1]), (y, x[-1:])]
        outside = np.zeros(4)
        for k, places in enumerate(sides):
            weights = fields.mesh.interpolation(*places)
            for z in moved:
                beyond = _beyond(fields.nodes[z], transforms[z], places, weights, k // 2, limits[k // 2])
                outside[k] = max(outside[k], beyond)
        if not outside.any():
            return Rectangle(y0, y1, x0, x1)
        step = np.ceil(outside).astype(int)
        y0, y1, x0, x1 = y0 + int(step[0]), y1 - int(step[1]), x0 + int(step[2]), x1 - int(step[3])
    raise RegistrationError(
        "the elastic fields leave no pixel that every slice covers, so at least one of them is wrong; "
        "set refinement to none, or name the bad slices"
    )


def _beyond(
    nodes: NDArray[np.float32],
    transform: Matrix,
    places: tuple[NDArray[np.float64], NDArray[np.float64]],
    weights: tuple[NDArray[np.float64], NDArray[np.float64]],
    axis: int,
    limit: float,
) -> float:
    """Return by how many pixels along an axis the given side of a rectangle leaves a slice."""
    down, along = weights
    field = nodes.astype(np.float64)
    y = places[0][:, None] + down @ field[..., 0] @ along.T
    x = places[1][None] + down @ field[..., 1] @ along.T
    p = transform[axis, 0] * y + transform[axis, 1] * x + transform[axis, 2]
    return max(0.0, float((-EDGE_TOLERANCE_PX - p).max()), float((p - limit).max()))
