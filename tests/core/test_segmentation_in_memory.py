"""The functions for arrays in memory give the labels of blocks on disk, and refuse bad input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from segmentation_scenes import EVERYTHING, SPACING, ideal, packed_cells, segment

from spherovem_core.errors import ParameterError, ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.parameters import CellParameters, SegmentationParameters
from spherovem_core.segmentation import (
    Grid,
    flow_grid,
    masks_from_flows,
    segment_volume,
    segmenter_named,
)
from spherovem_core.segmentation.scratch import MemoryScratch
from spherovem_core.store import ArraySpec, ArrayWriter, Content, Layout, Ledger, cube_shards, open_array
from spherovem_core.synthetic.phantom import make_phantom

COARSE = CellParameters(network="phantom-compact", flow_spacing_nm=120.0, min_diameter_um=0.5)
SMALL_BLOCKS = Execution("cpu", block_voxels=64, block_halo_voxels=32)


def writer(
    folder: Path, name: str, content: Content, shape: tuple[int, ...], dtype: str, grid: Grid
) -> ArrayWriter:
    chunks, shards = cube_shards(shape, 64)
    spec = ArraySpec(name, content, shape, np.dtype(dtype), chunks, shards, grid.spacing_nm, grid.origin_nm)
    return ArrayWriter(Layout(folder), spec, "digest")


def test_a_volume_in_memory_gets_the_labels_of_blocks_on_disk(tmp_path: Path) -> None:
    phantom = make_phantom(shape=(16, 80, 160), spacing_nm=(120.0, 60.0, 60.0), seed=3)
    grid = Grid((16, 80, 160), phantom.spacing_nm)
    source = writer(tmp_path, "image", "image", grid.shape, "uint8", grid)
    source.array[:] = phantom.clean
    source.commit()
    image, segmenter = open_array(Layout(tmp_path), "image"), segmenter_named("cellpose")
    coarse = flow_grid(grid.shape, grid.spacing_nm, COARSE)
    fields = writer(tmp_path, "field", "field", (4, *coarse.shape), "float16", coarse)
    segmenter.predict("cells", image, coarse, fields, COARSE, SMALL_BLOCKS, MemoryScratch())
    fields.commit()
    provisional, labels = (
        writer(tmp_path, name, "label", grid.shape, "uint32", grid) for name in ("scratch", "labels")
    )
    ledger = Ledger(tmp_path / "ledger.jsonl", "digest")
    field = open_array(Layout(tmp_path), "field")
    count = segmenter.label(field, image, provisional, labels, COARSE, SMALL_BLOCKS, ledger)
    found = segment_volume(phantom.clean, phantom.spacing_nm, "cells", COARSE, execution=SMALL_BLOCKS)
    assert count == found.max() >= 3
    assert np.array_equal(found, labels.array[:])


def test_masks_in_memory_equal_those_of_the_blocked_function() -> None:
    cells = packed_cells((40, 48, 56), 20)
    flows, grid = ideal(cells), Grid(cells.shape, SPACING)
    expected, count = segment(flows, grid, grid, EVERYTHING, execution=Execution(block_voxels=64))
    assert np.array_equal(masks_from_flows(flows, EVERYTHING, SPACING), expected)
    assert count > 10


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"volume": np.zeros((2, 3))}, ShapeMismatchError, r"shape \(2, 3\); expected \(Z, Y, X\)"),
        ({"spacing_nm": (50.0, 0.0, 10.0)}, ParameterError, "three positive sizes in nm"),
        (
            {"parameters": CellParameters(segmenter="stardust")},
            ParameterError,
            "'stardust' is unknown; choose one of cellpose",
        ),
    ],
)
def test_bad_input_is_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    good: dict[str, Any] = {"volume": np.zeros((4, 5, 6), np.uint8), "spacing_nm": SPACING, "kind": "cells"}
    with pytest.raises(error, match=message):
        segment_volume(**good | arguments)


def test_parameters_of_the_stage_stand_for_those_of_the_kind() -> None:
    phantom = make_phantom(shape=(16, 80, 120), spacing_nm=(120.0, 60.0, 60.0), seed=3)
    stage = SegmentationParameters(cells=COARSE)
    found = segment_volume(phantom.clean, phantom.spacing_nm, "cells", stage)
    assert found.max() >= 2
    assert np.array_equal(found, segment_volume(phantom.clean, phantom.spacing_nm, "cells", COARSE))
