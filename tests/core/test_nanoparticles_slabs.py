"""Second pass over a volume: labels across slabs, continuation after a kill, the table."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cc3d
import numpy as np
import pandas as pd
import pytest
from nanoparticle_scenes import SPACING_NM, Scene, dice, make_scene
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.blocks import Block, MemorySink, slab_grid
from spherovem_core.errors import DeadlineError, ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles import (
    Mixture,
    collect_statistics,
    contrast,
    fit_statistics,
    label_particles,
    posterior,
    segment_particles,
)
from spherovem_core.nanoparticles.components import LabelledVoxels, labelled_voxels, touching_pairs
from spherovem_core.parameters import NanoparticleParameters

PARAMETERS = NanoparticleParameters()
SPLIT = NanoparticleParameters(split_touching=True, closing_nm=60.0, min_volume_nm3=1e5)
# Boxes of 2 x 7 x 7 voxels, which cross the borders of slabs and columns.
COARSE = NanoparticleParameters(evidence_spacing_nm=75.0, smoothing_nm=10.0)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene((24, 120, 130), fraction=0.05, gain_drift=0.05)


@pytest.fixture(scope="module")
def mixture(scene: Scene) -> Mixture:
    return fit_statistics(collect_statistics(scene.image, SPACING_NM, PARAMETERS), PARAMETERS)


def _sinks(shape: tuple[int, ...]) -> list[MemorySink]:
    return [MemorySink(np.zeros(shape, dtype)) for dtype in (np.float16, np.uint32, np.uint32)]


def label_whole(scene: Scene, mixture: Mixture, parameters: NanoparticleParameters) -> NDArray[np.uint32]:
    chance = posterior(scene.image, mixture, 0)
    return label_particles(chance, SPACING_NM, parameters, contrast(scene.image, mixture, 0))


def label_slabs(
    scene: Scene, mixture: Mixture, parameters: NanoparticleParameters, **how: Any
) -> tuple[list[MemorySink], pd.DataFrame]:
    sinks = _sinks(scene.image.shape)
    return sinks, segment_particles(scene.image, SPACING_NM, mixture, *sinks, parameters, **how)


@pytest.mark.parametrize(
    "options", [{"gain_drift": 0.1}, {"fraction": 0.002, "seed": 1}, {"seed": 2, "noise": 10.0}]
)
def test_labels_match_the_truth_in_number_and_dice(options: dict[str, Any]) -> None:
    scene = make_scene((16, 200, 200), **options)
    found = fit_statistics(collect_statistics(scene.image, SPACING_NM, PARAMETERS), PARAMETERS)
    labels = label_whole(scene, found, PARAMETERS)
    assert dice(labels > 0, scene.truth) > 0.96
    assert labels.max() == cc3d.connected_components(scene.truth).max()


def test_stack_without_particles_has_no_label() -> None:
    scene = make_scene((16, 200, 200), fraction=0.0)
    found = fit_statistics(collect_statistics(scene.image, SPACING_NM, PARAMETERS), PARAMETERS)
    sinks, table = label_slabs(scene, found, PARAMETERS)
    assert not found.detected
    assert len(table) == 0
    assert {"label", "bbox_z0", "centroid_z_um", "volume_um3", "mean_posterior"} <= set(table.columns)
    assert all(not sink.array.any() for sink in sinks)


@pytest.mark.parametrize(
    "parameters", [PARAMETERS, SPLIT, COARSE], ids=["plain", "split and closed", "coarser evidence"]
)
@pytest.mark.parametrize(
    ("depth", "label_block"), [(1, (5, 64, 50)), (7, (24, 120, 130)), (64, (10, 33, 130))]
)
def test_labels_do_not_depend_on_slabs_or_label_blocks(
    scene: Scene,
    mixture: Mixture,
    parameters: NanoparticleParameters,
    depth: int,
    label_block: tuple[int, int, int],
) -> None:
    expected = label_whole(scene, mixture, parameters)
    assert expected.max() > 10
    sinks, table = label_slabs(scene, mixture, parameters, depth=depth, label_block=label_block)
    np.testing.assert_array_equal(sinks[2].array, expected)
    np.testing.assert_array_equal(sinks[0].array, posterior(scene.image, mixture, 0).astype(np.float16))
    assert len(table) == expected.max()


def test_labels_do_not_depend_on_workers(scene: Scene, mixture: Mixture) -> None:
    one, table = label_slabs(scene, mixture, SPLIT, depth=6)
    with ThreadPoolExecutor(3) as executor:
        many, other = label_slabs(
            scene, mixture, SPLIT, depth=6, execution=Execution(executor=executor, workers=3)
        )
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a.array, b.array)
    pd.testing.assert_frame_equal(table, other, check_exact=True)


class KilledSink(MemorySink):
    """Sink that interrupts the run after some blocks."""

    left = 10**9

    def write(self, block: Block, values: NDArray[Any]) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        super().write(block, values)


@pytest.mark.parametrize("stop", [(0, 2), (1, 0), (1, 3), (2, 2)], ids=str)
def test_killed_run_continues_to_the_same_result(
    scene: Scene, mixture: Mixture, stop: tuple[int, int]
) -> None:
    how = {"depth": 6, "label_block": (8, 80, 130)}
    expected, table = label_slabs(scene, mixture, SPLIT, **how)
    sinks = [KilledSink(sink.array) for sink in _sinks(scene.image.shape)]
    sinks[stop[0]].left = stop[1]
    with pytest.raises(KeyboardInterrupt):
        segment_particles(scene.image, SPACING_NM, mixture, *sinks, SPLIT, **how)
    for sink in sinks:
        sink.left = 10**9
    again = segment_particles(scene.image, SPACING_NM, mixture, *sinks, SPLIT, **how)
    for a, b in zip(expected, sinks, strict=True):
        np.testing.assert_array_equal(a.array, b.array)
    pd.testing.assert_frame_equal(table, again, check_exact=True)


def test_finished_slabs_are_not_written_again(scene: Scene, mixture: Mixture) -> None:
    sinks = [KilledSink(sink.array) for sink in _sinks(scene.image.shape)]
    table = segment_particles(scene.image, SPACING_NM, mixture, *sinks, PARAMETERS, depth=5)
    for sink in sinks:
        sink.left = 0
    again = segment_particles(scene.image, SPACING_NM, mixture, *sinks, PARAMETERS, depth=5)
    pd.testing.assert_frame_equal(table, again, check_exact=True)


def test_deadline_stops_between_slabs_and_keeps_finished_ones(scene: Scene, mixture: Mixture) -> None:
    sinks = _sinks(scene.image.shape)
    with pytest.raises(DeadlineError, match="after 1 of"):
        segment_particles(
            scene.image, SPACING_NM, mixture, *sinks, PARAMETERS, Execution(deadline=0.0), depth=4
        )
    slabs = slab_grid(scene.image.shape, 4)
    assert len(sinks[0].pending(slabs)) == len(slabs) - 1


def test_table_equals_measures_of_the_labels(scene: Scene, mixture: Mixture) -> None:
    sinks, table = label_slabs(scene, mixture, PARAMETERS, depth=5)
    labels, chance = sinks[2].array, sinks[0].array.astype(np.float64)
    index = np.arange(1, labels.max() + 1)
    np.testing.assert_array_equal(table["label"], index)
    counts = np.bincount(labels.ravel())[1:]
    np.testing.assert_array_equal(table["voxel_count"], counts)
    # A voxel of 50 x 10 x 10 nm is 5e-6 cubic micrometres.
    np.testing.assert_allclose(table["volume_um3"], counts * 5e-6)
    np.testing.assert_allclose(table["equivalent_diameter_um"] ** 3 * np.pi / 6, counts * 5e-6)
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, index)) * np.array(SPACING_NM) / 1000
    np.testing.assert_allclose(table[["centroid_z_um", "centroid_y_um", "centroid_x_um"]], centres)
    np.testing.assert_allclose(table["mean_posterior"], ndimage.mean(chance, labels, index))
    np.testing.assert_allclose(table["mean_intensity"], ndimage.mean(scene.image, labels, index))
    for row, box in zip(table.itertuples(), ndimage.find_objects(labels.astype(int)), strict=True):
        assert (row.bbox_z0, row.bbox_y0, row.bbox_x0) == tuple(s.start for s in box)
        assert (row.bbox_z1, row.bbox_y1, row.bbox_x1) == tuple(s.stop for s in box)


def test_adjacent_slices_touch_by_faces_edges_and_corners() -> None:
    random = np.random.default_rng(0)
    upper = cc3d.connected_components(random.random((1, 30, 40)) > 0.9, connectivity=26)[0]
    lower = cc3d.connected_components(random.random((1, 30, 40)) > 0.9, connectivity=26)[0]
    expected = set()
    for y, x in np.argwhere(upper):
        for b in np.unique(lower[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]):
            if b:
                expected.add((int(upper[y, x]), int(b)))
    found = touching_pairs(labelled_voxels(upper), labelled_voxels(lower), 30, 40)
    assert {(int(a), int(b)) for a, b in found} == expected
    nothing = LabelledVoxels(np.empty(0, np.int64), np.empty(0, np.int64))
    assert len(touching_pairs(nothing, labelled_voxels(lower), 30, 40)) == 0


def test_arrays_of_other_shapes_are_refused(scene: Scene, mixture: Mixture) -> None:
    with pytest.raises(ShapeMismatchError, match="the image has 5 slices, the mixture 24"):
        segment_particles(scene.image[:5], SPACING_NM, mixture, *_sinks(scene.image[:5].shape), PARAMETERS)
    with pytest.raises(ShapeMismatchError, match="must be two"):
        label_particles(np.zeros((2, 3, 4)), SPACING_NM, PARAMETERS, np.zeros((2, 3, 5), np.float32))
