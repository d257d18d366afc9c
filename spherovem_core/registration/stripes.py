"""Removal of straight structures along an axis, such as curtains, from prepared slices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.compiled_filters import compiled_for
from spherovem_core.registration.fourier_lengths import fast_length

if TYPE_CHECKING:
    import torch
    from torch import Tensor

WEDGE_DEG = 8.0
CYCLES_PER_SIDE = 4.0
MARGIN_PX = 28
# Across the slice a stripe varies quickly, along itself slowly: below 0.09 cycles per pixel, which every fourth pixel holds.
STEP_PX = 4
LEAST_SIDE_PX = 128


def remove_stripes(images: Tensor) -> Tensor:
    """Take out what is nearly constant along y or along x, in place.

    Curtains of the ion beam, rules of a databar and gains of detector columns stay in the frame while the specimen moves. In
    the Fourier plane they fill narrow wedges about the axes, which hold few per cent of the power of tissue (Münch and
    others 2009 remove the same coefficients after a wavelet transform). Stripes up to about 6 degrees from an axis are
    removed, as long as they are longer than about a quarter of the slice. Where there are no stripes, this costs little: errors
    of pairs without stripes were 0.028 px with and 0.021 px without this filter on a texture, 0.08 px with both on serial
    sections. The jitter left in stacks cut from real slices was 5 to 9 % larger in five of eight, 2 to 5 % smaller in two.

    Stripes vary slowly along themselves, so each of the two wedges is computed from every fourth pixel along them. At 1024² this
    takes two thirds of the time of one transform of all pixels, and as much is left of stripes. Slices below 128 px are not
    thinned.

    Parameters
    ----------
    images : (B, Y, X) float32 tensor
        Slices without shading; contiguous.

    Returns
    -------
    (B, Y, X) float32 tensor
    """
    import torch

    rows, columns = int(images.shape[1]), int(images.shape[2])
    step = STEP_PX if min(rows, columns) >= LEAST_SIDE_PX else 1
    upright, level = (_Grid(n, step) for n in (rows, columns))
    # Of the other axis, every pixel is kept.
    every_row, every_column = (_Grid(n, 1) for n in (rows, columns))
    filters = _removed(rows, columns, step, images.device)
    thinned = _thinned(images, (upright, every_column), (every_row, level))
    grids = [
        torch.fft.irfft2(torch.fft.rfft2(grid).mul_(kept), s=grid.shape[1:])
        for grid, kept in zip(thinned, filters, strict=True)
    ]
    across = grids[0][:, upright.inner, every_column.inner], grids[1][:, every_row.inner, level.inner]
    return _less_grids(images, step, *across)


@dataclass(frozen=True)
class _Grid:
    """Every `step`-th place of an axis of `side` pixels, continued by its mirror image to a length that is fast to transform.

    A jump at the border would spread over the whole spectrum.
    """

    side: int
    step: int

    @property
    def count(self) -> int:
        """Places on the slice, with one after its end to interpolate to."""
        return self.side if self.step == 1 else -(-self.side // self.step) + 1

    @property
    def length(self) -> int:
        return fast_length(self.count + 2 * (MARGIN_PX // self.step))

    @property
    def margin(self) -> int:
        return (self.length - self.count) // 2

    @property
    def inner(self) -> slice:
        """Return the places on the slice."""
        return slice(self.margin, self.margin + self.count)

    def pixels(self) -> NDArray[np.int64]:
        """Return the pixels about each place: (length, 2 step - 1)."""
        about = np.arange(1 - self.step, self.step)
        pixels = self.step * (np.arange(self.length) - self.margin)[:, None] + about
        period = max(2 * (self.side - 1), 1)
        mirrored: NDArray[np.int64] = np.minimum(pixels % period, -pixels % period)
        return mirrored


def _thinned(images: Tensor, upright: tuple[_Grid, _Grid], level: tuple[_Grid, _Grid]) -> list[Tensor]:
    """Average slices about the places of two grids, with every `step`-th row and every `step`-th column."""
    import torch

    if compiled_for(images):
        from spherovem_core.registration.stripes_kernels import thin_columns, thin_rows

        grids = [images.new_empty((len(images), g[0].length, g[1].length)) for g in (upright, level)]
        (rows, all_columns), (all_rows, columns) = ([g.pixels() for g in pair] for pair in (upright, level))
        for image, *out in zip(images, *grids, strict=True):
            thin_rows(image.numpy(), upright[0].step, rows, all_columns[:, 0], out[0].numpy())
            thin_columns(
                image.numpy(), level[1].step, all_rows[:, 0], columns, level[1].margin, out[1].numpy()
            )
        return grids
    thin = [[torch.from_numpy(_averages(g)).to(images.device) for g in pair] for pair in (upright, level)]
    return [down @ images @ along.T for down, along in thin]


def _averages(grid: _Grid) -> NDArray[np.float32]:
    """Return the weight of each pixel in each place of a grid."""
    weights = np.zeros((grid.length, grid.side), np.float32)
    triangle = (grid.step - np.abs(np.arange(1 - grid.step, grid.step))) / grid.step**2
    pixels = grid.pixels()
    np.add.at(weights, (np.arange(grid.length)[:, None], pixels), np.broadcast_to(triangle, pixels.shape))
    return weights


def _less_grids(images: Tensor, step: int, upright: Tensor, level: Tensor) -> Tensor:
    """Subtract both grids, interpolated to the pixels, in place."""
    import torch

    if step == 1:
        return images.sub_(upright).sub_(level)
    if compiled_for(images):
        from spherovem_core.registration.stripes_kernels import subtract

        for image, *grids in zip(images, upright, level, strict=True):
            subtract(image.numpy(), step, *(grid.numpy() for grid in grids))
        return images
    down, along = (
        torch.from_numpy(_interpolation(n, step)).to(images.device)
        for n in (int(m) for m in images.shape[1:])
    )
    return images.sub_(down @ upright).sub_(level @ along.T)


def _interpolation(side: int, step: int) -> NDArray[np.float32]:
    """Return the weight of each place of a grid in each pixel."""
    place = np.arange(side)[:, None] / step
    weights: NDArray[np.float32] = np.maximum(1.0 - np.abs(place - np.arange(-(-side // step) + 1)), 0.0)
    return weights.astype(np.float32)


@lru_cache(maxsize=4)
def _removed(rows: int, columns: int, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Compute the fraction of each Fourier coefficient of the two grids that is removed: 1 on the axes, 0 outside the wedges.

    What thinning and interpolation take from it is added.
    """
    import torch

    slope = float(np.tan(np.deg2rad(WEDGE_DEG)))

    def wedges(y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        upright = y / (slope * x).clamp_min(CYCLES_PER_SIDE / rows)
        level = x / (slope * y).clamp_min(CYCLES_PER_SIDE / columns)
        return torch.exp(-(upright**4)), torch.exp(-(level**4))

    def frequencies(side: int, spacing: int, last: bool) -> Tensor:
        length = _Grid(side, spacing).length
        kind = torch.fft.rfftfreq if last else torch.fft.fftfreq
        return kind(length, d=spacing, device=device).abs()

    def passed(frequency: Tensor) -> Tensor:
        """Return what thinning and interpolation leave, each the square of what an average over `step` pixels leaves."""
        tiny = frequency < 1e-9
        angle = torch.where(tiny, torch.ones_like(frequency), np.pi * frequency)
        average = torch.sin(step * angle) / (step * torch.sin(angle))
        return torch.where(tiny, torch.ones_like(frequency), average) ** 4

    y, x = frequencies(rows, step, False)[:, None], frequencies(columns, 1, True)[None]
    upright = wedges(y, x)[0] / passed(y)
    y, x = frequencies(rows, 1, False)[:, None], frequencies(columns, step, True)[None]
    both = wedges(y, x)
    return upright, both[1] * (1.0 - both[0]) / passed(x)
