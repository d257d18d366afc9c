"""Regions read straight from shards: the same as zarr reads them, for every form of array and index."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from spherovem_core.blocks import block_grid
from spherovem_core.store import ArraySpec, ArrayWriter, Layout
from spherovem_core.store import shard_reading as reading

SPACING = (50.0, 10.0, 10.0)
SHARDS = {
    # type, shape, chunks, shards
    "labels": ("uint32", (37, 50, 61), (8, 16, 16), (16, 32, 32)),
    "image": ("uint8", (5, 70, 90), (1, 32, 64), (1, 96, 128)),
    "deep image": ("uint16", (5, 70, 90), (1, 32, 64), (1, 96, 128)),
    "distances": ("float32", (20, 33, 40), (16, 16, 16), (16, 16, 16)),
    "flows": ("float16", (4, 20, 33, 40), (4, 8, 16, 16), (4, 16, 32, 32)),
}


def written(folder: Path, form: str) -> tuple[ArrayWriter, NDArray[Any]]:
    dtype, shape, chunks, shards = SHARDS[form]
    rng = np.random.default_rng(0)
    values: NDArray[Any] = rng.integers(0, 60, shape).astype(dtype)
    spec = ArraySpec("a", "field", shape, np.dtype(dtype), chunks, shards, SPACING)
    writer = ArrayWriter(Layout(folder), spec, "digest")
    for block in block_grid(shape, shards):
        writer.write(block, values[block.core])
    return writer, values


def random_index(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Any, ...]:
    places: list[Any] = []
    for extent in shape[: rng.integers(1, len(shape) + 1)]:
        start, stop = sorted(rng.integers(0, extent + 1, 2).tolist())
        choices = (slice(start, stop), slice(None), slice(start, None), slice(-3, None), start - extent)
        place: Any = choices[rng.integers(len(choices))]
        places.append(extent - 1 if place == 0 and not isinstance(place, slice) else place)
    return tuple(places)


@pytest.mark.parametrize("form", SHARDS)
def test_region_is_what_zarr_reads(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, values = written(tmp_path, form)
    rng = np.random.default_rng(1)
    for index in [random_index(values.shape, rng) for _ in range(60)]:
        found, expected = reading.read_region(writer.array, index), np.asarray(writer.array[index])
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), index
        np.testing.assert_array_equal(found, values[index], str(index))
    # Not by zarr: the file alone is read.
    monkeypatch.setattr(zarr.Array, "__getitem__", None)
    np.testing.assert_array_equal(reading.read_region(writer.array, slice(None)), values)


@pytest.mark.parametrize(
    "index", [(slice(0, 30, 2),), (Ellipsis, 3), ([1, 2, 5],), (slice(9, 4), 3), (np.array([0, 7]), 1, 2)]
)
def test_other_indices_are_left_to_zarr(tmp_path: Path, index: Any) -> None:
    writer, _ = written(tmp_path, "labels")
    np.testing.assert_array_equal(reading.read_region(writer.array, index), writer.array[index])
    for wrong in ((40, 0, 0), (0, 0, 0, 0)):
        with pytest.raises(IndexError):
            reading.read_region(writer.array, wrong)


def test_chunks_and_files_that_zarr_leaves_out_hold_the_fill_value(tmp_path: Path) -> None:
    writer, values = written(tmp_path, "labels")
    # zarr writes shards of its own: a chunk of zeros is left out, and a file of zeros is deleted.
    writer.array[:8, :16, :16] = values[:8, :16, :16] = 0
    writer.array[16:32, 32:, 32:] = values[16:32, 32:, 32:] = 0
    writer.array[20, 3, 5] = values[20, 3, 5] = 77
    assert not (tmp_path / "volume.zarr/a/0/c/1/1/1").exists()
    np.testing.assert_array_equal(reading.read_region(writer.array, (slice(None),) * 3), values)


def test_arrays_of_other_forms_are_left_to_zarr(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 9, (20, 20, 20)).astype(np.uint32)
    forms: dict[str, dict[str, Any]] = {
        "plain": {"chunks": (8, 8, 8)},
        "gzip": {"chunks": (8, 8, 8), "shards": (16, 16, 16), "compressors": zarr.codecs.GzipCodec()},
        "raw": {"chunks": (8, 8, 8), "shards": (16, 16, 16), "compressors": None},
        "transposed": {
            "chunks": (8, 8, 8),
            "shards": (16, 16, 16),
            "filters": zarr.codecs.TransposeCodec(order=(2, 1, 0)),
        },
        "big endian": {
            "chunks": (8, 8, 8),
            "shards": (16, 16, 16),
            "serializer": zarr.codecs.BytesCodec(endian="big"),
        },
    }
    for name, form in forms.items():
        array = zarr.create_array(tmp_path / name, shape=values.shape, dtype="uint32", zarr_format=3, **form)
        array[:] = values
        np.testing.assert_array_equal(
            reading.read_region(array, (slice(3, 20), slice(None), 4)), values[3:, :, 4]
        )
    memory = zarr.create_array({}, shape=(9,), chunks=(3,), shards=(9,), dtype="uint32")
    memory[:] = values[0, 0, :9]
    np.testing.assert_array_equal(reading.read_region(memory, slice(2, 8)), values[0, 0, 2:8])


@pytest.mark.parametrize("damage", ["cut off", "index", "chunk", "shorter chunk"])
def test_damaged_file_gives_the_error_of_zarr(tmp_path: Path, damage: str) -> None:
    writer, values = written(tmp_path, "labels")
    path = tmp_path / "volume.zarr/a/0/c/0/0/0"
    content = bytearray(path.read_bytes())
    if damage == "index":
        content[-10] ^= 1
    elif damage == "chunk":
        content[:40] = bytes(40)
    elif damage == "shorter chunk":
        small = reading.imagecodecs.zstd_encode(np.zeros(5, np.uint32).view(np.uint8))
        content[: len(small)] = small
    path.write_bytes(bytes(content[: len(content) // 2 if damage == "cut off" else None]))
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whatever zarr raises
        writer.array[:16, :32, :32]
    with pytest.raises(type(expected.value)):
        reading.read_region(writer.array, (slice(0, 16), slice(0, 32), slice(0, 32)))
    np.testing.assert_array_equal(
        reading.read_region(writer.array, (slice(16, 32), slice(0, 32), slice(0, 32))),
        values[16:32, :32, :32],
    )
