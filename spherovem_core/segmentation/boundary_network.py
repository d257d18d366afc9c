"""Small 3D U-Net that tells where a volume's objects end, along each axis.

This module imports torch at its top; others import it only when a network is trained or used.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (24, 48, 96)
"""Channels at a half, a quarter and an eighth of the resolution."""
REACHES = (1, 4)
"""Voxels on both sides of a voxel that are compared: whether they belong to different objects is what is learned."""
MULTIPLE = 8
"""Sides of an input are multiples of this."""


class Block(nn.Module):  # type: ignore[misc]
    """Two 3 x 3 x 3 convolutions with batch normalisation and a residual path."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv3d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm3d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv3d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm3d(outputs),
        )
        self.shortcut = nn.Conv3d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, Z, Y, X) to (N, outputs, Z, Y, X)."""
        return functional.relu(self.path(x) + self.shortcut(x))


class BoundaryNetwork(nn.Module):  # type: ignore[misc]
    """3D U-Net of 0.66 million parameters that starts at half the resolution and ends with a refinement at the full one.

    It predicts affinities (Turaga et al. 2010, "Convolutional networks can learn to generate affinity graphs for image
    segmentation", Neural Comput. 22), also over a longer distance, which makes the short ones better (Lee et al. 2017,
    "Superhuman accuracy on the SNEMI3D connectomics challenge", arXiv 1706.00120), and learns them from single labelled
    slices (Çiçek et al. 2016, "3D U-Net", MICCAI). A slice tells nothing about the axis across it.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            Block(inputs, width) for inputs, width in zip((MULTIPLE, *widths[:-1]), widths, strict=True)
        )
        self.lateral = nn.ModuleList(
            nn.Conv3d(deep, width, 1) for deep, width in zip(widths[1:], widths[:-1], strict=True)
        )
        self.up = nn.ModuleList(Block(width, width) for width in widths[:-1])
        self.expand = nn.Conv3d(widths[0], 8 * 8, 1)
        self.refine = nn.Sequential(nn.Conv3d(9, 12, 3, padding=1), nn.ReLU(inplace=True))
        self.head = nn.Conv3d(12, 3 * len(REACHES), 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Predict boundaries.

        Parameters
        ----------
        image : (N, 1, Z, Y, X)
            Intensities, 0 and 1 at black and white; the sides are multiples of 8.

        Returns
        -------
        (N, 6, Z, Y, X)
            Logits that the voxels 1 before and after this one along z, y, x belong to different objects, then those 4 away.
        """
        features = _to_channels(image)
        skips = []
        for level, block in enumerate(self.down):
            features = block(functional.max_pool3d(features, 2) if level else features)
            skips.append(features)
        for level in range(len(self.up) - 1, -1, -1):
            raised = functional.interpolate(self.lateral[level](features), scale_factor=2.0, mode="nearest")
            features = self.up[level](raised + skips[level])
        return self.head(self.refine(torch.cat([_to_voxels(self.expand(features)), image], dim=1)))


def _to_channels(x: Tensor) -> Tensor:
    """Turn each 2 x 2 x 2 voxels into channels of one, as `pixel_unshuffle` does in 2D."""
    n, c, z, y, k = x.shape
    parts = x.view(n, c, z // 2, 2, y // 2, 2, k // 2, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return parts.reshape(n, 8 * c, z // 2, y // 2, k // 2)


def _to_voxels(x: Tensor) -> Tensor:
    """Turn each eight channels into 2 x 2 x 2 voxels, as `pixel_shuffle` does in 2D."""
    n, c, z, y, k = x.shape
    parts = x.view(n, c // 8, 2, 2, 2, z, y, k).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return parts.reshape(n, c // 8, 2 * z, 2 * y, 2 * k)
