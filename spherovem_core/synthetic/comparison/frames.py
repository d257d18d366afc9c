"""Maps between the registered frame of the measurements and the ideal frame of a phantom."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spherovem_core.spacing import SpacingNm
from spherovem_core.synthetic.comparison.run_results import LabelImage, Measured


def registered_to_ideal(measured: Measured, truth_transforms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the map from registered to ideal pixel coordinates for each slice of the registered image.

    A slice that is blended from several has the map of the one that lies nearest. Registered coordinates are moved by the
    crop, then go through the estimated transform to the acquired slice and back through the inverse of the true one. After
    a perfect registration all slices have one map: the one between the frame of the reference slice and the ideal frame.

    Returns
    -------
    (Z, 2, 3) ndarray of float64
        For coordinates (y, x, 1).
    """
    maps = maps_to_ideal(measured.transforms, measured.crop_origin_px, truth_transforms)
    return maps[measured.shown]


def maps_to_ideal(
    estimated: NDArray[np.float64], crop_origin_px: Sequence[float], true: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the maps of `registered_to_ideal` from estimated and true transforms (Z, 2, 3) and the corner of the crop."""
    crop = np.eye(3)
    crop[:2, 2] = crop_origin_px
    return (np.linalg.inv(to_square(true)) @ to_square(estimated) @ crop)[:, :2]


def to_square(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Append the row (0, 0, 1) to affine maps (Z, 2, 3), so that they can be inverted and composed."""
    square = np.zeros((len(matrices), 3, 3))
    square[:, :2] = matrices
    square[:, 2, 2] = 1
    return square


def sample_truth(
    labels: NDArray[np.uint32], maps: NDArray[np.float64], grid: LabelImage, spacing_nm: SpacingNm
) -> NDArray[np.uint32]:
    """Sample the labels of the ideal frame at the voxel centres of a measured label image.

    Each slice goes through its own map. The residual misplacement of a slice has a figure of its own and does not count
    a second time as an error of the segmentation.

    Parameters
    ----------
    labels : (Z, Y, X) ndarray of uint32
        Truth in the ideal frame, in the slices that the registered image shows.
    maps : (Z, 2, 3) ndarray
        From `registered_to_ideal`.
    grid
        Grid to sample on; of its labels only the shape is used.
    spacing_nm
        Voxel size of the acquisition, and of the finest level of the registered image.

    Returns
    -------
    ndarray of uint32, shape of the grid
        0 outside the ideal frame.
    """
    depth, height, width = grid.labels.shape
    planes, rows, columns = (
        (np.arange(n) * side + start) / fine
        for n, side, start, fine in zip(
            (depth, height, width), grid.spacing_nm, grid.origin_nm, spacing_nm, strict=True
        )
    )
    sampled = np.zeros(grid.labels.shape, np.uint32)
    for k, z in enumerate(np.clip(np.rint(planes).astype(int), 0, len(labels) - 1)):
        (a, b, c), (d, e, f) = maps[z]
        y = np.rint(a * rows[:, None] + b * columns + c).astype(int)
        x = np.rint(d * rows[:, None] + e * columns + f).astype(int)
        inside = (y >= 0) & (y < labels.shape[1]) & (x >= 0) & (x < labels.shape[2])
        sampled[k][inside] = labels[z][y[inside], x[inside]]
    return sampled


def volumes_in_frame(
    analytic_um3: NDArray[np.float64],
    ideal: NDArray[np.uint32],
    sampled: NDArray[np.uint32],
    maps: NDArray[np.float64],
    grid_spacing_nm: SpacingNm,
    spacing_nm: SpacingNm,
) -> NDArray[np.float64]:
    """Compute the true volumes inside the registered frame.

    The crop cuts objects off. Where an object lost more than 2 % of its voxels, its analytic volume is reduced by the
    same fraction.

    Returns
    -------
    (n,) ndarray
        Volumes in µm³ at index label - 1.
    """
    count = len(analytic_um3)
    area = float(np.abs(np.linalg.det(maps[:, :, :2])).mean())
    whole = np.bincount(ideal.ravel(), minlength=count + 1)[1:] * _volume(spacing_nm)
    left = np.bincount(sampled.ravel(), minlength=count + 1)[1:] * _volume(grid_spacing_nm) * area
    fraction = np.divide(left, whole, out=np.zeros(count), where=whole > 0)
    return np.asarray(analytic_um3 * np.where(fraction > 0.98, 1.0, fraction))


def _volume(spacing_nm: Sequence[float]) -> float:
    return float(np.prod(spacing_nm))
