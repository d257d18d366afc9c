"""Pyramids: levels, their values and their OME metadata."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import yaozarrs
import zarr
from hypothesis import given
from hypothesis import strategies as st
from store_samples import SPACING, make_spec, random_image, write_all

from spherovem_core.blocks import block_grid
from spherovem_core.execution import Execution
from spherovem_core.store import (
    ArrayWriter,
    Layout,
    cube_shards,
    downsample,
    finish_multiscale,
    level_factors,
    level_shape,
    nearest_level,
    open_array,
)
from spherovem_core.store.codecs import Codec
from spherovem_core.store.pyramid import build_levels, levels_of


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "acquisition")


@pytest.fixture
def image() -> np.ndarray:
    return random_image()


def test_the_metadata_are_valid_and_agree_with_the_levels(layout: Layout, image: np.ndarray) -> None:
    writer = ArrayWriter(layout, make_spec(), "d")
    write_all(writer, image)
    finish_multiscale(writer, Execution())
    yaozarrs.validate_zarr_store(str(layout.volume / "raw"))
    ome = zarr.open_group(layout.volume / "raw", mode="r").attrs["ome"]
    scale = ome["multiscales"][0]
    assert [axis["unit"] for axis in scale["axes"]] == ["nanometer"] * 3
    assert len(scale["datasets"]) == 3
    for level, dataset in enumerate(scale["datasets"]):
        stored = open_array(layout, "raw", level, digest="d")
        assert dataset["coordinateTransformations"][0]["scale"] == list(stored.spacing_nm)
        assert dataset["coordinateTransformations"][1]["translation"] == list(stored.origin_nm)


def test_a_centroid_in_nm_is_the_same_at_every_level(layout: Layout) -> None:
    shape = (8, 256, 512)
    image = np.zeros(shape, np.uint8)
    image[:, 64:128, 320:448] = 200  # edges on multiples of every level's factor, so that each level is exact
    writer = ArrayWriter(layout, make_spec(shape=shape), "d")
    write_all(writer, image)
    finish_multiscale(writer, Execution())
    centroids = []
    for level in range(3):
        stored = open_array(layout, "raw", level)
        weight = stored[:].astype(float)
        index = [np.average(axis, weights=weight) for axis in np.indices(stored.shape)]
        centroids.append(np.array(index) * stored.spacing_nm + stored.origin_nm)
    expected = np.array([3.5 * 50, 95.5 * 10, 383.5 * 10])
    assert np.abs(np.array(centroids) - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ((50.0, 10.0, 10.0), [(1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 8, 8), (4, 16, 16), (8, 32, 32)]),
        ((10.0, 10.0, 10.0), [(1, 1, 1), (2, 2, 2), (4, 4, 4), (8, 8, 8), (16, 16, 16), (32, 32, 32)]),
    ],
)
def test_levels_become_isotropic(
    spacing: tuple[float, float, float], expected: list[tuple[int, int, int]]
) -> None:
    assert level_factors((1000, 4096, 4096), spacing) == expected


def test_the_nearest_level_is_chosen_by_ratio() -> None:
    factors = level_factors((1000, 4096, 4096), SPACING)
    assert [nearest_level(factors, SPACING, target) for target in (5, 10, 50, 60, 100, 1e6)] == [
        0,
        0,
        2,
        3,
        3,
        5,
    ]


def test_a_sparse_pyramid_leaves_out_the_first_coarser_level(layout: Layout, image: np.ndarray) -> None:
    usual = level_factors(image.shape, SPACING)
    assert levels_of(make_spec(is_sparse=True)) == [usual[0], *usual[2:]]
    assert levels_of(make_spec(shape=(6, 200, 200), is_sparse=True)) == [(1, 1, 1), (1, 2, 2)]
    writer = ArrayWriter(layout, make_spec(is_sparse=True), "d")
    write_all(writer, image)
    # A level that a killed run of a version with more levels began.
    ArrayWriter(layout, make_spec(), "d", level=2)
    finish_multiscale(writer, Execution())
    yaozarrs.validate_zarr_store(str(layout.volume / "raw"))
    assert sorted(each.name for each in (layout.volume / "raw").iterdir()) == ["0", "1", "zarr.json"]
    coarse = open_array(layout, "raw", 1)
    assert coarse.spacing_nm == (50.0, 40.0, 40.0)
    np.testing.assert_array_equal(coarse[:], downsample(image, (1, 4, 4), "image"))


@pytest.mark.parametrize(
    ("content", "dtype", "name"),
    [
        ("image", "uint8", "zstd-1"),
        ("image", "uint16", "shuffle-zstd-1"),
        ("field", "float16", "shuffle-zstd-1"),
        ("label", "uint32", "shuffle-zstd-5"),
        ("field", "float32", "shuffle-zstd-5"),
    ],
)
def test_each_codec_is_read_by_zarr_and_known_by_name(
    layout: Layout, content: str, dtype: str, name: str
) -> None:
    values = (np.random.default_rng(3).integers(0, 40, (6, 200, 300)) * 37).astype(dtype)
    writer = ArrayWriter(layout, make_spec(content=content, dtype=np.dtype(dtype)), "d")
    write_all(writer, values)
    writer.commit()
    np.testing.assert_array_equal(zarr.open_array(layout.volume / "raw" / "0", mode="r")[:], values)
    assert writer.spec.identity["codec"] == name
    assert Codec.of_name(name) == writer.spec.codec


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(ValueError, match="expected zstd-LEVEL"):
        Codec.of_name("gzip-3")


def test_values_and_their_means_are_rounded_to_the_resolution(layout: Layout) -> None:
    values = np.random.default_rng(4).random((6, 200, 300)).astype(np.float32)
    values[:, :50] = np.nan
    spec = make_spec(content="field", dtype=values.dtype, resolution=2.0**-6)
    writer = ArrayWriter(layout, spec, "d")
    write_all(writer, values)
    finish_multiscale(writer, Execution())
    for level in range(2):
        found, step = open_array(layout, "raw", level)[:], np.float32(2.0**-6)
        expected = values if level == 0 else downsample(open_array(layout, "raw")[:], (1, 2, 2), "field")
        np.testing.assert_array_equal(found, np.round(expected / step) * step)


def test_chunks_of_the_finer_level_are_decoded_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 64 voxels along z serve two blocks of 32 where the first level keeps the slices."""
    shape = (96, 140, 150)
    values = np.random.default_rng(0).random(shape).astype(np.float32)
    values[values < 0.2] = np.nan
    chunks, shards = cube_shards(shape)
    spec = make_spec(
        "map",
        shape,
        content="field",
        dtype=values.dtype,
        chunks=chunks,
        shards=shards,
        spacing_nm=(40, 10, 10),
    )
    writer = ArrayWriter(layout, spec, "digest")
    for block in block_grid(shape, shards):
        writer.write(block, values[block.core])
    decoded = 0
    decode = imagecodecs.blosc_decode

    def counting(*args: object, **options: object) -> object:
        nonlocal decoded
        decoded += 1
        return decode(*args, **options)

    monkeypatch.setattr(imagecodecs, "blosc_decode", counting)
    factors = [(1, 1, 1), (1, 2, 2)]
    build_levels(layout, spec, "digest", writer.array, factors, Execution())
    assert decoded == 2 * 3 * 3
    coarse = open_array(layout, "map", 1)[:]
    np.testing.assert_array_equal(coarse, downsample(values, (1, 2, 2), "field"))


@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.integers(1, 3)] * 3),
    st.sampled_from(["image", "label"]),
)
def test_downsampling_a_constant_keeps_it(
    shape: tuple[int, int, int], step: tuple[int, int, int], content: str
) -> None:
    values = np.full(shape, 7, np.uint16)
    reduced = downsample(values, step, content)  # type: ignore[arg-type]
    assert reduced.shape == level_shape(shape, step)
    assert (reduced == 7).all()


def test_downsampling_depends_on_the_content() -> None:
    values = np.array([[[1, 1], [5, 9]]], np.uint8)
    assert downsample(values, (1, 2, 2), "image").item() == 4
    assert downsample(values, (1, 2, 2), "label").item() == 1
    assert downsample(np.array([[[5, 2], [2, 5]]], np.uint8), (1, 2, 2), "label").item() == 2
    field = np.array([[[1, np.nan], [3, np.nan]]], np.float32)
    assert downsample(field, (1, 2, 2), "field").item() == 2
    assert np.isnan(downsample(field[..., 1:], (1, 2, 1), "field")).all()
