"""Pictures of results: grey values, label colours, size limit."""

import imagecodecs
import numpy as np
import pytest

from spherovem_core.blocks import slab_grid
from spherovem_core.references import ArtifactRef
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, slice_shards
from tasks import pictures
from tasks.pictures import LARGEST_SIDE, coloured, grey, show_middle_slice, thin


def test_grey_values_span_0_to_255() -> None:
    values = np.linspace(100, 60000, 200 * 100).reshape(200, 100).astype(np.uint16)
    shown = grey(values)
    assert shown.dtype == np.uint8
    assert (shown[0, 0], shown[-1, -1]) == (0, 255)
    assert (np.diff(shown.ravel().astype(int)) >= 0).all()
    assert (grey(np.full((8, 8), 7, np.uint8)) == 0).all()


def test_labels_get_distinct_colours_and_background_is_black() -> None:
    labels = np.arange(400, dtype=np.uint32).reshape(20, 20)
    colours = coloured(labels).reshape(-1, 3)
    assert (colours[0] == 0).all()
    assert (colours[1:] >= 96).all()
    assert len(np.unique(colours[1:], axis=0)) > 380


def test_no_side_is_longer_than_the_limit() -> None:
    assert thin(np.zeros((LARGEST_SIDE, 9))).shape == (LARGEST_SIDE, 9)
    assert max(thin(np.zeros((LARGEST_SIDE + 1, 9))).shape) <= LARGEST_SIDE


def test_the_middle_slice_is_shown_and_a_missing_array_is_left_out(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (5, 40, 30)
    values = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    writer = ArrayWriter(
        Layout(tmp_path),
        ArraySpec("raw", "image", shape, values.dtype, *slice_shards(shape), (50, 10, 10)),
        "d",
    )
    for block in slab_grid(shape, 1):
        writer.write(block, values[block.core])
    reference = writer.commit(level_factors=[[1, 1, 1]])
    shown: list[bytes] = []
    monkeypatch.setattr(pictures, "show_picture", lambda key, png, description: shown.append(png))
    show_middle_slice("key", reference, Layout(tmp_path), "raw")
    np.testing.assert_array_equal(imagecodecs.png_decode(shown[0]), grey(values[2]))
    absent = ArtifactRef.model_validate({**reference.model_dump(), "path": "volume.zarr/absent/0"})
    show_middle_slice("key", absent, Layout(tmp_path), "nothing")
    assert len(shown) == 1
