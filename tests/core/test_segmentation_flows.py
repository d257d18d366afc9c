"""Grids, resampling, intensities, and flows of networks with a known answer."""

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from cellpose.core import run_3D
from cellpose.vit import CPSAM

from spherovem_core.blocks import Block, MemorySink
from spherovem_core.errors import DeadlineError
from spherovem_core.execution import Execution
from spherovem_core.intensity_ranges import volume_percentile_range
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import (
    flow_grid,
    load_network,
    predict_flows,
    source_level,
)
from spherovem_core.segmentation.attention import use_fast_attention
from spherovem_core.segmentation.flows import batch_size, slab_bytes, tile_size
from spherovem_core.segmentation.grid import Grid, crop_grid
from spherovem_core.segmentation.resample import resample
from spherovem_core.segmentation.scratch import Files, MemoryScratch

SPACING = (50.0, 10.0, 10.0)


def positions(grid: Grid) -> list[np.ndarray]:
    axes = [
        origin + side * np.arange(n)
        for n, side, origin in zip(grid.shape, grid.spacing_nm, grid.origin_nm, strict=True)
    ]
    return np.meshgrid(*axes, indexing="ij")


def test_flow_grid_covers_the_volume_around_its_centre() -> None:
    shape, origin = (7, 103, 40), (100.0, -5.0, 0.0)
    grid = flow_grid(shape, SPACING, ObjectParameters(flow_spacing_nm=30.0), origin)
    for n, side, first, count, start in zip(shape, SPACING, origin, grid.shape, grid.origin_nm, strict=True):
        low, high = first - side / 2, first + (n - 0.5) * side
        below, above = low - (start - 15.0), start + (count - 0.5) * 30.0 - high
        assert below == pytest.approx(above)
        assert -1e-6 <= below < 15.0


def test_resampling_keeps_positions() -> None:
    # Interpolation along z keeps a ramp exactly. Area averaging along y and x places a voxel cut by the border
    # of the larger one at its full centre, an error of a fraction f(1 - f)/2 at both ends, at most 0.07 voxels here.
    # An error of half a voxel would be 5 nm along y and x and 25 nm along z.
    source = Grid((12, 60, 70), SPACING, (25.0, 5.0, -3.0))
    z, y, x = positions(source)
    volume = (2.0 * z - 3.0 * y + 5.0 * x).astype(np.float32)
    grid = flow_grid(
        source.shape, source.spacing_nm, ObjectParameters(flow_spacing_nm=35.0), source.origin_nm
    )
    inner = tuple(slice(2, n - 2) for n in grid.shape)
    gz, gy, gx = (p[inner] for p in positions(grid))
    expected = 2.0 * gz - 3.0 * gy + 5.0 * gx
    assert np.allclose(resample(volume, source, grid, inner), expected, atol=0.07 * 10 * (3 + 5))


def test_reduction_averages_areas() -> None:
    generator = np.random.default_rng(0)
    volume = generator.normal(size=(6, 40, 60)).astype(np.float32)
    source = Grid(volume.shape, SPACING)
    grid = flow_grid(source.shape, source.spacing_nm, ObjectParameters(flow_spacing_nm=50.0))
    reduced = resample(volume, source, grid)
    assert np.allclose(reduced, volume.reshape(6, 8, 5, 12, 5).mean(axis=(2, 4)), atol=1e-6)


def test_resampling_a_region_equals_the_region_of_the_whole() -> None:
    generator = np.random.default_rng(1)
    volume = generator.normal(size=(2, 9, 50, 64)).astype(np.float32)
    source = Grid((9, 50, 64), SPACING)
    grid = flow_grid(source.shape, SPACING, ObjectParameters(flow_spacing_nm=23.0))
    region = (slice(3, 11), slice(0, 9), slice(15, 28))
    assert np.allclose(
        resample(volume, source, grid)[(slice(None), *region)],
        resample(volume, source, grid, region),
        atol=1e-5,
    )
    cut = (slice(1, 8), slice(10, 40), slice(0, 64))
    inner = (slice(7, 12), slice(9, 13), slice(3, 20))
    assert np.allclose(
        resample(volume[(slice(None), *cut)], crop_grid(source, cut), grid, inner),
        resample(volume, source, grid, inner),
        atol=1e-6,
    )


def test_source_level_is_the_coarsest_one_that_is_fine_enough() -> None:
    levels = [(120.0, 40.0, 40.0), (120.0, 80.0, 80.0), (120.0, 160.0, 160.0), (240.0, 320.0, 320.0)]
    for spacing, expected in ((30.0, 0), (79.0, 0), (80.0, 1), (120.0, 1), (160.0, 2), (500.0, 3)):
        assert source_level(levels, ObjectParameters(flow_spacing_nm=spacing)) == expected


