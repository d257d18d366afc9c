"""Baseline for registration: Adam on the correlation, coarse to fine."""

import numpy as np
from numpy.typing import NDArray

LEVELS = 4
STEPS = 300
LEARNING_RATE = 2e-3


def register_with_adam(fixed: NDArray[np.uint8], moving: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Find the affine map of fixed to moving pixel coordinates (y, x, 1) with 300 steps over four resolutions.

    Sampling is zero-padded and the correlation covers the whole slice, as is common.
    """
    import torch
    import torch.nn.functional as nnf

    images = [torch.from_numpy(image.astype(np.float32) / 255.0)[None, None] for image in (fixed, moving)]
    theta = torch.eye(2, 3)[None].clone().requires_grad_(True)
    for level in reversed(range(LEVELS)):
        a, b = (nnf.avg_pool2d(image, 2**level) if level else image for image in images)
        optimiser = torch.optim.Adam([theta], lr=LEARNING_RATE * 2.0 ** (level - LEVELS + 1))
        for _ in range(STEPS // LEVELS):
            optimiser.zero_grad()
            grid = nnf.affine_grid(theta, list(a.shape), align_corners=False)
            warped = nnf.grid_sample(b, grid, align_corners=False)
            p, q = a - a.mean(), warped - warped.mean()
            loss = 1.0 - (p * q).mean() / (p.square().mean() * q.square().mean() + 1e-12).sqrt()
            loss.backward()
            optimiser.step()
    return _to_pixels(theta.detach().double().numpy()[0], fixed.shape)


def _to_pixels(theta: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Convert from torch's unit coordinates (x, y) to pixel coordinates (y, x)."""
    half = np.array(shape[-2:]) / 2.0
    linear = theta[::-1, 1::-1] * half[:, None] / half[None, :]
    centre = half - 0.5
    return np.concatenate([linear, (theta[::-1, 2] * half + centre - linear @ centre)[:, None]], axis=1)
