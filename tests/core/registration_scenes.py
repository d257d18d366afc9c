"""Stacks of EM-like slices with known maps for the registration tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import slab_grid
from spherovem_core.registration.affine import compose, invert, rotation_matrix, shift_matrix, slice_centre
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, slice_shards
from spherovem_core.store.layout import DENOISED
from spherovem_core.synthetic.slice_pairs import Appearance, TextureScene


@dataclass(frozen=True)
class Stack:
    """Slices as acquired, and their maps of ideal to slice coordinates."""

    slices: NDArray[np.uint8]
    truth: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int]:
        return self.slices.shape[1], self.slices.shape[2]


def make_stack(
    count: int = 12,
    shape: tuple[int, int] = (160, 192),
    lean_px: tuple[float, float] = (0.0, 0.0),
    shift_px: float = 3.0,
    seed: int = 0,
    noise: float = 8.0,
) -> Stack:
    """Show one texture in every slice, moved by jitter, and by `lean_px` more with every slice."""
    rng = np.random.default_rng(seed)
    scene = TextureScene((256, 288), seed)
    truth, slices = [], []
    for z in range(count):
        linear = np.eye(2) + rng.normal(0.0, 0.002, (2, 2))
        centre = slice_centre(shape)
        about = np.concatenate([linear, (centre - linear @ centre)[:, None]], axis=1)
        moved = compose(shift_matrix(*rng.normal(0.0, shift_px, 2)), about)
        matrix = compose(rotation_matrix(float(rng.normal(0.0, 0.2)), shape), moved)
        lean = shift_matrix(*((z - count // 2) * np.asarray(lean_px)))
        shown = compose(invert(lean), invert(matrix))
        slices.append(scene.sample(shown, shape, Appearance(change=0.0, noise=noise), seed=1000 * seed + z))
        truth.append(matrix)
    return Stack(np.stack(slices), np.stack(truth))


def store_slices(folder: Path, slices: NDArray[Any], spacing_nm: SpacingNm = (50.0, 10.0, 12.0)) -> None:
    """Store slices as the denoised image of an acquisition."""
    spec = ArraySpec(DENOISED, "image", slices.shape, slices.dtype, *slice_shards(slices.shape), spacing_nm)
    writer = ArrayWriter(Layout(folder), spec, "source")
    for block in slab_grid(slices.shape, 1):
        writer.write(block, slices[block.core])
    writer.commit()


class RecordingSource:
    """Array that records the size of its largest read."""

    def __init__(self, slices: NDArray[Any]) -> None:
        self._slices = slices
        self.shape, self.dtype = slices.shape, slices.dtype
        self.largest_read = 0

    def __getitem__(self, region: Any) -> Any:
        values = self._slices[region]
        self.largest_read = max(self.largest_read, values.size)
        return values.copy()
