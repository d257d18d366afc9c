"""Voxels that stand for an object: deep inside it, so that the anchor still hits it after another segmentation."""

import math
from collections.abc import Sequence

import edt
import numpy as np
from scipy import ndimage

from deployments.editing.canvas import Canvas
from deployments.editing.edited_labels import Index

REACH = 512
"""Pixels around a click that are searched."""
SAMPLE_VOXELS = 2**22


def inner_voxel(canvas: Canvas, index: Sequence[int]) -> Index:
    """Return the deepest pixel of an object in the slice of one of its voxels, within the piece that holds it."""
    z, y, x = index
    label = canvas.labels.at(index)
    low = [max(0, y - REACH), max(0, x - REACH)]
    high = [min(n, i + REACH + 1) for n, i in zip(canvas.labels.shape[1:], (y, x), strict=True)]
    own = canvas.labels.read((slice(z, z + 1), slice(low[0], high[0]), slice(low[1], high[1])))[0] == label
    pieces, _ = ndimage.label(own)
    piece = pieces == pieces[y - low[0], x - low[1]]
    depth = edt.edt(piece, anisotropy=canvas.grid.spacing_nm[1:], black_border=False)
    row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return z, int(row) + low[0], int(column) + low[1]


def voxel_of_object(canvas: Canvas, label: int, near: Sequence[int] | None = None) -> Index | None:
    """Return a voxel inside an object; None if its place is not known and it does not lie within 32 voxels of `near`."""
    known = canvas.objects.find(label)
    if known is None:
        return (
            None if near is None else _in_block(canvas, label, [max(0, i - 32) for i in near], (65, 65, 65))
        )
    voxels = math.prod(side.stop - side.start for side in known.region)
    level = canvas.labels.coarse_level(voxels, SAMPLE_VOXELS)
    for each in range(level, -1, -1):
        factors = canvas.labels.factors(each)
        region = tuple(
            slice(side.start // factor, min(n, -(-side.stop // factor)))
            for side, factor, n in zip(known.region, factors, canvas.labels.level_shape(each), strict=True)
        )
        own = canvas.labels.read(region, each) == label
        if own.any():
            depth = edt.edt(own, anisotropy=canvas.grid.spacing_nm, black_border=False)
            coarse = np.unravel_index(int(np.argmax(depth)), depth.shape)
            low = [
                (int(place) + side.start) * factor
                for place, side, factor in zip(coarse, region, factors, strict=True)
            ]
            return _in_block(canvas, label, low, factors)
    return None


def _in_block(canvas: Canvas, label: int, low: Sequence[int], factors: Sequence[int]) -> Index | None:
    """Return a voxel of an object in a block that a coarse voxel stands for."""
    region = tuple(
        slice(start, min(n, start + factor))
        for start, factor, n in zip(low, factors, canvas.labels.shape, strict=True)
    )
    places = np.argwhere(canvas.labels.read(region) == label)
    if not len(places):
        return None
    z, y, x = (places[len(places) // 2] + low).tolist()
    return z, y, x
