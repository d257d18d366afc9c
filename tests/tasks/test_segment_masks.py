"""The mask stage on disk: it goes on from its finished blocks, and gives what the core gives in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from spherovem_core.execution import Execution, ExecutionSettings
from spherovem_core.parameters import ObjectParameters
from spherovem_core.references import ArtifactRef
from spherovem_core.segmentation import Grid, MaskInputs, flow_grid, stitching
from spherovem_core.segmentation.flow_error import volume_flows
from spherovem_core.store import ArrayWriter, Layout, finish_multiscale, open_array
from spherovem_core.store.layout import REGISTERED, flows_group, labels_group
from tasks import segmentation
from tasks.stage import array_spec

pytestmark = pytest.mark.usefixtures("prefect_server")

SHAPE, SPACING = (40, 200, 280), (50.0, 20.0, 20.0)
PARAMETERS = ObjectParameters(
    flow_spacing_nm=50.0,
    mask_spacing_nm=20.0,
    min_diameter_um=0.2,
    block_voxels=128,
    block_halo_voxels=32,
    expansion_um=0.05,
    flow_error_threshold=1.0,
)
SERIAL = ExecutionSettings(device="cpu", workers=1)


def write(
    layout: Layout, group: str, content: Any, values: np.ndarray, grid: Grid, digest: str
) -> ArtifactRef:
    spec = array_spec(
        group, content, values.shape, values.dtype, grid.spacing_nm, origin_nm=grid.origin_nm, block=128
    )
    writer = ArrayWriter(layout, spec, digest)
    writer.array[:] = values
    return finish_multiscale(writer, Execution(), [])


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    """Flows of balls packed at random, and an image that is dark between them."""
    grid = flow_grid(SHAPE, SPACING, PARAMETERS)
    points = np.random.default_rng(0).uniform(0, 1, (40, 3)) * grid.shape
    places = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    distance, owner = cKDTree(points).query(places)
    labels = np.where(distance < 9, owner + 1, 0).astype(np.uint32)
    flows = np.concatenate([volume_flows(labels), np.where(labels > 0, 4.0, -4.0)[None]]).astype(np.float16)
    image = np.random.default_rng(1).integers(90, 110, SHAPE).astype(np.uint8)
    layout = Layout(tmp_path / "one")
    return {
        "kind": "cells",
        "flows": write(layout, flows_group("cells"), "field", flows, grid, "flows"),
        "registered": write(layout, REGISTERED, "image", image, Grid(SHAPE, SPACING), "image"),
        "parameters": PARAMETERS,
    }


def test_it_goes_on_from_its_finished_blocks(inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(Path(inputs["flows"].store))
    made: list[str] = []
    make = stitching._block_masks

    def stops_at_the_fourth(block: Any, *arguments: Any) -> Any:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(block.key)
        return make(block, *arguments)

    monkeypatch.setattr(stitching, "_block_masks", stops_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        segmentation.segment_masks.fn(**inputs, execution=SERIAL)

    def counts(block: Any, *arguments: Any) -> Any:
        made.append(block.key)
        return make(block, *arguments)

    monkeypatch.setattr(stitching, "_block_masks", counts)
    segmentation.segment_masks.fn(**inputs, execution=SERIAL)
    assert len(made) == len(set(made)) == 6
    stored = open_array(layout, labels_group("cells"))
    labels = stored[:]
    assert labels.dtype == np.uint32
    assert stored.details["count"] == labels.max() == len(np.unique(labels)) - 1 > 20
    whole = np.zeros(SHAPE, np.uint32)
    field = MaskInputs(
        open_array(layout, flows_group("cells"))[:],
        flow_grid(SHAPE, SPACING, PARAMETERS),
        Grid(SHAPE, SPACING),
        open_array(layout, REGISTERED)[:],
    )
    from spherovem_core.blocks import MemorySink

    stitching.segment_masks(
        field, MemorySink(np.zeros_like(whole)), MemorySink(whole), PARAMETERS, Execution()
    )
    assert np.array_equal(labels, whole)
    assert not list((layout.scratch / "provisional").glob("labels-cells/*"))
