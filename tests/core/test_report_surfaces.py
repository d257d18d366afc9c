"""Pictures of label surfaces."""

import base64
import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spherovem_core.blocks import block_grid
from spherovem_core.execution import Execution
from spherovem_core.report.surfaces import Body, Triangles, balls, draw, label_surface, surface_of
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, cube_shards, finish_multiscale, open_array
from spherovem_core.store.layout import labels_group

SPACING_NM = (50.0, 10.0, 20.0)


def volume(triangles: Triangles) -> float:
    """Compute the enclosed volume, positive where the triangles face outwards."""
    return float(np.einsum("ni,ni->n", triangles[:, 0], np.cross(triangles[:, 1], triangles[:, 2])).sum() / 6)


def ellipsoid(shape: tuple[int, int, int], radii: tuple[float, float, float]) -> np.ndarray:
    places = np.meshgrid(
        *((np.arange(n) - (n - 1) / 2) / r for n, r in zip(shape, radii, strict=True)), indexing="ij"
    )
    return sum(p**2 for p in places) < 1


def test_a_surface_has_the_right_size_and_place_and_faces_outwards() -> None:
    spacing = np.array(SPACING_NM) / 1000
    labels = ellipsoid((24, 90, 60), (8.0, 36.0, 20.0)).astype(np.uint32)
    triangles = surface_of(labels, spacing, np.array([1.0, 2.0, 3.0]))
    # Smoothing by a voxel and facets together cost less than 5 % of the volume.
    assert volume(triangles) == pytest.approx(4 / 3 * np.pi * 0.4 * 0.36 * 0.4, rel=0.05)
    low, high = triangles.reshape(-1, 3).min(axis=0), triangles.reshape(-1, 3).max(axis=0)
    centre = np.array([3 + 29.5 * 0.02, 2 + 44.5 * 0.01, -(1 + 11.5 * 0.05)])
    np.testing.assert_allclose((low + high) / 2, centre, atol=0.01)
    np.testing.assert_allclose((high - low) / 2, [0.4, 0.36, 0.4], atol=0.03)
    assert surface_of(np.zeros((4, 4, 4)), spacing, spacing).shape == (0, 3, 3)


def test_balls_face_outwards() -> None:
    triangles = balls(np.array([[1.0, 2.0, 3.0]]), np.array([0.5]))
    assert triangles.reshape(-1, 3).mean(axis=0).tolist() == pytest.approx([3, 2, -1])
    assert volume(triangles - np.array([3, 2, -1])) == pytest.approx(4 / 3 * 0.5**3)


def test_a_label_is_read_at_a_level_that_fits_its_size(tmp_path: Path) -> None:
    shape = (20, 200, 260)
    labels = np.full(shape, 2, np.uint32)
    body = ellipsoid((16, 120, 160), (7.5, 58.0, 78.0))
    labels[2:18, 40:160, 50:210][body] = 7
    layout = Layout(tmp_path)
    chunks, shards = cube_shards(shape)
    spec = ArraySpec(labels_group("cells"), "label", shape, np.dtype(np.uint32), chunks, shards, SPACING_NM)
    writer = ArrayWriter(layout, spec, "d")
    for block in block_grid(shape, shards):
        writer.write(block, labels[block.core])
    finish_multiscale(writer, Execution())
    inside = np.argwhere(labels == 7)
    box = {f"bbox_{axis}0": int(inside[:, n].min()) for n, axis in enumerate("zyx")}
    box |= {f"bbox_{axis}1": int(inside[:, n].max()) + 1 for n, axis in enumerate("zyx")}
    triangles = label_surface(partial(open_array, layout), labels_group("cells"), 7, box)
    assert 500 < len(triangles) < 12_000
    ends = triangles.reshape(-1, 3).min(axis=0), triangles.reshape(-1, 3).max(axis=0)
    low, high = (np.array([box[f"bbox_{axis}{end}"] for axis in "zyx"]) * SPACING_NM / 1000 for end in (0, 1))
    # Within a voxel of that level, which is 100 x 80 x 80 nm.
    np.testing.assert_allclose(ends[0], [low[2], low[1], -high[0]], atol=0.1)
    np.testing.assert_allclose(ends[1], [high[2], high[1], -low[0]], atol=0.1)


def test_a_drawing_has_no_empty_margin_and_a_transparent_ground() -> None:
    labels = ellipsoid((12, 40, 40), (5.0, 18.0, 18.0))
    drawing = draw([Body(surface_of(labels, np.ones(3), np.zeros(3)), "#e3b45a")], 120)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(drawing.uri.partition(",")[2]))))
    assert picture.shape == (drawing.height, drawing.width, 4)
    opaque = picture[..., 3] > 128
    assert opaque.any(axis=0)[[1, -2]].all()
    assert opaque.any(axis=1)[[1, -2]].all()
    assert 0.4 < opaque.mean() < 0.95
    # Lit from above: the upper half is brighter than the lower.
    grey = np.where(opaque, picture[..., :3].mean(axis=2), np.nan)
    half = drawing.height // 2
    assert np.nanmean(grey[:half]) > np.nanmean(grey[half:]) + 10


def test_a_drawing_of_nothing_is_an_image() -> None:
    assert draw([], 60).uri.startswith("data:image/webp")
