"""Grids, resampling, intensities, and flows of networks with a known answer."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

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
from spherovem_core.segmentation.flows import batch_size, tile_size
from spherovem_core.segmentation.grid import Grid, crop_grid
from spherovem_core.segmentation.resample import resample

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


def test_flows_in_blocks_equal_those_of_a_whole_run() -> None:
    volume = np.random.default_rng(0).integers(0, 255, (28, 140, 150)).astype(np.uint8)
    parameters = ObjectParameters(flow_spacing_nm=10.0)
    in_one, in_eight = (Execution(block_voxels=side, block_halo_voxels=16) for side in (256, 128))
    whole, grid = flows_of(volume, Gradient(), parameters, in_one)
    blocked_flows, _ = flows_of(volume, Gradient(), parameters, in_eight)
    assert grid.shape == (140, 140, 150)
    # A network that sees one pixel around gives the same within and at borders of blocks, up to float16.
    assert np.allclose(whole, blocked_flows, atol=2e-3)


def test_finished_blocks_are_not_computed_again() -> None:
    volume = np.zeros((28, 140, 20), np.uint8)
    volume[::2] = 200
    parameters = ObjectParameters(flow_spacing_nm=10.0, min_tile_contrast=0.0)
    execution = Execution(block_voxels=128, block_halo_voxels=16)
    grid = flow_grid(volume.shape, SPACING, parameters)
    out = np.zeros((4, *grid.shape), np.float16)
    sink, network = MemorySink(out), Gradient()
    stopped = replace(execution, deadline=0.0)

    class AfterTwo(MemorySink):
        def write(self, block: Block, values: np.ndarray) -> None:
            sink.write(block, values)

        def pending(self, blocks: Any) -> list[Block]:
            return sink.pending(blocks)

    with pytest.raises(DeadlineError, match="0 of 4"):
        predict_flows(volume, SPACING, grid, network, AfterTwo(out), parameters, stopped)
    seen: list[tuple[int, int]] = []

    def stop_after_two(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_flows(
            volume, SPACING, grid, network, sink, parameters, replace(execution, progress=stop_after_two)
        )
    assert len(sink.pending([])) == 0
    before, half = out.copy(), network.tiles
    watched = replace(execution, progress=lambda *n: seen.append(n))
    predict_flows(volume, SPACING, grid, network, sink, parameters, watched)
    whole = np.zeros_like(out)
    predict_flows(volume, SPACING, grid, Gradient(), MemorySink(whole), parameters, execution)
    assert np.array_equal(out, whole)
    assert np.array_equal(out[before != 0], before[before != 0])
    assert network.tiles < 2 * half
    assert seen[-1] == (4, 4)


@pytest.mark.parametrize(("free", "expected"), [(0.1e9, 1), (3.3e9, 2), (8e9, 5), (900e9, 8)])
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
    assert [tile_size(compact, (64, 171, n)) for n in (10, 176, 255, 900)] == [176, 176, 256, 256]
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
