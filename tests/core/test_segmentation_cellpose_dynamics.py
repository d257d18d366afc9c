"""Masks by cellpose's own dynamics, on CPU and GPU, beside those of the compiled dynamics."""

import numpy as np
import pytest
from segmentation_scenes import EVERYTHING, ideal, packed_cells

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution
from spherovem_core.segmentation import MaskInputs, match_labels, segment_masks
from spherovem_core.segmentation.cellpose_dynamics import follow_flows_with_cellpose
from spherovem_core.segmentation.dynamics import follow_flows
from spherovem_core.segmentation.grid import Grid
from spherovem_core.utils.torch_device import cuda_device_count

GPU = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not cuda_device_count(), reason="no usable CUDA device"),
    ],
)


def labels_of(flows: np.ndarray, dynamics: str, device: str, block: int = 512) -> np.ndarray:
    grid = Grid(flows.shape[1:], (50.0, 20.0, 20.0))
    labels, scratch = (np.zeros(grid.shape, np.uint32) for _ in range(2))
    parameters = EVERYTHING.model_copy(update={"mask_dynamics": dynamics})
    execution = Execution(device, block_voxels=block, block_halo_voxels=16)
    segment_masks(
        MaskInputs(flows, grid, grid), MemorySink(scratch), MemorySink(labels), parameters, execution
    )
    return labels


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_objects_equal_those_of_the_compiled_dynamics(device: str) -> None:
    """Cellpose samples flows up to half a voxel off: single voxels differ, objects agree."""
    cells = packed_cells((30, 40, 72), 14, seed=2)
    flows = ideal(cells)
    compiled = labels_of(flows, "compiled", "cpu")
    found = labels_of(flows, "cellpose", device)
    assert match_labels(compiled, found, iou=0.8).f1 >= 0.95
    assert match_labels(cells, found, iou=0.8).f1 >= 0.95
    # In blocks too, which are stitched in the same way.
    in_blocks = labels_of(flows, "cellpose", device, block=36)
    assert match_labels(found, in_blocks, iou=0.8).f1 >= 0.95


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_background_has_no_objects(device: str) -> None:
    flows = np.ones((3, 8, 9, 10), np.float32)
    assert not follow_flows_with_cellpose(flows, np.zeros((8, 9, 10), bool), device).any()


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("device", ["cpu", GPU])
def test_a_section_by_itself_has_the_objects_of_the_compiled_dynamics(axis: int, device: str) -> None:
    cells = packed_cells((1, 60, 72), 8, seed=2)
    flows = ideal(cells)[:3]
    cells, flows = np.moveaxis(cells, 0, axis), np.moveaxis(flows, 1, axis + 1)
    flows = flows[np.roll(range(3), axis)] if axis != 1 else flows[[1, 0, 2]]
    compiled = follow_flows(flows, cells > 0)
    found = follow_flows_with_cellpose(flows, cells > 0, device)
    assert found.shape == cells.shape
    assert match_labels(compiled, found, iou=0.8).f1 >= 0.95