class Gradient(torch.nn.Module):
    """A network whose flows are the in-plane differences of the image and whose logit is the image."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self) -> None:
        super().__init__()
        self.tiles = 0

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.tiles += len(x)
        image = x[:, 0]
        padded = torch.nn.functional.pad(image[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
        dy = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
        dx = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
        return torch.stack([dy, dx, image], dim=1), torch.zeros((len(x), 256))


def flows_of(
    volume: np.ndarray, network: Any, parameters: ObjectParameters, execution: Execution | None = None
) -> tuple[np.ndarray, Grid]:
    grid = flow_grid(volume.shape, SPACING, parameters)
    out = np.zeros((4, *grid.shape), np.float16)
    predict_flows(volume, SPACING, grid, network, MemorySink(out), parameters, execution or Execution())
    return out, grid


def test_flows_follow_the_axes_and_the_normalised_image() -> None:
    source = Grid((16, 90, 80), SPACING)
    z, y, x = positions(source)
    volume = (0.05 * z + 0.1 * y + 0.15 * x).astype(np.float32)
    flows, grid = flows_of(volume, Gradient(), ObjectParameters(flow_spacing_nm=20.0))
    inner = tuple(slice(5, n - 5) for n in grid.shape)
    low, high = volume_percentile_range(volume, ObjectParameters().normalise_percentiles)
    # Two of the three planes add to each component, all three to the logit; float16 keeps three digits.
    for component, slope in zip(flows[:3], (0.05, 0.1, 0.15), strict=True):
        assert np.allclose(component[inner], 2 * slope * 20.0 / (high - low), rtol=0.01)
    gz, gy, gx = positions(grid)
    image = (0.05 * gz + 0.1 * gy + 0.15 * gx - low) / (high - low)
    assert np.allclose(flows[3][inner], 3 * image[inner], atol=0.01)


def test_source_on_the_grid_of_the_flows_stays_as_it_is() -> None:
    volume = np.random.default_rng(0).random((20, 40, 48), np.float32)
    before, grid = volume.copy(), Grid(volume.shape, (20.0, 20.0, 20.0))
    out = np.zeros((4, *grid.shape), np.float16)
    parameters = ObjectParameters(flow_spacing_nm=20.0)
    predict_flows(volume, grid.spacing_nm, grid, Gradient(), MemorySink(out), parameters, Execution())
    assert np.array_equal(volume, before)


def run_3d(image: np.ndarray, network: Any, side: int) -> np.ndarray:
    """Return the flows of cellpose itself for a normalised volume in memory."""
    channels = np.zeros((*image.shape, 3), np.float32)
    channels[..., 0] = image
    flows, _ = run_3D(network, channels, batch_size=8, bsize=side, tile_overlap=0.1)
    return np.moveaxis(flows, -1, 0)


def in_units_of_float16(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return differences in units in the last place of the largest sum on the way, at least 4."""
    unit = np.spacing(np.maximum(np.abs(expected), 4).astype(np.float16)).astype(np.float32)
    return np.abs(found.astype(np.float32) - expected) / unit


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((21, 37, 30), "phantom-compact"),
        ((5, 9, 7), "phantom-compact"),
        ((1, 40, 20), "phantom-compact"),
        ((3, 261, 18), ""),
        ((270, 2, 25), ""),
        ((1, 247, 300), ""),
    ],
    ids=["no multiples", "tiny", "one slice", "two tiles along y", "two tiles along z", "four tiles"],
)
def test_flows_are_those_of_cellpose_on_the_whole_volume(shape: tuple[int, int, int], name: str) -> None:
    """The sum is rounded to float16 after each of three passes, each by half a unit at most."""
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    network = load_network(name, "cells", "cpu") if name else Gradient()
    spacing = (50.0, 50.0, 50.0)
    parameters = ObjectParameters(flow_spacing_nm=50.0, min_tile_contrast=0.0)
    grid, found = Grid(shape, spacing), np.zeros((4, *shape), np.float16)
    predict_flows(
        image, spacing, grid, network, MemorySink(found), parameters, Execution("cpu"), intensities=(0, 255)
    )
    expected = run_3d(image.astype(np.float32) / 255, network, tile_size(network, shape))
    assert in_units_of_float16(found, expected).max() < 2


def test_flows_of_unequal_voxels_are_those_of_cellpose_on_the_grid() -> None:
    volume = np.random.default_rng(3).integers(0, 255, (4, 60, 80)).astype(np.uint8)
    parameters = ObjectParameters(flow_spacing_nm=23.0, min_tile_contrast=0.0)
    network = load_network("phantom-compact", "nuclei", "cpu")
    found, grid = flows_of(volume, network, parameters)
    low, high = volume_percentile_range(volume, parameters.normalise_percentiles)
    image = (resample(volume, Grid(volume.shape, SPACING), grid) - low) / (high - low)
    expected = run_3d(image.astype(np.float32), network, tile_size(network, grid.shape))
    assert in_units_of_float16(found, expected).max() < 2


