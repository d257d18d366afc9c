"""Compact network shipped with the package: a small U-Net with Cellpose's forward contract, trained on phantoms.

This module imports torch at its top; `networks` imports it only when a network is loaded.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (24, 40, 64, 96)
"""Channels at a half, a quarter, an eighth and a sixteenth of the resolution, of the shipped networks."""
WIDE_WIDTHS = (48, 80, 128, 192)
"""Of a network that is fine-tuned with more capacity."""


class ConvBlock(nn.Module):  # type: ignore[misc]
    """Two 3 x 3 convolutions with batch normalisation and a residual path."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, Y, X) to (N, outputs, Y, X)."""
        return functional.relu(self.path(x) + self.shortcut(x))


class CompactNetwork(nn.Module):  # type: ignore[misc]
    """U-Net of 0.53 million parameters (2.1 million with `WIDE_WIDTHS`) that maps an image to flows and a probability logit.

    It starts at half the resolution (the four pixels of a 2 x 2 square become channels) and ends with a
    refinement at full resolution that takes the image again, which costs a quarter of a plain U-Net and keeps
    one-pixel membranes. With batch normalisation a pixel's result depends on at most 142 pixels around it, in effect 90,
    and not on the whole tile, so blocked and whole runs agree.

    Parameters
    ----------
    outputs
        Maps of the head: (dy, dx, logit) for one kind of object; training uses several kinds at once.
    widths
        Channels at a half, a quarter, an eighth and a sixteenth of the resolution.
    """

    tile_multiple = 16
    """Tiles may have any side that is a multiple of this; Cellpose-SAM needs 256."""

    def __init__(self, outputs: int = 3, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        # cellpose.train stores them in every network; the forward pass ignores them, as in Cellpose-SAM.
        self.diam_labels = nn.Parameter(torch.tensor([30.0]), requires_grad=False)
        self.diam_mean = nn.Parameter(torch.tensor([30.0]), requires_grad=False)
        self.down = nn.ModuleList(
            ConvBlock(inputs, width) for inputs, width in zip((4, *widths[:-1]), widths, strict=True)
        )
        self.bottom = ConvBlock(widths[-1], widths[-1])
        self.lateral = nn.ModuleList(
            nn.Conv2d(deep, width, 1) for deep, width in zip(widths[1:], widths[:-1], strict=True)
        )
        self.up = nn.ModuleList(ConvBlock(width, width) for width in widths[:-1])
        self.expand = nn.Conv2d(widths[0], 4 * 8, 1)
        self.refine = nn.Sequential(nn.Conv2d(9, 16, 3, padding=1), nn.ReLU(inplace=True))
        self.head = nn.Conv2d(16, outputs, 3, padding=1)

    @property
    def device(self) -> torch.device:
        """Device of the weights; `cellpose.core` reads it."""
        return self.head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights; `cellpose.core` reads it."""
        return self.head.weight.dtype

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Predict flows and logit.

        Parameters
        ----------
        x : (N, channels, Y, X)
            Normalised intensities in the first channel, the others are ignored; Y and X are multiples of 16.

        Returns
        -------
        (N, outputs, Y, X), (N, 256)
            Flows (dy, dx) of length 5 with the logit, and a style of zeros, which Cellpose 4 no longer uses.
        """
        image = x[:, :1]
        features = functional.pixel_unshuffle(image, 2)
        skips = []
        for level, block in enumerate(self.down):
            features = block(functional.max_pool2d(features, 2) if level else features)
            skips.append(features)
        features = self.bottom(features)
        for level in range(len(self.up) - 1, -1, -1):
            raised = functional.interpolate(self.lateral[level](features), scale_factor=2.0, mode="nearest")
            features = self.up[level](raised + skips[level])
        fine = functional.pixel_shuffle(self.expand(features), 2)
        maps = self.head(self.refine(torch.cat([fine, image], dim=1)))
        return maps, torch.zeros((len(x), 256), device=x.device, dtype=x.dtype)

    def save_model(self, filename: str | Path) -> None:
        """Write the weights; `cellpose.train` calls it by this name."""
        torch.save(self.state_dict(), filename)


def widths_of(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Return the widths of the network whose weights these are."""
    return tuple(len(state[f"down.{level}.path.0.weight"]) for level in range(len(WIDTHS)))


def widened(narrow: CompactNetwork, widths: Sequence[int], seed: int = 0) -> CompactNetwork:
    """Return a wider network that computes what the narrow one does (Chen et al. 2016, "Net2Net", ICLR).

    New channels have random weights, and weights of zero towards the old ones, until training changes them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wide = CompactNetwork(len(narrow.head.weight), widths)
    state = wide.state_dict()
    for name, old in narrow.state_dict().items():
        kept = tuple(slice(0, n) for n in old.shape)
        if old.ndim > 1:
            state[name][kept[0]] = 0
        state[name][kept] = old
    wide.load_state_dict(state)
    return wide
