"""Planes of a multiscale image, read at a resolution that fits a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.store import Layout, StoredArray, open_array

AXES = "zyx"


@dataclass(frozen=True)
class View:
    """One plane of a volume.

    Attributes
    ----------
    values : (rows, columns) ndarray
    extent_um
        left, right, bottom, top of the plane for matplotlib, rows downwards.
    plane
        ``xy``, ``xz`` or ``yz``.
    position_um
        Where the plane lies on the third axis.
    """

    values: NDArray[Any]
    extent_um: tuple[float, float, float, float]
    plane: str
    position_um: float


def fitting_level(layout: Layout, group: str, longest_px: int) -> StoredArray:
    """Open the finest level of a group whose longest side does not exceed `longest_px`, else the coarsest."""
    stored = open_array(layout, group)
    levels = len(stored.details["level_factors"])
    for level in range(levels):
        stored = open_array(layout, group, level)
        if max(stored.shape[-3:]) <= longest_px:
            break
    return stored


def cut(stored: StoredArray, axis: int, position_um: float | None = None) -> View:
    """Read the plane across `axis` (0 z, 1 y, 2 x) nearest to `position_um`, by default the middle one."""
    spacing = np.array(stored.spacing_nm) / 1000
    origin = np.array(stored.origin_nm) / 1000
    extent = stored.shape[axis]
    index = extent // 2
    if position_um is not None:
        index = int(np.clip(np.rint((position_um - origin[axis]) / spacing[axis]), 0, extent - 1))
    region: list[Any] = [slice(None)] * 3
    region[axis] = index
    rows, columns = (a for a in range(3) if a != axis)
    low = origin - spacing / 2
    high = low + np.array(stored.shape) * spacing
    return View(
        stored[tuple(region)],
        (low[columns], high[columns], high[rows], low[rows]),
        AXES[columns] + AXES[rows],
        float(origin[axis] + index * spacing[axis]),
    )


def outlines(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels whose label differs from the one to the right or below, and that touch a label."""
    edge = np.zeros(labels.shape, dtype=bool)
    edge[:-1] |= labels[:-1] != labels[1:]
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return edge


def contrast_limits(values: Sequence[NDArray[Any]]) -> tuple[float, float]:
    """Intensities at the 0.5 and 99.8 percentile, for one grey scale over several pictures."""
    low, high = np.percentile(np.concatenate([v.ravel() for v in values]).astype(np.float32), (0.5, 99.8))
    return float(low), float(max(high, low + 1))
