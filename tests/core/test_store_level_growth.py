"""Coarser levels that grow while slices are written: the bytes of levels that are built afterwards."""

from pathlib import Path

import numpy as np
import pytest
from store_samples import make_spec

from spherovem_core.blocks import Block, slab_grid
from spherovem_core.execution import Execution
from spherovem_core.store import ArrayWriter, Layout, finish_multiscale, grow_levels
from spherovem_core.store import level_growth as growth
from spherovem_core.store.block_means import block_means, is_exact
from spherovem_core.store.pyramid import downsample

STEPS = ((1, 2, 2), (2, 2, 2), (2, 1, 1), (1, 1, 2), (2, 1, 2), (1, 2, 1), (1, 4, 4), (4, 4, 4), (2, 4, 4))
SHAPE = (75, 301, 270)


def image(dtype: type = np.uint8, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("shape", [(5, 33, 64), (6, 32, 31), (1, 2, 2), (3, 1, 1)])
def test_means_are_rounded_means_with_the_border_repeated(
    dtype: type, step: tuple[int, int, int], shape: tuple[int, int, int]
) -> None:
    values = image(dtype, shape)
    padded = np.pad(values, [(0, -n % f) for n, f in zip(shape, step, strict=True)], mode="edge")
    parts = [side for n, f in zip(padded.shape, step, strict=True) for side in (n // f, f)]
    expected = np.rint(padded.reshape(parts).mean(axis=(1, 3, 5)))
    assert is_exact(values.dtype, step)
    np.testing.assert_array_equal(block_means(values, step), expected)
    np.testing.assert_array_equal(downsample(values, step, "image"), expected)


def start(
    folder: Path, spacing: tuple[float, float, float], dtype: type = np.uint8, *, is_sparse: bool = False
) -> ArrayWriter:
    spec = make_spec(shape=SHAPE, spacing_nm=spacing, dtype=np.dtype(dtype), is_sparse=is_sparse)
    return ArrayWriter(Layout(folder), spec, "d")


def files(folder: Path) -> dict[str, bytes]:
    found = folder.rglob("volume.zarr/raw/*/c/**/*")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if path.is_file()}


def write(writer: ArrayWriter, values: np.ndarray, order: list[int] | None = None) -> None:
    blocks = slab_grid(values.shape, 1)
    for z in range(len(blocks)) if order is None else order:
        writer.write(blocks[z], values[blocks[z].core])


@pytest.fixture
def levels_read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the columns of blocks that were computed from a finer level on disk."""
    from spherovem_core.store import pyramid

    shapes: list[tuple[int, ...]] = []
    reduce = pyramid._reduce_column

    def note(column: list[Block], source: object, *arguments: object) -> list[np.ndarray]:
        found: list[np.ndarray] = reduce(column, source, *arguments)  # type: ignore[arg-type]
        shapes.extend(values.shape for values in found)
        return found

    monkeypatch.setattr(pyramid, "_reduce_column", note)
    return shapes


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("spacing", [(50.0, 10.0, 10.0), (10.0, 10.0, 10.0), (20.0, 10.0, 10.0)])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_grown_levels_are_those_built_afterwards(
    tmp_path: Path,
    spacing: tuple[float, float, float],
    dtype: type,
    is_sparse: bool,
    levels_read: list[tuple[int, ...]],
) -> None:
    values = image(dtype)
    after = start(tmp_path / "after", spacing, dtype, is_sparse=is_sparse)
    grown = start(tmp_path / "grown", spacing, dtype, is_sparse=is_sparse)
    write(after, values)
    finish_multiscale(after, Execution())
    assert levels_read
    levels_read.clear()
    grow_levels(grown)
    write(grown, values)
    finish_multiscale(grown, Execution())
    assert levels_read == []
    assert files(tmp_path / "grown") == files(tmp_path / "after")


@pytest.mark.parametrize("spacing", [(50.0, 10.0, 10.0), (10.0, 10.0, 10.0)])
@pytest.mark.parametrize(
    "case", ["shuffled", "killed", "written twice", "too large", "half from another run"]
)
def test_what_cannot_grow_is_built_afterwards(
    tmp_path: Path, spacing: tuple[float, float, float], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, rng = image(), np.random.default_rng(2)
    after = start(tmp_path / "after", spacing)
    write(after, values)
    finish_multiscale(after, Execution())
    grown = start(tmp_path / "grown", spacing)
    if case == "too large":
        monkeypatch.setattr(growth, "MOST_BYTES", 1000)
    grow_levels(grown)
    every = list(range(len(values)))
    if case == "shuffled":
        write(grown, values, rng.permutation(every).tolist())
    elif case == "written twice":
        wrong = slab_grid(values.shape, 1)[3]
        write(grown, values, every[:2])
        grown.write(wrong, 255 - values[wrong.core])
        write(grown, values, every[2:])
        wrong = slab_grid(values.shape, 1)[40]
        grown.write(wrong, 255 - values[wrong.core])
        write(grown, values, [40])
    elif case in ("killed", "half from another run"):
        write(grown, values, every[:50])
        grown = start(tmp_path / "grown", spacing)
        if case == "killed":
            grow_levels(grown)
        write(grown, values, every[50:])
    else:
        write(grown, values)
    finish_multiscale(grown, Execution())
    assert files(tmp_path / "grown") == files(tmp_path / "after")


def test_labels_and_fields_do_not_grow(tmp_path: Path) -> None:
    for content, dtype in (("label", "uint32"), ("field", "float32"), ("image", "float32")):
        spec = make_spec(shape=SHAPE, content=content, dtype=np.dtype(dtype))
        writer = ArrayWriter(Layout(tmp_path / content / dtype), spec, "d")
        grow_levels(writer)
        assert writer.grown is None
