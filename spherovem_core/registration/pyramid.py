"""Slices prepared for registration: binned, shading removed, smoothed, at several resolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

SHADING_WINDOWS = 24
MIN_SIDE_PX = 40
BAND_ROWS = 512


@dataclass(frozen=True)
class Level:
    """One resolution of a batch of slices.

    Attributes
    ----------
    image : (B, Y, X) float32 tensor
        Zero mean and unit variance in every neighbourhood.
    factor
        Side of its pixels in pixels of the source.
    weight : (B, Y, X) float32 tensor, optional
        Weight of each pixel in the estimate of the motion, 0 to 1; None is 1 everywhere.
    """

    image: Tensor
    factor: int
    weight: Tensor | None = None

    def repeated(self, count: int) -> Level:
        """Repeat one slice as the partner of `count` others, without a copy."""
        weight = None if self.weight is None else self.weight.expand(count, -1, -1)
        return Level(self.image.expand(count, -1, -1), self.factor, weight)


def build_pyramid(slices: NDArray[np.generic], levels: int, working_pixels: int, device: str) -> list[Level]:
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

    Returns
    -------
    list of Level
        From fine to coarse.
    """
    import torch

    working, factor = _bin_to(slices, working_pixels)
    image = _smooth(_remove_shading(torch.from_numpy(working).to(device)))
    pyramid = [Level(image, factor)]
    while len(pyramid) < levels and min(image.shape[-2:]) >= 2 * MIN_SIDE_PX:
        image = _smooth(_halve(image))
        factor *= 2
        pyramid.append(Level(image, factor))
    return pyramid


def weigh_pyramid(pyramid: list[Level], weight: Tensor) -> list[Level]:
    """Give each pixel of prepared slices its weight, (B, Y, X) at the finest level; coarser levels have its averages."""
    weighted = []
    for level in pyramid:
        weight = weight if level is pyramid[0] else _halve(weight)
        weighted.append(replace(level, weight=weight))
    return weighted


def join_pyramids(pyramids: Sequence[list[Level]]) -> list[Level]:
    """Join slices that were prepared one by one into one batch."""
    import torch

    if len(pyramids) == 1:
        return pyramids[0]
    joined = []
    for same in zip(*pyramids, strict=True):
        weight = None
        if any(level.weight is not None for level in same):
            weights = [
                torch.ones_like(level.image) if level.weight is None else level.weight for level in same
            ]
            weight = torch.cat(weights)
        joined.append(Level(torch.cat([level.image for level in same]), same[0].factor, weight))
    return joined


def _bin_to(slices: NDArray[np.generic], working_pixels: int) -> tuple[NDArray[np.float32], int]:
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
    pairs = image[:, 0:rows:2] + image[:, 1:rows:2]
    halved: Tensor = (pairs[:, :, 0:columns:2] + pairs[:, :, 1:columns:2]).mul_(0.25)
    return halved


def _smooth(image: Tensor) -> Tensor:
    """Convolve with the binomial kernel (1 4 6 4 1) / 16 along both axes; edges are repeated.

    It sums shifted views, because the one-channel convolution of torch is eighty times slower on a CPU.
    """
    import torch

    for axis in (1, 2):
        n = image.shape[axis]
        first, last = image.narrow(axis, 0, 1), image.narrow(axis, n - 1, 1)
        padded = torch.cat([first, first, image, last, last], axis)
        image = padded.narrow(axis, 2, n) * 6.0
        image.add_(padded.narrow(axis, 1, n), alpha=4.0).add_(padded.narrow(axis, 3, n), alpha=4.0)
        image.add_(padded.narrow(axis, 0, n)).add_(padded.narrow(axis, 4, n)).mul_(1.0 / 16.0)
    return image


def _remove_shading(image: Tensor) -> Tensor:
    """Subtract the mean of each neighbourhood and divide by its contrast, at least 0.3 of the mean contrast."""
    import torch

    mean, square, factor = image, image * image, 1
    while max(mean.shape[-2:]) > SHADING_WINDOWS and min(mean.shape[-2:]) >= 4:
        mean, square, factor = _halve(mean), _halve(square), factor * 2
    mean, square = _smooth(mean), _smooth(square)
    variance = (square - mean * mean).clamp_min_(0.0)
    floor = 0.1 * variance.mean((-2, -1), keepdim=True)
    contrast = torch.rsqrt(variance + floor + 1e-12)
    flat = variance.amax((-2, -1), keepdim=True) <= 1e-6 * (1.0 + square.amax((-2, -1), keepdim=True))
    gain = torch.where(flat, torch.zeros_like(contrast), contrast)
    return (image - _enlarge(mean, factor, image)).mul_(_enlarge(gain, factor, image))


def _enlarge(coarse: Tensor, factor: int, like: Tensor) -> Tensor:
    """Interpolate a binned image to the pixels of `like`; rows and columns that binning left out repeat the edge."""
    import torch.nn.functional as nnf

    fine = nnf.interpolate(coarse[:, None], scale_factor=factor, mode="bilinear", align_corners=False)
    rows, columns = (n - m for n, m in zip(like.shape[-2:], fine.shape[-2:], strict=True))
    padded: Tensor = nnf.pad(fine, (0, columns, 0, rows), mode="replicate") if rows or columns else fine
    return padded[:, 0]
