import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.registration import register_pair, usable_areas
from spherovem_core.registration.affine import (
    IDENTITY,
    Matrix,
    compose,
    rms_displacement,
    rotation_matrix,
    shift_matrix,
)
from spherovem_core.registration.usable_areas import find_usable_areas
from spherovem_core.synthetic.slice_pairs import Appearance, TextureScene, texture_pair

SHAPE = (240, 300)
TRUTH = compose(shift_matrix(3.4, -2.6), rotation_matrix(0.4, SHAPE))
BAR = 30


def pair(motion: Matrix, seed: int = 3) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    scene = TextureScene((320, 380), seed)
    return texture_pair(scene, motion, SHAPE, Appearance(change=0.0, noise=10.0), seed=seed)


def with_databar(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cover the lowest rows with marks that are the same in all slices."""
    covered = image.copy()
    marks = np.random.default_rng(5).random((BAR // 5, SHAPE[1] // 5)) < 0.4
    covered[-BAR:] = np.where(np.kron(marks, np.ones((5, 5))), 250, 8)
    return covered


def with_dust(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    covered, rng = image.copy(), np.random.default_rng(6)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for _ in range(12):
        centre, radius = rng.uniform(0, SHAPE), rng.uniform(3, 9)
        covered[np.hypot(y - centre[0], x - centre[1]) < radius] = rng.choice([20, 240])
    return covered


def test_databar_and_dust_do_not_pull_the_motion() -> None:
    pairs = [pair(TRUTH, seed) for seed in range(3, 8)]
    plain = [rms_displacement(register_pair(*slices).matrix - TRUTH, SHAPE) for slices in pairs]
    for cover in (with_databar, with_dust):
        results = [register_pair(cover(fixed), cover(moving)) for fixed, moving in pairs]
        errors = [rms_displacement(result.matrix - TRUTH, SHAPE) for result in results]
        assert np.mean(errors) < np.mean(plain) + 0.1
        assert all(result.fixed_fraction > 0.05 and result.trusted for result in results)


def test_without_motion_nothing_counts_as_fixed() -> None:
    fixed, moving = pair(IDENTITY)
    result = register_pair(with_databar(fixed), with_databar(moving))
    assert result.fixed_fraction < 0.01
    assert rms_displacement(result.matrix - IDENTITY, SHAPE) < 0.1


def test_a_plain_pair_keeps_its_whole_weight() -> None:
    result = register_pair(*pair(TRUTH))
    assert result.fixed_fraction < 0.01
    assert result.featureless_fraction < 0.01


def test_noise_beside_tissue_is_featureless() -> None:
    rng = np.random.default_rng(0)
    texture = torch.from_numpy(rng.normal(size=(1, *SHAPE)).astype(np.float32))
    other = texture.clone()
    other[:, :, 150:] = torch.from_numpy(rng.normal(size=(1, SHAPE[0], 150)).astype(np.float32))
    areas = find_usable_areas(texture, other, IDENTITY[None])
    assert areas.weight is not None
    assert float(areas.weight[0, :, :110].min()) == 1.0
    assert float(areas.weight[0, :, 190:].mean()) < 0.3
    assert 0.3 < areas.featureless[0] < 0.5
    assert areas.fixed[0] == 0.0


@pytest.mark.parametrize("shape", [(240, 300), (181, 530)])
def test_compiled_comparison_agrees_with_torch(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    images = rng.normal(size=(2, *shape)).astype(np.float32)
    images[:, -40:] = images[0, -40:]
    images[:, :, :120] = ndimage.gaussian_filter(images[0, :, :120], 2) * 7
    images[1, :, :120] = ndimage.shift(images[0, :, :120], (5.0, 3.0), order=1, mode="nearest")
    fixed, moving = (torch.from_numpy(image)[None] for image in images)
    motion = compose(shift_matrix(5.0, 3.0), rotation_matrix(0.1, shape))[None]
    compiled = find_usable_areas(fixed, moving, motion)
    monkeypatch.setattr(usable_areas, "compiled_for", lambda image: False)
    plain = find_usable_areas(fixed, moving, motion)
    assert plain.fixed[0] > 0.05
    assert compiled.weight is not None
    assert plain.weight is not None
    # Pixels within rounding of the border of the moving slice count on one path only.
    difference = (compiled.weight - plain.weight).abs()
    assert float(difference.quantile(0.99)) < 1e-3
    assert float(difference.max()) < 0.1
    np.testing.assert_allclose(compiled.fixed, plain.fixed, atol=1e-3)
    np.testing.assert_allclose(compiled.featureless, plain.featureless, atol=1e-3)