@pytest.mark.slow
def test_flows_of_cellpose_sam_are_those_of_cellpose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights, and 2 of the 24 blocks of the encoder."""
    torch.manual_seed(0)
    network = CPSAM(dtype=torch.float32).eval()
    network.encoder.blocks = network.encoder.blocks[:2]
    use_fast_attention(network)
    image = np.random.default_rng(0).random((2, 3, 4), np.float32)
    spacing, results = (50.0, 50.0, 50.0), []
    parameters = ObjectParameters(flow_spacing_nm=50.0, min_tile_contrast=0.0)
    for batch in (2, 4):
        monkeypatch.setattr("spherovem_core.segmentation.flows.batch_size", lambda _, batch=batch: batch)
        found = np.zeros((4, *image.shape), np.float16)
        predict_flows(
            image,
            spacing,
            Grid(image.shape, spacing),
            network,
            MemorySink(found),
            parameters,
            Execution("cpu"),
            intensities=(0.0, 1.0),
        )
        results.append(found)
    assert in_units_of_float16(results[0], run_3d(image, network, 256)).max() < 2
    assert np.array_equal(results[0], results[1])


@pytest.mark.parametrize("planes", ["all", "xy"])
def test_flows_do_not_depend_on_windows_batches_and_threads(
    planes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bits, with resin beside the specimen so that tiles are left out."""
    volume = np.random.default_rng(0).integers(0, 255, (3, 24, 100)).astype(np.uint8)
    volume[:, 5:, 50:] = 128
    monkeypatch.setattr("spherovem_core.segmentation.flows.tile_size", lambda *_: 48)
    parameters = ObjectParameters(flow_spacing_nm=10.0, planes=planes)
    network = load_network("phantom-compact", "cells", "cpu")
    results = []
    for window, batch, threads in ((2**23, 8, 1), (1, 2, 2), (2**16, 3, 1)):
        monkeypatch.setattr("spherovem_core.segmentation.planes.WINDOW_VOXELS", window)
        monkeypatch.setattr("spherovem_core.segmentation.flows.batch_size", lambda _, batch=batch: batch)
        results.append(flows_of(volume, network, parameters, Execution("cpu", workers=threads))[0])
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.parametrize("stop", [0, 2, 5, 13])
def test_finished_slabs_are_not_computed_again(stop: int) -> None:
    """Two slabs of xz planes, ten of yz planes, two of xy planes."""
    volume = np.zeros((28, 20, 150), np.uint8)
    volume[::2] = 200
    parameters = ObjectParameters(flow_spacing_nm=10.0, min_tile_contrast=0.0)
    grid = flow_grid((28, 20, 150), (10.0, 10.0, 10.0), parameters)
    out, scratch, network = np.zeros((4, *grid.shape), np.float16), MemoryScratch(), Gradient()
    sink = MemorySink(out)
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        if done == stop:
            raise KeyboardInterrupt

    def predict(execution: Execution, target: MemorySink = sink, own: MemoryScratch = scratch) -> None:
        predict_flows(volume, (10.0,) * 3, grid, network, target, parameters, execution, scratch=own)

    with pytest.raises(KeyboardInterrupt):
        predict(Execution("cpu", progress=progress))
    half = network.tiles
    predict(Execution("cpu", progress=lambda *now: seen.append(now)))
    assert seen[-1] == (14, 14)
    # Sums went as soon as they were in those of the next pass.
    assert set(scratch.sinks) == {"image"}
    first = network.tiles
    whole = MemorySink(np.zeros_like(out))
    predict(Execution("cpu"), whole, MemoryScratch())
    assert np.array_equal(out, whole.array)
    assert network.tiles - first == first
    assert half < first
    predict(Execution("cpu"))
    assert network.tiles == 2 * first


def test_sums_that_a_kill_left_go_before_work_goes_on() -> None:
    """Killed between the last slab of a pass and the deletion of the sums before it."""
    volume = np.random.default_rng(0).integers(0, 255, (5, 20, 30)).astype(np.uint8)
    parameters = ObjectParameters(flow_spacing_nm=10.0)
    grid = flow_grid(volume.shape, (10.0,) * 3, parameters)
    scratch, sink = MemoryScratch(), MemorySink(np.zeros((4, *grid.shape), np.float16))
    kept: list[set[str]] = []

    def predict(progress: Callable[[int, int], None]) -> None:
        execution = Execution("cpu", progress=progress)
        predict_flows(volume, (10.0,) * 3, grid, Gradient(), sink, parameters, execution, scratch=scratch)

    def stop(done: int, total: int) -> None:
        if done == total - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(stop)
    assert set(scratch.sinks) == {"image", "yz"}
    scratch.open("xz", (4, *grid.shape), "float16", Files((1,) * 4, (1,) * 4))
    predict(lambda *_: kept.append(set(scratch.sinks)))
    assert kept[0] == {"image", "yz"}


