"""Tiles without specimen are skipped, tiles with a corner of it are not, and too large batches are split."""

import numpy as np
import pytest
import torch

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import flow_grid, load_network, masks_from_flows, match_labels, predict_flows
from spherovem_core.segmentation.tiles import EMPTY_LOGIT, TileRunner, measure_contrasts, shows_specimen
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


def test_only_tiles_with_specimen_are_computed() -> None:
    tiles = torch.full((5, 3, 64, 64), 0.5)
    for n in (1, 4):
        tiles[n, 0, 10:30, 40:60] += 0.5
    network = Counting()
    maps, styles = TileRunner(network, 0.05)(tiles)
    assert network.batches == [2]
    assert torch.equal(maps[[1, 4]], tiles[[1, 4]] + 1)
    assert not maps[[0, 2, 3], :2].any()
    assert (maps[[0, 2, 3], 2] == EMPTY_LOGIT).all()
    assert styles.sum(dim=1).tolist() == [0, 256, 0, 0, 256]
    maps, _ = TileRunner(network, 0.0)(tiles)
    assert network.batches == [2, 5]
    assert torch.equal(maps, tiles + 1)
    assert not TileRunner(network, 0.05)(tiles[[0, 2]])[0][:, :2].any()
    assert network.batches == [2, 5]


def test_results_of_a_half_precision_network_are_float32() -> None:
    class Half(Counting):
        dtype = torch.bfloat16

        def __call__(self, tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return tiles.float() + 1 / 1024, torch.ones((len(tiles), 256), dtype=torch.bfloat16)

    tiles = torch.rand((3, 3, 32, 32)).to(torch.bfloat16)
    maps, _ = TileRunner(Half(), 0.01)(tiles)
    assert torch.equal(maps, tiles.float() + 1 / 1024)


def test_a_batch_that_does_not_fit_in_memory_is_split() -> None:
    tiles = torch.rand((7, 3, 32, 32))
    network = Counting(room=2)
    maps, _ = TileRunner(network)(tiles)
    assert torch.equal(maps, tiles + 1)
    assert max(network.batches) <= 2
    with pytest.raises(torch.OutOfMemoryError):
        TileRunner(Counting(room=0))(tiles)


def test_a_block_with_one_bright_plane_shows_specimen() -> None:
    block = np.full((70, 80, 90), 0.3, np.float32)
    assert not shows_specimen(block, 0.05)
    for axis in range(3):
        line = block.copy()
        line[tuple(slice(33, 37) if n == axis else slice(40, 50) for n in range(3))] += 0.5
        assert shows_specimen(line, 0.05)


def test_resin_around_cells_is_not_computed_and_has_no_objects() -> None:
    phantom = make_phantom(shape=(30, 128, 128), spacing_nm=(120.0, 60.0, 60.0), seed=306)
    generator = np.random.default_rng(0)
    resin = np.clip(generator.normal(180, 6, (30, 128, 380)), 0, 255).astype(np.uint8)
    image = resin.copy()
    image[:, :, :128] = phantom.clean
    parameters = ObjectParameters(flow_spacing_nm=120.0, min_diameter_um=2.0)
    execution = Execution(block_voxels=128)
    grid = flow_grid(image.shape, phantom.spacing_nm, parameters)
    results, tiles = [], []
    for least in (0.0, 0.05):
        network = load_network("phantom-compact", "cells", "cpu")
        seen: list[int] = []
        network.register_forward_hook(lambda _, inputs, __, seen=seen: seen.append(len(inputs[0])))
        flows = np.zeros((4, *grid.shape), np.float16)
        chosen = parameters.model_copy(update={"min_tile_contrast": least})
        predict_flows(image, phantom.spacing_nm, grid, network, MemorySink(flows), chosen, execution)
        results.append(masks_from_flows(flows, chosen, grid.spacing_nm))
        tiles.append(sum(seen))
    assert tiles[1] < 0.8 * tiles[0]
    # The block of pure resin.
    assert (flows[3, :, :, 128:] == 3 * EMPTY_LOGIT).all()
    cells = tuple(slice(0, n) for n in (*grid.shape[:2], 64))
    assert results[1][cells].max() >= 3
    assert match_labels(results[0][cells], results[1][cells], iou=0.95).f1 == 1.0
    assert not results[1][:, :, 128:].any()
