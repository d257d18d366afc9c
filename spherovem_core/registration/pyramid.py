"""Slices prepared for registration: binned, shading removed, smoothed, at several resolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.compiled_filters import compiled_for
from spherovem_core.registration.stripes import remove_stripes

if TYPE_CHECKING:
    from torch import Tensor

SHADING_WINDOWS = 24
MIN_SIDE_PX = 40
BAND_ROWS = 512
# Variance of a slice without contrast, relative to its mean square: rounding leaves 1e-16. At 1e-6, slices with 16 bits whose
# contrast is below a thousandth of their grey values were taken as blank.
FLAT = 1e-12
SEEN_PART = 0.02
"""Part of a neighbourhood that has to be seen for a mean of its own."""


@dataclass(frozen=True)
class Level:
    """One resolution of a batch of slices.

    Attributes
    ----------
    image : (B, Y, X) float32 tensor
        Zero mean and unit variance in every neighbourhood.
    factor
        Side of its pixels in pixels of the source.
    """

    image: Tensor
    factor: int

    def repeated(self, count: int) -> Level:
        """Repeat one slice as the partner of `count` others, without a copy."""
        return Level(self.image.expand(count, -1, -1), self.factor)


def build_pyramid(
    slices: NDArray[np.generic],
    levels: int,
    working_pixels: int,
    device: str,
    pattern: NDArray[np.float32] | None = None,
    without_stripes: bool = True,
) -> list[Level]:
    """Prepare a batch of slices for registration.

    A slice of more than `working_pixels` pixels is binned first: six parameters need no more pixels, and binning lowers the
    noise. Then the mean and the contrast of each neighbourhood (about an eighth of the slice wide) are removed. This
    removes gain, offset and gradual shading, and gives a charged patch no more weight than the tissue beside it. Every level
    is smoothed with a binomial kernel (standard deviation 1 px); without it, linear interpolation would favour half-pixel
    shifts of noisy slices.

    Parameters
    ----------
    slices : (B, Y, X) ndarray
        Any real type.
    levels
        Most resolutions; none has a side below 40 px unless the slice itself has.
    working_pixels
        Most pixels of the finest level.
    device
        ``cpu`` or ``cuda[:n]``.
    pattern : (Y', X') ndarray of float32, optional
        What is added to all slices at the same place, at the resolution of the finest level; it is subtracted. NaN where
        something fixed to the frame hides the tissue: the slices are 0 there, and it has no part in the mean and contrast
        beside it.
    without_stripes
        Whether `remove_stripes` is applied. It costs a map for the whole slice nothing, but doubles the error of local motions.

    Returns
    -------
    list of Level
        From fine to coarse.
    """
    import torch

    working, factor = bin_slices(slices, working_pixels)
    seen: Tensor | None = None
    if pattern is not None:
        working = working - np.nan_to_num(pattern)
        if np.isnan(pattern).any():
            seen = torch.from_numpy(np.isfinite(pattern)[None].astype(np.float32)).to(device)
    image = _remove_shading(torch.from_numpy(working).to(device), seen)
    image = remove_stripes(image) if without_stripes else image
    image = _smooth(image if seen is None else image * seen)
    pyramid = [Level(image, factor)]
    while len(pyramid) < levels and min(image.shape[-2:]) >= 2 * MIN_SIDE_PX:
        image = _smooth(_halve(image))
        factor *= 2
        pyramid.append(Level(image, factor))
    return pyramid


def hidden_parts(pattern: NDArray[np.float32] | None, levels: Sequence[Level]) -> list[Tensor | None]:
    """Mark what a pattern hides at all resolutions, (Y, X) tensors of 0 and 1, or None where it hides nothing.

    The smoothing reaches 2 px further, and what it leaves there of the border of the hidden area is hidden, too.
    """
    import torch
    import torch.nn.functional as nnf

    if pattern is None or not np.isnan(pattern).any():
        return [None for _ in levels]
    part = torch.from_numpy(np.isnan(pattern)[None].astype(np.float32)).to(levels[0].image.device)
    parts: list[Tensor | None] = []
    for number in range(len(levels)):
        if number:
            part = nnf.max_pool2d(part, 2)
        part = nnf.max_pool2d(part, 5, stride=1, padding=2)
        parts.append(part[0])
    return parts


def join_pyramids(pyramids: Sequence[list[Level]]) -> list[Level]:
    """Join slices that were prepared one by one into one batch."""
    import torch

    if len(pyramids) == 1:
        return pyramids[0]
    joined = []
    for same in zip(*pyramids, strict=True):
        joined.append(Level(torch.cat([level.image for level in same]), same[0].factor))
    return joined


def bin_slices(slices: NDArray[np.generic], working_pixels: int) -> tuple[NDArray[np.float32], int]:
    """Bin by the smallest power of two that leaves at most `working_pixels`; in bands of rows to save memory."""
    rows, columns = slices.shape[-2:]
    factor = 1
    while (rows // factor) * (columns // factor) > working_pixels:
        factor *= 2
    if factor == 1:
        return slices.astype(np.float32), factor
    binned = np.empty((len(slices), rows // factor, columns // factor), np.float32)
    step = max(1, BAND_ROWS // factor)
    for start in range(0, binned.shape[1], step):
        stop = min(start + step, binned.shape[1])
        band = slices[:, start * factor : stop * factor].astype(np.float32)
        for _ in range(factor.bit_length() - 1):
            band = band[:, 0::2] + band[:, 1::2]
            wide = band.shape[2] // 2 * 2
            band = band[:, :, 0:wide:2] + band[:, :, 1:wide:2]
        binned[:, start:stop] = band
    binned /= factor**2
    return binned, factor


def _halve(image: Tensor) -> Tensor:
    """Average 2 x 2 pixels; an odd last row or column is left out."""
    rows, columns = (n // 2 * 2 for n in image.shape[-2:])
    if compiled_for(image):
        return _filtered(image, "halve", (rows // 2, columns // 2))
    pairs = image[:, 0:rows:2] + image[:, 1:rows:2]
    halved: Tensor = (pairs[:, :, 0:columns:2] + pairs[:, :, 1:columns:2]).mul_(0.25)
    return halved


def _smooth(image: Tensor) -> Tensor:
    """Convolve with the binomial kernel (1 4 6 4 1) / 16 along both axes; edges are repeated."""
    import torch

    if compiled_for(image):
        return _filtered(image, "smooth", (int(image.shape[1]), int(image.shape[2])))
    for axis in (1, 2):
        n = image.shape[axis]
        first, last = image.narrow(axis, 0, 1), image.narrow(axis, n - 1, 1)
        padded = torch.cat([first, first, image, last, last], axis)
        image = padded.narrow(axis, 2, n) * 6.0
        image.add_(padded.narrow(axis, 1, n), alpha=4.0).add_(padded.narrow(axis, 3, n), alpha=4.0)
        image.add_(padded.narrow(axis, 0, n)).add_(padded.narrow(axis, 4, n)).mul_(1.0 / 16.0)
    return image


def _filtered(image: Tensor, name: str, shape: tuple[int, int]) -> Tensor:
    """Apply a compiled filter to each slice of a batch."""
    from spherovem_core.registration import pyramid_kernels

    out = image.new_empty((len(image), *shape))
    for one, filtered in zip(image.contiguous(), out, strict=True):
        getattr(pyramid_kernels, name)(one.numpy(), filtered.numpy())
    return out


def _remove_shading(image: Tensor, seen: Tensor | None = None) -> Tensor:
    """Subtract the mean of each neighbourhood and divide by its contrast, at least 0.3 of the mean contrast, in place.

    Where `seen` (1, Y, X) is 0, the result is 0.
    """
    import torch

    mean, square, factor = _neighbourhood_means(image, seen)
    variance = (square - mean * mean).clamp_min_(0.0)
    floor = 0.1 * variance.mean((-2, -1), keepdim=True)
    contrast = torch.rsqrt(variance + floor + 1e-12)
    flat = variance.amax((-2, -1), keepdim=True) <= FLAT * square.amax((-2, -1), keepdim=True)
    gain = torch.where(flat, torch.zeros_like(contrast), contrast)
    image = _subtract_and_scale(image, factor, mean.to(image.dtype), gain.to(image.dtype))
    return image if seen is None else image * seen


def _neighbourhood_means(image: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor, int]:
    """Average the slices and their squares over neighbourhoods of blocks, over seen pixels only; also the side of a block.

    A neighbourhood without a seen pixel has the means of all blocks.
    """
    import torch

    mean, square, side = _block_means(image if seen is None else image * seen)
    mean, square = _smooth(mean), _smooth(square)
    if seen is None:
        return mean, square, side
    part = _smooth(_block_means(seen)[0])
    known = part > SEEN_PART
    means = []
    for total in (mean, square):
        usual = total.sum((1, 2), keepdim=True) / part.sum((1, 2), keepdim=True).clamp_min(1e-6)
        means.append(torch.where(known, total / part.clamp_min(SEEN_PART), usual))
    return means[0], means[1], side


def _block_means(image: Tensor) -> tuple[Tensor, Tensor, int]:
    """Average the slices and their squares over blocks of a power of two pixels, in float64, at most 24 along a side."""
    import torch

    rows, columns = int(image.shape[1]), int(image.shape[2])
    side = 1
    while max(rows, columns) // side > SHADING_WINDOWS and min(rows, columns) // side >= 4:
        side *= 2
    if compiled_for(image):
        from spherovem_core.registration import pyramid_kernels

        sums = torch.zeros((2, len(image), rows // side, columns // side), dtype=torch.float64)
        for one, mean, square in zip(image, *sums, strict=True):
            pyramid_kernels.block_means(one.numpy(), side, mean.numpy(), square.numpy())
        return sums[0], sums[1], side
    mean = image.double()
    square = mean * mean
    for _ in range(side.bit_length() - 1):
        mean, square = _halve(mean), _halve(square)
    return mean, square, side


def _subtract_and_scale(image: Tensor, side: int, mean: Tensor, gain: Tensor) -> Tensor:
    """Subtract the means of blocks and multiply by their gains, both interpolated to pixels, in place."""
    if not compiled_for(image):
        return image.sub_(_enlarge(mean, side, image)).mul_(_enlarge(gain, side, image))
    from spherovem_core.registration import pyramid_kernels

    for one, m, g in zip(image, mean, gain, strict=True):
        pyramid_kernels.subtract_and_scale(one.numpy(), side, m.numpy(), g.numpy())
    return image


def remove_mean(image: Tensor, seen: Tensor | None = None) -> Tensor:
    """Subtract the mean of each neighbourhood of (B, Y, X) slices; where `seen` (1, Y, X) is 0, the result is 0."""
    mean, _, side = _neighbourhood_means(image, seen)
    flat = image - _enlarge(mean.to(image.dtype), side, image)
    return flat if seen is None else flat * seen


def _enlarge(coarse: Tensor, factor: int, like: Tensor) -> Tensor:
    """Interpolate a binned image to the pixels of `like`; rows and columns that binning left out repeat the edge."""
    import torch.nn.functional as nnf

    fine = nnf.interpolate(coarse[:, None], scale_factor=factor, mode="bilinear", align_corners=False)
    rows, columns = (n - m for n, m in zip(like.shape[-2:], fine.shape[-2:], strict=True))
    padded: Tensor = nnf.pad(fine, (0, columns, 0, rows), mode="replicate") if rows or columns else fine
    return padded[:, 0]