def test_the_deadline_stops_between_slabs() -> None:
    volume = np.random.default_rng(0).integers(0, 255, (4, 30, 40)).astype(np.uint8)
    with pytest.raises(DeadlineError, match=r"0 of 7 .*finished ones are kept"):
        flows_of(volume, Gradient(), ObjectParameters(flow_spacing_nm=10.0), Execution("cpu", deadline=0.0))


@dataclass
class Lazy:
    """A volume that is made where it is read and forgotten where it is written, so that memory holds nothing of it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    voxels: int = 0

    @property
    def array(self) -> "Lazy":
        return self

    def __getitem__(self, region: Any) -> np.ndarray:
        return np.ones([s.stop - s.start for s in region], self.dtype)

    def pending(self, blocks: Any) -> list[Block]:
        return list(blocks)

    def write(self, block: Block, values: np.ndarray) -> None:
        assert values.shape == tuple(s.stop - s.start for s in block.core)
        self.voxels += values[0].size if values.ndim == 4 else values.size

    def open(self, name: str, shape: Any, dtype: Any, files: Any) -> "Lazy":
        return Lazy(tuple(shape), np.dtype(dtype))

    def discard(self, name: str) -> None:
        pass


def peak_bytes(shape: tuple[int, int, int]) -> int:
    """Return the most bytes of arrays of NumPy while flows are predicted; the tensors of PyTorch share their memory."""
    sink = Lazy((4, *shape), np.dtype(np.float16))
    parameters = ObjectParameters(flow_spacing_nm=10.0)
    spacing = (10.0, 10.0, 10.0)
    tracemalloc.start()
    try:
        predict_flows(
            Lazy(shape),
            spacing,
            Grid(shape, spacing),
            Gradient(),
            sink,
            parameters,
            Execution("cpu"),
            intensities=(0.0, 1.0),
            scratch=sink,
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sink.voxels == np.prod(shape)
    return peak


def test_memory_does_not_grow_with_the_number_of_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row of tiles at a time, of slabs of 16 planes."""
    monkeypatch.setattr("spherovem_core.segmentation.planes.WINDOW_VOXELS", 1)
    monkeypatch.setattr("spherovem_core.segmentation.flows.WINDOW_VOXELS", 1)
    monkeypatch.setattr("spherovem_core.segmentation.flows.batch_size", lambda _: 2)
    peak_bytes((2, 16, 16))
    half, whole = (peak_bytes((depth, 8, 600)) for depth in (300, 600))
    assert whole < 1.05 * half
    # Beside the slab two tiles, their weights and what NumPy makes of a batch.
    assert half < slab_bytes((300, 8, 600)) + 40 * 256**2 * 4
    monkeypatch.undo()
    assert slab_bytes((4000, 4000, 1000)) == slab_bytes((2000, 4000, 1000))


@pytest.mark.parametrize(("free", "expected"), [(0.1e9, 2), (3.3e9, 2), (8e9, 5), (900e9, 8)])
def test_batch_size_takes_a_quarter_of_free_memory(
    free: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    assert batch_size(torch.device("cpu")) == expected


@pytest.mark.parametrize(("free", "expected"), [(1e9, 1), (24e9, 5), (80e9, 16), (1000e9, 64)])
def test_batch_size_follows_the_free_memory_of_a_gpu(
    free: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free), int(free)))
    assert batch_size(torch.device("cuda", 0)) == expected


def test_tiles_of_small_planes_are_small() -> None:
    compact = load_network("phantom-compact", "cells", "cpu")
    assert [tile_size(compact, (64, 171, n)) for n in (10, 176, 255, 900)] == [192, 192, 256, 256]
    assert tile_size(Gradient(), (10, 20, 30)) == 256


def test_compact_network_keeps_the_contract_of_cellpose() -> None:
    for kind in ("cells", "nuclei"):
        network = load_network("phantom-compact", kind, "cpu")
        assert not network.training
        assert sum(p.numel() for p in network.parameters()) < 0.7e6
        with torch.no_grad():
            maps, style = network(torch.zeros((2, 3, 256, 256)))
        assert maps.shape == (2, 3, 256, 256)
        assert style.shape == (2, 256)


def test_compact_network_sees_at_most_142_pixels_around() -> None:
    network = load_network("phantom-compact", "cells", "cpu")
    image = torch.rand((1, 3, 256, 512), generator=torch.Generator().manual_seed(0))
    other = image.clone()
    other[..., 300:] = 0
    with torch.no_grad():
        difference = (network(image)[0] - network(other)[0]).abs().amax(dim=(0, 1, 2))
    assert difference[:158].max() == 0
    assert difference[300:].max() > 0
