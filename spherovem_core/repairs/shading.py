"""Shading: brightness that varies slowly across the frame, the same in all slices, estimated from the slices themselves."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.repairs.cells import cell_means
from spherovem_core.repairs.robust import BIWEIGHT, biweight, robust_scale
from spherovem_core.utils.slice_choice import good_slices, spread_evenly

MOST_SLICES = 128
GRID = 24
LEAST_CELL = 8
DEGREE = 3
LEAST_SLICES = 8
REGIONS = 3
CERTAINTY = 3.0
"""Standard errors below which a term of the polynomial is left out."""
LEAST_SHADING = 0.01
"""Shading of less than this, largest over smallest less one, is left as it is."""


@dataclass(frozen=True)
class Shading:
    """Relative brightness across the frame.

    Attributes
    ----------
    coefficients
        Of the logarithm of the brightness, by products of Legendre polynomials along y and x; empty if no shading was found.
    certainty
        Largest size of a term over its standard error.
    reason
        Reason why none is corrected; empty if one is.
    """

    coefficients: tuple[float, ...] = ()
    certainty: float = 0.0
    reason: str = ""

    def field(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Return the brightness of each pixel relative to the mean over the frame."""
        if not self.coefficients:
            return np.ones(shape, np.float32)
        y, x = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape)
        along = [_legendre(values) for values in (y, x)]
        log = sum(
            weight * along[0][i][:, None] * along[1][j]
            for weight, (i, j) in zip(self.coefficients, _TERMS, strict=True)
        )
        brightness = np.exp(log)
        return np.asarray(brightness / brightness.mean(), np.float32)


def estimate_shading(source: ArrayLike, bad_slices: Collection[int] = ()) -> Shading:
    """Estimate the shading of a stack.

    Content moves from slice to slice, and its borders lie elsewhere in the frame; shading stays, and is smooth. So the steps of
    the logarithm of brightness between neighbouring cells of a grid are taken: of each, the median over up to 128 slices spread
    over the stack, in which a border that passes does not count; then a polynomial of degree 3 is fitted to all steps by
    iterated weights (Tukey's biweight), for which borders that stay in place are outliers. The uncertainty of its terms comes
    from leaving out groups of consecutive slices, and regions of the frame, in turn (jackknife). A term counts as far as it
    exceeds three standard errors; a shading of less than 1 % is not corrected.

    Slow variation of the specimen itself that is the same in all slices cannot be told from shading. The brightness is taken as
    proportional to the grey value: 0 must be black.

    Parameters
    ----------
    source : (Z, Y, X) array-like
    bad_slices
        Slices to leave out.
    """
    good = good_slices(source.shape[0], bad_slices)
    if len(good) < LEAST_SLICES:
        return Shading(reason=f"{len(good)} good slices are too few")
    grid = [max(2, min(GRID, extent // LEAST_CELL)) for extent in source.shape[1:]]
    logs = np.stack([_cells(np.asarray(source[z]), grid) for z in spread_evenly(good, MOST_SLICES)])
    found = _fit(logs)
    groups = np.array_split(logs, min(LEAST_SLICES, len(logs) // 2))
    in_time = [_fit(np.concatenate([g for k, g in enumerate(groups) if k != n])) for n in range(len(groups))]
    in_space = [_fit(logs, without) for without in _regions(logs.shape[1:])]
    return _judged(found, np.sqrt(_jackknife(found, in_time) + _jackknife(found, in_space)))


def _judged(found: NDArray[np.float64], errors: NDArray[np.float64]) -> Shading:
    """Keep the terms as far as they are certain (a non-negative garrote)."""
    sizes = np.abs(found) / np.maximum(errors, 1e-12)
    kept = found * np.clip(1 - np.square(CERTAINTY / np.maximum(sizes, 1e-12)), 0, None)
    certainty = float(sizes.max())
    if not kept.any():
        return Shading(
            (),
            certainty,
            f"all that was found is within {CERTAINTY:g} standard errors, {certainty:.1f} at most",
        )
    field = Shading(tuple(kept.tolist())).field((GRID, GRID))
    extent = float(field.max() / field.min() - 1)
    if extent < LEAST_SHADING:
        return Shading((), certainty, f"it is {extent:.2%}, less than {LEAST_SHADING:.0%}")
    return Shading(tuple(kept.tolist()), certainty)


def _jackknife(found: NDArray[np.float64], left_out: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the variance of each term by fits that leave out one group each."""
    count = len(left_out)
    return np.asarray((count - 1) / count * np.square(np.stack(left_out) - found).sum(0))


def _regions(shape: tuple[int, ...]) -> Iterator[NDArray[np.bool_]]:
    """Yield each of 3 by 3 regions of the frame as a mask."""
    for rows in np.array_split(np.arange(shape[0]), REGIONS):
        for columns in np.array_split(np.arange(shape[1]), REGIONS):
            region = np.zeros(shape, np.bool_)
            region[np.ix_(rows, columns)] = True
            yield region


def _cells(values: NDArray[Any], grid: Sequence[int]) -> NDArray[np.float64]:
    """Return the logarithm of the mean of each cell; NaN for cells of which a tenth is black or saturated."""
    mean = cell_means(values, grid)
    limits = np.iinfo(values.dtype) if np.issubdtype(values.dtype, np.integer) else None
    if limits is not None:
        lost = cell_means((values == 0) | (values == limits.max), grid)
        mean = np.where(lost > 0.1, np.nan, mean)
    return np.log(np.where(mean > 0, mean, np.nan))


def _fit(logs: NDArray[np.float64], without: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Fit the polynomial to the steps between neighbouring cells, some left out, (terms,)."""
    if without is not None:
        logs = np.where(without, np.nan, logs)
    steps, design = [], []
    rows, columns = logs.shape[1:]
    y, x = ((np.arange(n) + 0.5) * 2 / n - 1 for n in (rows, columns))
    at = np.stack([_legendre(y)[i][:, None] * _legendre(x)[j] for i, j in _TERMS], -1)
    for axis in (1, 2):
        step = np.diff(logs, axis=axis)
        known = np.isfinite(step).sum(0) >= len(logs) / 2
        steps.append(np.nanmedian(step[:, known], axis=0))
        design.append(np.diff(at, axis=axis - 1)[known])
    values, matrix = np.concatenate(steps), np.concatenate(design)
    if len(values) < 4 * len(_TERMS):
        return np.zeros(len(_TERMS))
    weights = np.ones(len(values))
    fitted = np.zeros(len(_TERMS))
    for _ in range(30):
        root = np.sqrt(weights)[:, None]
        fitted = np.linalg.lstsq(matrix * root, values * root[:, 0], rcond=None)[0]
        left = values - matrix @ fitted
        scale = max(robust_scale(left), 1e-9)
        weights = biweight(left, BIWEIGHT * scale)
    return fitted


def _legendre(values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [np.polynomial.legendre.Legendre.basis(n)(values) for n in range(DEGREE + 1)]


_TERMS = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i) if i + j > 0]
