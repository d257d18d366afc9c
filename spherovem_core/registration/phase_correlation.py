"""Initial motion of a pair: peaks of the phase correlation, compared by correlation on the overlap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from spherovem_core.registration.affine import Matrix, compose, invert, rotation_matrix, shift_matrix
from spherovem_core.registration.fourier_lengths import fast_length
from spherovem_core.registration.warped_sampling import sample_linear

if TYPE_CHECKING:
    from torch import Tensor

PEAKS = 6
TAPER_FRACTION = 0.1
STRONG_SIMILARITY = 0.4
STRONG_Z = 12.0
ROTATIONS_DEG = (-1.5, 1.5, -3.0, 3.0, -5.0, 5.0, -7.5, 7.5)
MIN_OVERLAP = 0.1


@dataclass(frozen=True)
class InitialMotion:
    """Motion from which the refinement of a pair starts.

    Attributes
    ----------
    matrix : (2, 3) ndarray
        Fixed to moving, in pixels of the level that was searched.
    significance
        Fisher's z of that correlation times the square root of the number of pixels of the overlap.
    similarity
        Correlation on the overlap.
    opposite
        Significance of the best match with the contrast of one slice inverted.
    """

    matrix: Matrix
    significance: float
    similarity: float
    opposite: float = 0.0


def estimate_initial_motion(fixed: Tensor, moving: Tensor, max_shift_fraction: float) -> InitialMotion:
    """Find the shift between two slices, and a rotation if no shift explains their difference.

    The phase correlation (Kuglin and Hines 1975) of the zero-padded, edge-tapered slices has a peak at every shift that
    matches a part of them. The highest peaks and the identity are compared by the normalised correlation on their
    overlap, weighted by its size, which separates the true peak from periodic or accidental ones. If the best is weak,
    the search is repeated with the fixed slice rotated by up to 7.5 degrees to each side.

    Parameters
    ----------
    fixed, moving : (Y, X) tensors
        Zero-mean slices at a coarse level, about 256 px wide.
    max_shift_fraction
        Largest shift along each axis as a fraction of that side.
    """
    spectrum = _spectrum(moving)
    best = _best_shift(fixed, moving, spectrum, max_shift_fraction)
    if best.similarity >= STRONG_SIMILARITY and best.significance >= STRONG_Z:
        return best
    for degrees in ROTATIONS_DEG:
        turn = rotation_matrix(degrees, fixed.shape)
        turned = sample_linear(fixed[None], turn[None])[0]
        found = _best_shift(turned, moving, spectrum, max_shift_fraction)
        opposite = max(best.opposite, found.opposite)
        if found.significance > best.significance:
            best = replace(found, matrix=compose(found.matrix, invert(turn)))
        best = replace(best, opposite=opposite)
    return best


def find_shift(fixed: Tensor, moving: Tensor, max_shift_fraction: float) -> tuple[int, int]:
    """Find the shift (y, x) between two slices in whole pixels, without a rotation; arguments as in `estimate_initial_motion`."""
    matrix = _best_shift(fixed, moving, _spectrum(moving), max_shift_fraction).matrix
    return round(float(matrix[0, 2])), round(float(matrix[1, 2]))


def _best_shift(fixed: Tensor, moving: Tensor, spectrum: Tensor, max_shift_fraction: float) -> InitialMotion:
    peaks, trough = _peaks(fixed, spectrum, max_shift_fraction)
    scored = [_score(fixed, moving, shift) for shift in sorted({(0, 0), *peaks})]
    best = max(scored, key=lambda motion: motion.significance)
    return replace(best, opposite=max(0.0, -_score(fixed, moving, trough).significance))


def _spectrum(image: Tensor) -> Tensor:
    """Compute the Fourier transform of the tapered slice, zero-padded to twice its size so that shifts do not wrap."""
    import torch

    tapered = image
    for axis, n in enumerate(image.shape):
        ramp = max(2, int(TAPER_FRACTION * n))
        window = torch.ones(n, device=image.device)
        edge = 0.5 - 0.5 * torch.cos(torch.arange(1, ramp + 1, device=image.device) * (np.pi / (ramp + 1)))
        window[:ramp] = edge
        window[n - ramp :] = edge.flip(0)
        tapered = tapered * (window[:, None] if axis == 0 else window)
    size = [fast_length(2 * n) for n in image.shape]
    spectrum: Tensor = torch.fft.rfft2(tapered, s=size)
    return spectrum


def _peaks(
    fixed: Tensor, spectrum: Tensor, max_shift_fraction: float
) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Find the shifts of the highest peaks of the phase correlation and of its deepest trough, up to the largest allowed."""
    import torch

    rows, columns = fixed.shape
    size = (spectrum.shape[0], 2 * (spectrum.shape[1] - 1))
    surface = torch.fft.irfft2(_whitened(_spectrum(fixed), spectrum), s=size)
    reach = [max(1, round(max_shift_fraction * n)) for n in (rows, columns)]
    window = torch.roll(surface, reach, (0, 1))[: 2 * reach[0] + 1, : 2 * reach[1] + 1].clone()
    y, x = divmod(int(window.argmin()), window.shape[1])
    trough = y - reach[0], x - reach[1]
    found = []
    for _ in range(PEAKS):
        y, x = divmod(int(window.argmax()), window.shape[1])
        found.append((y - reach[0], x - reach[1]))
        window[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] = -torch.inf
    return found, trough


def _whitened(fixed: Tensor, moving: Tensor) -> Tensor:
    """Divide the cross spectrum by its amplitude and suppress high frequencies.

    Above 0.2 cycles per pixel the smoothed slices hold mainly noise, which whitening would amplify.
    """
    import torch

    rows, columns = fixed.shape
    frequencies = torch.fft.fftfreq(rows), torch.fft.rfftfreq(2 * (columns - 1))
    down, along = (torch.exp(-(f**2) / (2 * 0.1**2)).to(fixed.device) for f in frequencies)
    if fixed.device.type == "cpu":
        from spherovem_core.registration.phase_correlation_kernels import whiten

        out = torch.empty_like(fixed)
        parts = (torch.view_as_real(spectrum).numpy() for spectrum in (fixed, moving))
        whiten(*parts, down.numpy(), along.numpy(), torch.view_as_real(out).numpy())
        return out
    cross = fixed.conj() * moving
    amplitude = cross.abs()
    whitened: Tensor = cross * (down[:, None] * along / (amplitude + 1e-3 * amplitude.mean() + 1e-20))
    return whitened


def _score(fixed: Tensor, moving: Tensor, shift: tuple[int, int]) -> InitialMotion:
    """Compute the correlation of two slices on their overlap after `shift`, and its significance."""
    a, b = fixed, moving
    for axis, s in enumerate(shift):
        n = a.shape[axis] - abs(s)
        a = a.narrow(axis, max(0, -s), n)
        b = b.narrow(axis, max(0, s), n)
    a, b = a - a.mean(), b - b.mean()
    power = float((a * a).sum() * (b * b).sum())
    similarity = float((a * b).sum()) / power**0.5 if power > 0.0 else 0.0
    significance = float(np.arctanh(np.clip(similarity, -0.999, 0.999))) * a.numel() ** 0.5
    if a.numel() < MIN_OVERLAP * fixed.numel():
        significance = 0.0
    return InitialMotion(shift_matrix(*shift), significance, similarity)
