"""Cells and nuclei of phantoms with seeds outside the training, found as in the pipeline."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import pytest
from segmentation_scenes import ideal
from segmentation_scenes import segment as through_blocks

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import (
    Grid,
    LabelMatch,
    MaskInputs,
    flow_grid,
    load_network,
    match_labels,
    predict_flows,
    segment_masks,
)
from spherovem_core.spacing import voxel_volume_um3
from spherovem_core.store.pyramid import downsample
from spherovem_core.synthetic.phantom import Phantom, make_phantom

KINDS: dict[Literal["cells", "nuclei"], float] = {"cells": 2.0, "nuclei": 1.0}


def as_registered(phantom: Phantom, seed: int) -> np.ndarray:
    """Return the clean image with the noise and drift of contrast that remain after registration."""
    generator = np.random.default_rng(seed)
    gains, offsets = (
        generator.normal(1, 0.03, (len(phantom.clean), 1, 1)),
        generator.normal(0, 3, (len(phantom.clean), 1, 1)),
    )
    return np.clip(
        phantom.clean * gains + offsets + generator.normal(0, 4, phantom.clean.shape), 0, 255
    ).astype(np.uint8)


def segment(
    phantom: Phantom, kind: Literal["cells", "nuclei"], **changes: Any
) -> tuple[np.ndarray, LabelMatch]:
    """Predict flows at 120 nm, make masks at twice the voxel size along y and x, and compare them with the truth."""
    parameters = ObjectParameters(flow_spacing_nm=120.0, min_diameter_um=KINDS[kind], **changes)
    image, spacing = as_registered(phantom, 7), phantom.spacing_nm
    grid = flow_grid(image.shape, spacing, parameters)
    flows = np.zeros((4, *grid.shape), np.float16)
    execution = Execution(workers=1)
    network = load_network("phantom-compact", kind, "cpu")
    predict_flows(image, spacing, grid, network, MemorySink(flows), parameters, execution)
    truth = downsample(getattr(phantom, kind), (1, 2, 2), "label")
    coarse = (spacing[0], 2 * spacing[1], 2 * spacing[2])
    target = Grid(truth.shape, coarse, (0.0, spacing[1] / 2, spacing[2] / 2))
    labels, scratch = (np.zeros(truth.shape, np.uint32) for _ in range(2))
    count = segment_masks(
        MaskInputs(flows, grid, target),
        MemorySink(scratch),
        MemorySink(labels),
        parameters,
        execution,
    )
    assert labels.max() == count
    smallest = int(np.pi / 6 * KINDS[kind] ** 3 / voxel_volume_um3(coarse))
    return labels, match_labels(truth, labels, min_voxels=smallest)


def test_objects_of_a_small_phantom_are_found() -> None:
    phantom = make_phantom(shape=(36, 224, 224), spacing_nm=(120.0, 50.0, 50.0), seed=301)
    for kind in KINDS:
        _, match = segment(phantom, kind)
        # Few objects, most of them cut by the border: one error costs several per cent.
        assert match.f1 >= 0.8
        assert match.median_volume_error < 0.08


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 302, 303, 304])
def test_objects_of_a_default_phantom_are_found(seed: int) -> None:
    with ThreadPoolExecutor(2) as executor:
        phantom = make_phantom(seed=seed, executor=executor)
    found = {}
    for kind in KINDS:
        found[kind], match = segment(phantom, kind)
        assert match.f1 >= 0.85, kind
        assert match.median_volume_error < 0.08, kind
    cells, nuclei = found["cells"], found["nuclei"]
    match = match_labels(downsample(phantom.nuclei, (1, 2, 2), "label"), nuclei)
    cell_match = match_labels(downsample(phantom.cells, (1, 2, 2), "label"), cells)
    true_cell = {int(b): int(a) for a, b in cell_match.matches}
    right = 0
    for true, predicted in match.matches:
        parent = np.bincount(cells[nuclei == predicted]).argmax()
        right += true_cell.get(int(parent), -1) == phantom.nucleus_parents[true - 1]
    assert right / len(match.matches) >= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_ideal_flows_in_eighteen_blocks_give_the_labels_of_one(kind: Literal["cells", "nuclei"]) -> None:
    phantom = make_phantom(shape=(64, 320, 320), spacing_nm=(120.0, 50.0, 50.0), seed=307)
    truth = downsample(getattr(phantom, kind), (1, 2, 2), "label")
    target = Grid(truth.shape, (120.0, 100.0, 100.0), (0.0, 25.0, 25.0))
    grid = flow_grid(phantom.cells.shape, phantom.spacing_nm, ObjectParameters(flow_spacing_nm=100.0))
    nearest = [
        np.clip(np.rint((np.arange(n) * 100.0 + o - first) / side), 0, m - 1).astype(int)
        for n, o, first, side, m in zip(
            grid.shape, grid.origin_nm, target.origin_nm, target.spacing_nm, truth.shape, strict=True
        )
    ]
    flows = ideal(truth[np.ix_(*nearest)]).astype(np.float16)
    # The logit of ideal flows is the same everywhere and does not separate cells.
    parameters = ObjectParameters(min_diameter_um=0.5, merge_boundary_strength=0.0)
    results = []
    for block in (320, 60):
        execution = Execution(block_voxels=block, block_halo_voxels=40)
        labels, count = through_blocks(flows, grid, target, parameters, execution=execution)
        assert count == labels.max()
        results.append(labels)
    whole, blocks = results
    scores = [match_labels(truth, labels, min_voxels=300).f1 for labels in results]
    assert min(scores) > 0.97
    assert abs(scores[0] - scores[1]) <= 0.01
    # The same numbers in the same order, except for some voxels where objects touch.
    assert whole.max() == blocks.max()
    assert (whole == blocks).mean() > 0.995
