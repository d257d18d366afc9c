"""Serial sections much thicker than their pixels: slices, flows, masks and learned merging in their own plane."""

import logging

import numpy as np
import pytest
from scipy import ndimage

from spherovem_core.blocks import MemorySink
from spherovem_core.errors import LabelsError
from spherovem_core.execution import Execution
from spherovem_core.parameters import FlowParameters, ObjectParameters, SliceCuttingParameters
from spherovem_core.segmentation import Grid, flow_grid, load_network, match_labels, predict_flows
from spherovem_core.segmentation.filters import filter_probability, filter_vectors
from spherovem_core.segmentation.fine_tuning import cut_slices, uncertain_places
from spherovem_core.segmentation.fine_tuning.places import spread_places
from spherovem_core.segmentation.fine_tuning.prediction import predict_section
from spherovem_core.segmentation.fine_tuning.training_regions import place_slice
from spherovem_core.segmentation.grid import warn_of_thick_sections
from spherovem_core.segmentation.mask_inputs import MaskInputs
from spherovem_core.segmentation.stitching import segment_masks
from spherovem_core.segmentation.watershed_supervoxels import watershed_supervoxels
from spherovem_core.synthetic.phantom import make_phantom

SPACING = (200.0, 25.0, 25.0)
ORIGIN = (100.0, 0.0, 12.5)
SHAPE = (9, 60, 80)
PARAMETERS = ObjectParameters(
    network="phantom-compact", flow_spacing_nm=25.0, planes="xy", min_diameter_um=0.1, fill_holes=False
)


def test_sections_keep_their_thickness_and_their_places() -> None:
    grid = flow_grid(SHAPE, SPACING, FlowParameters(flow_spacing_nm=50.0, planes="xy"), ORIGIN)
    assert grid == Grid((9, 30, 40), (200.0, 50.0, 50.0), (100.0, 12.5, 25.0))
    # Slices thinner than the flows are averaged, as in all planes.
    thin = flow_grid((40, 60, 80), (10.0, 25.0, 25.0), FlowParameters(flow_spacing_nm=50.0, planes="xy"))
    assert thin.spacing_nm == (50.0, 50.0, 50.0)


