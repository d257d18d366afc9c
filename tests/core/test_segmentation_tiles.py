"""Tiles without specimen are skipped, tiles with a corner of it are not, and too large batches are split."""

import numpy as np
import pytest
import torch
from cellpose.core import run_net

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import flow_grid, load_network, masks_from_flows, predict_flows
from spherovem_core.segmentation.planes import PlaneTiles, predict_planes
from spherovem_core.segmentation.tile_counts import count_tiles, tiles_along
from spherovem_core.segmentation.tiles import EMPTY_LOGIT, measure_contrasts, run_tiles
from spherovem_core.synthetic.phantom import make_phantom


class Counting:
    """A network that adds one, counts tiles, and runs out of memory above a number of tiles."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, room: int = 1000) -> None:
        self.room, self.batches = room, []

    def eval(self) -> None:
        pass

    def __call__(self, tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if len(tiles) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.batches.append(len(tiles))
        return tiles + 1, torch.ones((len(tiles), 256))


def checkerboard(side: int, amplitude: float) -> np.ndarray:
    return amplitude * ((np.indices((side, side)).sum(axis=0) % 2) - 0.5)


def test_contrast_is_the_deviation_within_a_square() -> None:
    planes = np.full((4, 100, 130), 1000.0, np.float32)
    planes[1, :32, 96:128] += checkerboard(32, 0.4)
    planes[2] += np.linspace(0, 1, 130)
    # A corner of specimen, cut by the border of the plane.
    planes[3, 96:, 128:] += checkerboard(4, 0.6)[:, :2]
    found = measure_contrasts(torch.from_numpy(planes))
    ramp = np.linspace(0, 1, 130)[:32].std()
    assert found.numpy() == pytest.approx([0, 0.2, ramp, 0.3], abs=1e-3)


def maps_of(planes: np.ndarray, network: Counting, least_contrast: float, side: int = 64) -> np.ndarray:
    """Return the maps (3, planes, rows, columns) of whole planes."""
    tiles = PlaneTiles(planes.shape[1:], side, 0.1)
    found = np.full((3, *planes.shape), np.nan, np.float32)
    for rows, maps in predict_planes(
        network, lambda rows: planes[:, rows], len(planes), tiles, least_contrast, 8
    ):
        found[:, :, rows] = maps
    assert not np.isnan(found).any()
    return found


def test_only_tiles_with_specimen_are_computed() -> None:
    """Planes of 44 pixels are one tile; the zeros around them are no contrast."""
    planes = np.full((5, 44, 44), 0.5, np.float32)
    for n in (1, 4):
        planes[n, 10:30, 20:40] += 0.5
    network = Counting()
    maps = maps_of(planes, network, 0.05)
    assert network.batches == [2]
    assert np.allclose(maps[0, [1, 4]], planes[[1, 4]] + 1)
    assert np.allclose(maps[1:, [1, 4]], 1, atol=1e-5)
    assert not maps[:2, [0, 2, 3]].any()
    assert (maps[2, [0, 2, 3]] == EMPTY_LOGIT).all()
    assert np.allclose(maps_of(planes, network, 0.0)[0], planes + 1)
    assert network.batches == [2, 5]
    assert (maps_of(planes[[0, 2]], network, 0.05)[2] == EMPTY_LOGIT).all()
    assert network.batches == [2, 5]


def test_tiles_without_specimen_blend_into_their_neighbours() -> None:
    planes = np.full((1, 44, 200), 0.5, np.float32)
    planes[0, :, :12] += checkerboard(44, 0.4)[:, :12]
    network = Counting()
    logit = maps_of(planes, network, 0.05)[2, 0]
    assert sum(network.batches) == 2  # a single tile is computed twice
    assert np.allclose(logit[:, :12], planes[0, :, :12] * 0 + 1, atol=1e-3)
    assert (logit[:, 60:] == EMPTY_LOGIT).all()
    assert (np.diff(logit, axis=1) <= 1e-5).all()


def test_results_of_a_half_precision_network_are_float32() -> None:
    class Half(Counting):
        dtype = torch.bfloat16

        def __call__(self, tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return tiles.float() + 1 / 1024, torch.ones((len(tiles), 256), dtype=torch.bfloat16)

    tiles = torch.rand((3, 3, 32, 32)).to(torch.bfloat16)
    assert torch.equal(run_tiles(Half(), tiles), tiles.float() + 1 / 1024)


def test_a_batch_that_does_not_fit_in_memory_is_split() -> None:
    tiles = torch.rand((7, 3, 32, 32))
    network = Counting(room=2)
    assert torch.equal(run_tiles(network, tiles), tiles + 1)
    assert max(network.batches) <= 2
    with pytest.raises(torch.OutOfMemoryError):
        run_tiles(Counting(room=0), tiles)


@pytest.mark.parametrize("side", [256, 96])
@pytest.mark.parametrize("overlap", [0.05, 0.1, 0.5])
def test_tiles_are_counted_as_cellpose_lays_them(side: int, overlap: float) -> None:
    for extent in (1, 15, 79, 80, 81, 95, 96, 97, 239, 240, 241, 256, 257, 900):
        tiles = PlaneTiles((extent, 33), side, overlap).tiles
        planes = np.zeros((1, extent, 33, 3), np.float32)
        network = Counting()
        run_net(network, planes, batch_size=4, bsize=side, tile_overlap=overlap)
        assert sum(network.batches) == len(tiles) == tiles_along(extent, side, overlap)
    shape = (20, 300, 250)
    planes = [(300, 250), (20, 250), (20, 300)]
    counts = [n * len(PlaneTiles(plane, side, overlap).tiles) for n, plane in zip(shape, planes, strict=True)]
    assert count_tiles(shape, side, overlap) == sum(counts)
    assert count_tiles(shape, side, overlap, "xy") == counts[0]


def test_resin_around_cells_is_not_computed_and_has_no_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spherovem_core.segmentation.flows.tile_size", lambda *_: 96)
    phantom = make_phantom(shape=(30, 128, 128), spacing_nm=(120.0, 60.0, 60.0), seed=306)
    generator = np.random.default_rng(0)
    resin = np.clip(generator.normal(180, 6, (30, 128, 320)), 0, 255).astype(np.uint8)
    image = resin.copy()
    image[:, :, :128] = phantom.clean
    parameters = ObjectParameters(flow_spacing_nm=120.0, min_diameter_um=2.0)
    execution = Execution("cpu")
    grid = flow_grid(image.shape, phantom.spacing_nm, parameters)
    fields, results, tiles = [], [], []
    for least in (0.0, 0.05):
        network = load_network("phantom-compact", "cells", "cpu")
        seen: list[int] = []
        network.register_forward_hook(lambda _, inputs, __, seen=seen: seen.append(len(inputs[0])))
        flows = np.zeros((4, *grid.shape), np.float16)
        chosen = parameters.model_copy(update={"min_tile_contrast": least})
        predict_flows(image, phantom.spacing_nm, grid, network, MemorySink(flows), chosen, execution)
        fields.append(flows)
        results.append(masks_from_flows(flows, chosen, grid.spacing_nm))
        tiles.append(sum(seen))
    assert tiles[1] < 0.6 * tiles[0]
    # Beyond the tiles that show cells.
    assert (flows[3, :, :, 140:] == 3 * EMPTY_LOGIT).all()
    assert results[1][..., :64].max() >= 3
    assert np.array_equal(fields[0][..., :64], fields[1][..., :64])
    assert not results[1][:, :, 140:].any()
