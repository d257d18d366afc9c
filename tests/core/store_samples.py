"""Small arrays for the tests of the store."""

import numpy as np

from spherovem_core.blocks import slab_grid
from spherovem_core.store import ArraySpec, ArrayWriter, slice_shards

SHAPE = (6, 200, 300)
SPACING = (50.0, 10.0, 10.0)


def make_spec(group: str = "raw", shape: tuple[int, int, int] = SHAPE, **changes: object) -> ArraySpec:
    """Specify an image of uint8 that is stored by slices; `changes` replace fields."""
    chunks, shards = slice_shards(shape)
    values: dict[str, object] = {
        "group": group,
        "content": "image",
        "shape": shape,
        "dtype": np.dtype(np.uint8),
        "chunks": chunks,
        "shards": shards,
        "spacing_nm": SPACING,
    }
    return ArraySpec(**{**values, **changes})  # type: ignore[arg-type]


def write_all(writer: ArrayWriter, values: np.ndarray) -> None:
    """Write all slices that are not yet written."""
    for block in writer.pending(slab_grid(values.shape, 1)):
        writer.write(block, values[block.core])


def random_image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, SHAPE, dtype=np.uint8)
