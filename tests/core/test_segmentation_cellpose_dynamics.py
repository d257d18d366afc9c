"""Masks by cellpose's own dynamics, on CPU and GPU, beside those of the compiled dynamics."""

import numpy as np
import pytest
from segmentation_scenes import EVERYTHING, ideal, packed_cells

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution
from spherovem_core.segmentation import MaskInputs, match_labels, segment_masks
from spherovem_core.segmentation.cellpose_dynamics import follow_flows_with_cellpose
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
