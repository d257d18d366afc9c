"""Steps of the magnification between slices whose tissue changes, against a prior that takes stretch for an accident."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import register_pair

SIDE = 220


def pair(scale: float, seed: int, shared: float = 0.8, feature_px: float = 3.0) -> list[NDArray[np.float64]]:
    """Show two textures that share a part of their contrast, the second one magnified about its centre."""
    rng = np.random.default_rng(seed)
    common, *own = (ndimage.gaussian_filter(rng.normal(size=(280, 280)), feature_px) for _ in range(3))
    slices = []
    for texture, zoom in zip(own, (1.0, scale), strict=True):
        tissue = shared * common + (1.0 - shared**2) ** 0.5 * texture
        place = (np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2.0) / zoom + 139.5
        shown = ndimage.map_coordinates(tissue / tissue.std(), place, order=3)
        slices.append(128.0 + 30.0 * shown + rng.normal(0.0, 6.0, shown.shape))
    return slices


def found_scale(slices: list[NDArray[np.float64]], **parameters: float) -> float:
    matrix = register_pair(*slices, RegistrationParameters(**parameters)).matrix
    return float(np.sqrt(np.linalg.det(matrix[:, :2])))


@pytest.mark.parametrize("scale", [0.96, 1.03, 1.05])
def test_a_step_of_the_magnification_is_not_drawn_to_none(scale: float) -> None:
    errors = [found_scale(pair(scale, seed)) / scale - 1.0 for seed in range(6)]
    assert abs(float(np.mean(errors))) < 0.003
    assert float(np.abs(errors).max()) < 0.01


def test_the_prior_holds_where_a_change_of_scale_is_an_accident_of_few_cells() -> None:
    cases = [pair(1.0, seed, shared=0.5, feature_px=20.0) for seed in range(6)]
    held = [found_scale(slices) - 1.0 for slices in cases]
    free = [found_scale(slices, usual_strain=1.0) - 1.0 for slices in cases]
    assert float(np.abs(held).mean()) < 0.5 * float(np.abs(free).mean())
