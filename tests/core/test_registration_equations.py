"""Normal equations of a pair: compiled loops and torch against plain sums over all pixels in float64."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.registration.affine import IDENTITY, compose, rotation_matrix, shift_matrix
from spherovem_core.registration.normal_equations import (
    MIN_OVERLAP,
    OUTLIER_SIGMAS,
    PairEquations,
    weighted_median,
)
from spherovem_core.registration.normal_equations_numba import NumbaPairEquations
from spherovem_core.registration.normal_equations_torch import TorchPairEquations
from spherovem_core.registration.warped_sampling import overlap_intervals, overlap_mask, sample_linear
from spherovem_core.utils.torch_device import cuda_device_count

Array = NDArray[Any]
TILES = 8
# Torch samples at coordinates rounded to float32 of the unit square: about 1e-5 px here.
EQUATIONS = [
    pytest.param(NumbaPairEquations, "cpu", 3e-6, id="numba"),
    pytest.param(TorchPairEquations, "cpu", 3e-4, id="torch"),
    pytest.param(
        TorchPairEquations,
        "cuda:0",
        3e-4,
        id="cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not cuda_device_count(), reason="no usable CUDA device")],
    ),
]
SHAPES = [(61, 83), (97, 40), (40, 1100), (260, 258)]


def maps(shape: tuple[int, int]) -> dict[str, Array]:
    rows, columns = shape
    turn = rotation_matrix(4.0, shape)
    return {
        "identity": IDENTITY,
        "whole pixels": shift_matrix(3.0, -2.0),
        "subpixel": shift_matrix(-0.3, 0.6),
        "half": shift_matrix(-0.4, 0.5 * columns + 0.2),
        "rows without overlap": shift_matrix(0.62 * rows, -1.3),
        "affine": compose(
            shift_matrix(2.31, -3.13), np.array([[1.0103, 0.0207, 0.0], [-0.0102, 0.9794, 0.41]])
        ),
        "turned": compose(shift_matrix(0.1, 0.2), turn),
        "far": compose(shift_matrix(0.3 * rows, -0.4 * columns), turn),
    }


class Reference:
    """The sums that `PairEquations` documents, without any shortcut."""

    def __init__(self, fixed: Array, moving: Array, weight: Array | None) -> None:
        self.fixed, self.moving = fixed.astype(np.float64), moving.astype(np.float64)
        ones = np.ones(fixed.shape)
        self.weight = ones if weight is None else weight.astype(np.float64)
        self.outlier, self.scale = ones, 0.0
        gradient = np.stack([g.copy() for g in np.gradient(self.fixed)])
        gradient[:, [0, -1]] = gradient[:, :, [0, -1]] = 0.0
        self.gradient = gradient

    def sample(self, image: Array, place: Array) -> Array:
        # Coordinates at the border of the overlap must not be rounded across it.
        return ndimage.map_coordinates(image, place, order=1, mode="nearest")

    def evaluate(self, matrix: Array) -> tuple[Array, Array, float]:
        rows, columns = self.fixed.shape
        y, x = np.mgrid[:rows, :columns].astype(np.float64)
        place = np.stack([m[0] * y + m[1] * x + m[2] for m in matrix])
        limits = np.array([rows - 1, columns - 1])[:, None, None]
        mask = ((place >= 0) & (place <= limits)).all(0)
        warped = self.sample(self.moving, place)
        trust = mask * self.weight
        f, m = self.fixed, warped
        _, gain, offset = self.match(f, m, trust * self.outlier)
        self.correlation = self.match(f, m, trust)[0]
        residual = gain * m + offset - f
        if not self.scale:
            s = 8 if min(f.shape) >= 256 else 2
            middle = weighted_median(
                np.abs(residual)[::s, ::s][mask[::s, ::s]], trust[::s, ::s][mask[::s, ::s]]
            )
            self.scale = max(1.4826 * OUTLIER_SIGMAS * middle, 1e-3)
        self.outlier = np.where(mask, 1.0 / (1.0 + (residual / self.scale) ** 2), 1.0)
        w = trust * self.outlier**2
        half = (max(rows, columns) - 1) / 2.0
        basis = np.stack([(y - (rows - 1) / 2) / half, (x - (columns - 1) / 2) / half, np.ones_like(y)])
        jacobian = np.concatenate([g * basis for g in self.gradient])
        hessian = np.einsum("iyx,jyx,yx->ij", jacobian, jacobian, w)
        inner = np.zeros_like(mask)
        inner[1:-1, 1:-1] = True
        common = (np.stack(np.gradient(m)) * self.gradient * w * inner).sum()
        own = (self.gradient**2 * w).sum()
        attenuation = np.clip(gain * common / own, 0.2, 1.0)
        parts = jacobian * (w * residual)
        tile = (y * TILES // rows * TILES + x * TILES // columns).astype(int)
        self.tiles = np.stack([np.bincount(tile.ravel(), p.ravel(), TILES**2) for p in parts], -1)
        self.overlap = mask.mean()
        cost = 1.0 - (trust * self.outlier).sum() / max(trust.sum(), 1.0)
        if min(mask.mean(), trust.sum() / self.weight.sum()) < MIN_OVERLAP:
            cost = np.inf
        return hessian * attenuation, parts.sum((1, 2)), float(cost)

    def match(self, f: Array, m: Array, w: Array) -> tuple[float, float, float]:
        total = w.sum()
        mean_f, mean_m = (w * f).sum() / total, (w * m).sum() / total
        var_f, var_m = (w * f * f).sum() / total - mean_f**2, (w * m * m).sum() / total - mean_m**2
        correlation = ((w * f * m).sum() / total - mean_f * mean_m) / np.sqrt(var_f * var_m)
        gain = np.sqrt(var_f / var_m)
        return correlation, gain, mean_f - gain * mean_m


def slices(shape: tuple[int, int], seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    smooth = [ndimage.gaussian_filter(rng.normal(size=shape), 1.5) for _ in range(3)]
    fixed, moving = (s / s.std() for s in (smooth[0] + 0.4 * smooth[1], smooth[0] + 0.4 * smooth[2]))
    moving[: shape[0] // 5, : shape[1] // 4] += 6.0
    return fixed.astype(np.float32), (0.8 * moving + 0.1).astype(np.float32)


def weight(shape: tuple[int, int], seed: int) -> Array:
    rng = np.random.default_rng(seed)
    soft = np.clip(ndimage.gaussian_filter(rng.normal(size=shape), 6) * 20 + 0.5, 0.0, 1.0)
    soft[:, : shape[1] // 8] = 0.0
    return soft.astype(np.float32)


def equations_of(kind: Any, device: str, *images: Array | None) -> PairEquations:
    tensors = [None if image is None else torch.from_numpy(image)[None].to(device) for image in images]
    equations: PairEquations = kind(*tensors)
    return equations


@pytest.mark.parametrize(
    ("shape", "weighted"),
    list(itertools.product(SHAPES, [False, True])),
    ids=str,
)
@pytest.mark.parametrize(("kind", "device", "tolerance"), EQUATIONS)
def test_sums_equal_plain_sums_over_all_pixels(
    kind: Any, device: str, tolerance: float, shape: tuple[int, int], weighted: bool
) -> None:
    fixed, moving = slices(shape, 1)
    trust = weight(shape, 2) if weighted else None
    for name, matrix in maps(shape).items():
        reference = Reference(fixed, moving, trust)
        equations = equations_of(kind, device, fixed, moving, trust)
        # The second evaluation uses the outlier weights of the first, on another overlap.
        for place in (matrix, compose(shift_matrix(0.3, -0.7), matrix)):
            hessian, gradient, cost = reference.evaluate(place)
            found = equations.evaluate(place[None])
            unit = np.sqrt(np.diag(hessian))
            case = f"{name} {place}"
            np.testing.assert_allclose(
                found.hessian[0] / np.outer(unit, unit),
                hessian / np.outer(unit, unit),
                atol=tolerance,
                err_msg=case,
            )
            # In units of the residual of all pixels.
            power = unit * reference.scale
            np.testing.assert_allclose(
                found.gradient[0] / power, gradient / power, atol=tolerance * 10, err_msg=case
            )
            assert found.cost[0] == pytest.approx(cost, abs=tolerance), case
            assert equations.scale[0] == pytest.approx(reference.scale, rel=tolerance * 10), case
            assert equations.overlap[0] == pytest.approx(reference.overlap, abs=1e-12), case
            tiles = equations.tile_gradients(place[None], TILES)
            np.testing.assert_allclose(
                tiles[0] / power, reference.tiles / power, atol=tolerance * 10, err_msg=case
            )
            assert equations.correlation(place[None])[0] == pytest.approx(
                reference.correlation, abs=tolerance
            ), case
            still = reference.match(reference.fixed, reference.moving, reference.weight)[0]
            assert equations.initial_correlation()[0] == pytest.approx(still, abs=tolerance), case


def test_what_lies_outside_the_overlap_is_never_read() -> None:
    fixed, moving = slices((61, 83), 4)
    results = []
    for filling in (0.0, np.nan):
        equations = NumbaPairEquations(*(torch.from_numpy(image)[None] for image in (fixed, moving)))
        equations._pairs[0].warped[:] = filling
        found = [equations.evaluate(place[None]) for place in maps((61, 83)).values()]
        results.append(np.concatenate([np.r_[n.hessian.ravel(), n.gradient.ravel(), n.cost] for n in found]))
    assert np.isfinite(results[0]).all()
    np.testing.assert_array_equal(results[0], results[1])


def test_a_pair_gives_the_same_bits_alone_and_in_a_batch() -> None:
    pairs = [slices((61, 83), seed) for seed in (5, 6, 7)]
    places = np.stack([maps((61, 83))[name] for name in ("subpixel", "affine", "far")])
    fixed, moving = (torch.from_numpy(np.stack([pair[k] for pair in pairs])) for k in range(2))
    together = NumbaPairEquations(fixed, moving).evaluate(places)
    for b in range(3):
        alone = NumbaPairEquations(fixed[b : b + 1], moving[b : b + 1]).evaluate(places[b : b + 1])
        for name in ("hessian", "gradient", "cost"):
            np.testing.assert_array_equal(getattr(alone, name)[0], getattr(together, name)[b])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_intervals_hold_the_pixels_that_the_map_sends_into_the_slice(shape: tuple[int, int]) -> None:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    for matrix in maps(shape).values():
        place = [m[0] * y + m[1] * x + m[2] for m in matrix]
        inside = np.all([(p >= 0) & (p <= n - 1) for p, n in zip(place, shape, strict=True)], axis=0)
        first, last = np.moveaxis(overlap_intervals(matrix, shape), -1, 0)[..., None]
        np.testing.assert_array_equal((x >= first) & (x < last), inside)
        out = torch.empty((1, *shape))
        np.testing.assert_array_equal(overlap_mask(matrix[None], out, torch.empty_like(out))[0], inside)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_compiled_loop_samples_as_torch_does_inside_and_outside(shape: tuple[int, int]) -> None:
    image = torch.from_numpy(slices(shape, 9)[0])[None]
    for matrix in maps(shape).values():
        compiled = sample_linear(image, matrix[None])
        in_torch = sample_linear(image, matrix[None], torch.empty((2, 1, *shape)))
        # Torch rounds coordinates to float32 of the unit square: 1e-4 px on slopes of about 1 per pixel.
        np.testing.assert_allclose(compiled, in_torch, atol=5e-4)


def test_the_weighted_median_is_that_of_repeated_values() -> None:
    rng = np.random.default_rng(8)
    values, counts = rng.normal(size=99), rng.integers(0, 4, 99)
    repeated = np.sort(np.repeat(values, counts))
    assert weighted_median(values, counts.astype(np.float32)) == repeated[(len(repeated) - 1) // 2]
    assert weighted_median(values, np.full(99, 0.5, np.float32)) == np.median(values)
    assert weighted_median(values, np.zeros(99, np.float32)) == 1.0
