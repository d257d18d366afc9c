"""Centroids in nm after resampling to the grid of the networks and back."""

import numpy as np
import pytest
from numpy.typing import NDArray

from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation.grid import Grid, flow_grid
from spherovem_core.segmentation.resample import resample

CENTRE_NM = np.array([1510.0, 1203.0, 1777.0])
RADIUS_NM = 600.0


def centroid_nm(values: NDArray[np.float32], grid: Grid) -> NDArray[np.float64]:
    index = [np.average(axis, weights=values) for axis in np.indices(values.shape)]
    return np.array(index) * grid.spacing_nm + grid.origin_nm


@pytest.mark.parametrize("side_nm", [25.0, 100.0, 130.0])
def test_centroid_of_a_ball_stays_within_1_nm(side_nm: float) -> None:
    """Voxels are 30 × 20 × 20 nm. A shift by half a voxel would be 50 nm at 100 nm; voxels cut at the border cost 1 nm."""
    source = Grid((101, 150, 160), (30.0, 20.0, 20.0), (15.0, 7.0, -4.0))
    positions = np.stack(
        np.meshgrid(
            *(
                np.arange(n) * s + o
                for n, s, o in zip(source.shape, source.spacing_nm, source.origin_nm, strict=True)
            ),
            indexing="ij",
        ),
        axis=-1,
    )
    ball = np.exp(-0.5 * (np.square(positions - CENTRE_NM).sum(axis=-1) / (RADIUS_NM / 2) ** 2))
    ball = ball.astype(np.float32)
    grid = flow_grid(
        source.shape, source.spacing_nm, ObjectParameters(flow_spacing_nm=side_nm), source.origin_nm
    )
    expected = centroid_nm(ball, source)
    np.testing.assert_allclose(expected, CENTRE_NM, atol=1.0)
    reduced = resample(ball, source, grid)
    np.testing.assert_allclose(centroid_nm(reduced, grid), expected, atol=1.0)
    back = resample(reduced, grid, source)
    np.testing.assert_allclose(centroid_nm(back, source), expected, atol=1.0)
