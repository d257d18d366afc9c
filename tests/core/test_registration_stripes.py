import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.registration import register_pair, stripes
from spherovem_core.registration.affine import compose, rms_displacement, rotation_matrix, shift_matrix
from spherovem_core.registration.stripes import remove_stripes
from spherovem_core.synthetic.slice_pairs import Appearance, TextureScene, texture_pair

SHAPE = (240, 300)
TRUTH = compose(shift_matrix(3.4, -2.6), rotation_matrix(0.4, SHAPE))


def curtains(degrees: float, sd: float, seed: int = 0) -> NDArray[np.float64]:
    """Ridges of three widths at an angle to the y axis."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    rng = np.random.default_rng(seed)
    profile = sum(
        ndimage.zoom(rng.normal(size=(3 * SHAPE[1]) // width), width, order=1) for width in (2, 6, 15)
    )
    pattern = np.interp(x + np.tan(np.deg2rad(degrees)) * y + SHAPE[1], np.arange(len(profile)), profile)
    return sd * pattern / pattern.std()


def test_what_is_constant_along_an_axis_is_removed_and_blobs_stay() -> None:
    texture = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=SHAPE), 2.0)
    texture /= texture.std()
    added = np.stack([curtains(0.0, 2.0), np.broadcast_to(curtains(0.0, 2.0, 5)[0, :240, None], SHAPE)])
    images = torch.from_numpy(np.concatenate([texture[None], texture + added]).astype(np.float32))
    plain, *striped = remove_stripes(images).numpy()
    assert np.corrcoef(plain.ravel(), texture.ravel())[0, 1] > 0.8
    for filtered in striped:
        assert (filtered - plain).std() < 0.05 * added.std()


@pytest.mark.parametrize("degrees", [0.0, 2.0, -4.0])
def test_curtains_fixed_to_the_frame_do_not_pull_the_motion(degrees: float) -> None:
    scene = TextureScene((320, 380), seed=3)
    pair = texture_pair(scene, TRUTH, SHAPE, Appearance(change=0.0, noise=10.0), seed=4)
    fixed, moving = (np.clip(image + curtains(degrees, 25.0), 0, 255) for image in pair)
    plain, striped = register_pair(*pair), register_pair(fixed, moving)
    assert rms_displacement(plain.matrix - TRUTH, SHAPE) < 0.1
    assert rms_displacement(striped.matrix - TRUTH, SHAPE) < 0.25
    assert striped.trusted


@pytest.mark.parametrize("shape", [(240, 300), (131, 402), (97, 140), (16, 20)], ids=str)
def test_compiled_steps_agree_with_torch(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.from_numpy(np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32))
    compiled = remove_stripes(images.clone())
    monkeypatch.setattr(stripes, "compiled_for", lambda image: False)
    np.testing.assert_allclose(compiled, remove_stripes(images.clone()), atol=1e-5)