def test_a_user_is_told_of_thick_sections(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_thick_sections(SPACING, FlowParameters(flow_spacing_nm=50.0))
        warn_of_thick_sections(SPACING, PARAMETERS)
    assert not caplog.records
    warn_of_thick_sections(SPACING, FlowParameters(flow_spacing_nm=25.0))
    assert "cut slices and segment with planes xy" in caplog.text


def test_the_network_sees_each_section_by_itself() -> None:
    phantom = make_phantom(shape=(4, 96, 96), spacing_nm=(400.0, 100.0, 100.0), seed=31)
    parameters = FlowParameters(flow_spacing_nm=100.0, planes="xy")
    network = load_network("phantom-compact", "cells", "cpu")

    def flows(image: np.ndarray) -> np.ndarray:
        grid = flow_grid(image.shape, phantom.spacing_nm, parameters)
        found = np.zeros((4, *grid.shape), np.float16)
        predict_flows(
            image,
            phantom.spacing_nm,
            grid,
            network,
            MemorySink(found),
            parameters,
            Execution("cpu"),
            intensities=(0, 255),
        )
        return found

    found = flows(phantom.clean)
    assert not found[0].any()
    order = [2, 0, 3, 1]
    assert np.allclose(flows(phantom.clean[order]), found[:, order], atol=0.05)
    # As large as the sum of three planes, of which two give the flow along an axis.
    section = predict_section((phantom.clean[1] / 255).astype(np.float32), network)
    inner = (slice(16, -16), slice(16, -16))
    for number, factor in ((0, 2), (1, 2), (2, 3)):
        assert np.median(np.abs(factor * section[number][inner] - found[number + 1, 1][inner])) < 0.2


def columns() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two leaning columns that end in the middle of the volume above a third one, their flows and an image."""
    z, y, x = np.indices(SHAPE)
    labels = np.zeros(SHAPE, np.uint32)
    for label, row, column, low, high in ((1, 20, 20, 0, 9), (2, 40, 50, 0, 4), (3, 24, 58, 5, 9)):
        inside = (np.hypot(y - row, x - column - z) < 10) & (z >= low) & (z < high)
        labels[inside] = label
    flows = np.zeros((4, *SHAPE), np.float32)
    flows[3] = np.where(labels > 0, 6, -6)
    for plane, own in enumerate(labels):
        for label in np.unique(own[own > 0]):
            centre = np.argwhere(own == label).mean(axis=0)
            away = np.indices(own.shape) - centre[:, None, None]
            flows[1:3, plane, own == label] = (-10 * away / np.maximum(np.linalg.norm(away, axis=0), 1))[
                :, own == label
            ]
    image = np.where(labels > 0, 180, 60).astype(np.uint8)
    return labels, flows.astype(np.float16), image


def masks(flows: np.ndarray, image: np.ndarray, block_voxels: int = 256, **changes: object) -> np.ndarray:
    grid = Grid(SHAPE, SPACING)
    labels, provisional = (np.zeros(SHAPE, np.uint32) for _ in range(2))
    segment_masks(
        MaskInputs(flows, grid, grid, image, grid.in_sections),
        MemorySink(provisional),
        MemorySink(labels),
        PARAMETERS.model_copy(update={"flow_smoothing": 2.0, **changes}),
        Execution("cpu", block_voxels=block_voxels, block_halo_voxels=16),
    )
    return labels


@pytest.mark.parametrize("dynamics", ["compiled", "cellpose"])
@pytest.mark.parametrize("block_voxels", [256, 40])
def test_objects_of_overlapping_sections_become_one(block_voxels: int, dynamics: str) -> None:
    truth, flows, image = columns()
    assert match_labels(truth, masks(flows, image, block_voxels, mask_dynamics=dynamics), 0.8).f1 == 1
    apart = masks(flows, image, block_voxels, merge_boundary_strength=0.0, mask_dynamics=dynamics)
    # One object per section and column: where flows converge in one section says nothing about the next.
    assert len(np.unique(apart[apart > 0])) == 9 + 4 + 4


def test_objects_whose_flows_disagree_are_measured_in_their_sections() -> None:
    truth, flows, image = columns()
    kept = masks(flows, image, flow_error_threshold=0.4, merge_boundary_strength=0.0)
    assert len(np.unique(kept[kept > 0])) == 17
    flows[1:3, :, :, :] *= np.where(truth == 1, -1, 1).astype(np.float16)
    kept = masks(flows, image, flow_error_threshold=0.4)
    assert not (kept[truth == 1] > 0).any()


def test_filters_are_as_wide_across_sections_as_within() -> None:
    vectors = np.random.default_rng(0).normal(size=(3, 6, 40, 40)).astype(np.float32)
    parameters = ObjectParameters(
        flow_smoothing=2.0, probability_filter="median", probability_filter_voxels=2
    )
    thick = filter_vectors(vectors, parameters, (8.0, 1.0, 1.0))
    alone = np.stack(
        [[ndimage.gaussian_filter(plane, 2.0, truncate=3.0) for plane in one] for one in vectors]
    )
    assert np.abs(thick - alone).max() < 0.01 * np.abs(alone).max()
    assert np.array_equal(
        filter_probability(vectors[0], parameters, sides=(8.0, 1.0, 1.0)),
        ndimage.median_filter(vectors[0], (1, 5, 5)),
    )
    expected = ndimage.gaussian_filter(vectors[0], (1.0, 1.0, 2.0), truncate=3.0)
    assert np.array_equal(filter_vectors(vectors, parameters, (2.0, 2.0, 1.0))[0], expected)


def test_slices_are_sections_as_acquired() -> None:
    image = np.random.default_rng(1).integers(0, 255, SHAPE).astype(np.uint8)
    grid = Grid(SHAPE, SPACING, ORIGIN)
    parameters = SliceCuttingParameters(slices_per_plane=4, flow_spacing_nm=25.0, side_px=64, planes="xy")
    cut = list(cut_slices(image, grid, "serial", parameters))
    assert [origin.plane for _, origin in cut] == ["xy"] * 4
    flows = flow_grid(SHAPE, SPACING, PARAMETERS, ORIGIN)
    isotropic = flow_grid(SHAPE, SPACING, FlowParameters(flow_spacing_nm=25.0), ORIGIN)
    for values, origin in cut:
        section, column = (
            round((origin.position_nm - ORIGIN[0]) / 200),
            round((origin.corner_nm[1] - ORIGIN[2]) / 25),
        )
        assert np.array_equal(values, image[section, :, column : column + 64])
        assert place_slice(origin, values.astype(np.uint32), flows).axis == 0
        with pytest.raises(LabelsError, match="for other planes"):
            place_slice(origin, values.astype(np.uint32), isotropic)


def test_uncertain_places_are_in_sections() -> None:
    parameters = SliceCuttingParameters(slice_count=4, side_px=64, planes="xy")
    tiles = np.random.default_rng(2).random((2, 8, 10)).astype(np.float32)
    assert [axis for axis, _ in uncertain_places(tiles, SHAPE, parameters)] == [0] * 4
    assert {axis for axis, _ in spread_places(SHAPE, parameters)} == {0}


def test_supervoxels_end_with_their_section() -> None:
    boundary = np.zeros((3, 40, 40), np.float32)
    boundary[:, :, 20] = 1
    found = watershed_supervoxels(boundary, np.ones(boundary.shape, bool), in_sections=True)
    for first, second in ((0, 1), (1, 2)):
        assert not np.intersect1d(found[first], found[second]).size
    assert all(len(np.unique(section)) == 2 for section in found)
