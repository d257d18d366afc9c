"""Second pass: mask, labels across slabs, resumption, splitting, the table."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cc3d
import numpy as np
import pandas as pd
import pytest
from nanoparticle_scenes import SPACING_NM, Scene, dice, make_scene
from numpy.typing import NDArray
from scipy import ndimage, stats

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
from spherovem_core.nanoparticles.ball_morphology import ball_offsets, close, dilate
from spherovem_core.nanoparticles.components import VoxelsOfSlice, touching_pairs, voxels_of
from spherovem_core.nanoparticles.evidence_boxes import threshold_boxes
from spherovem_core.nanoparticles.intensity_tables import evidence_table
from spherovem_core.nanoparticles.splitting import split_component
from spherovem_core.parameters import NanoparticleParameters

PARAMETERS = NanoparticleParameters()
SPLIT = NanoparticleParameters(split_touching=True, closing_nm=60.0, min_volume_nm3=1e5)
# Boxes of 2 x 7 x 7 voxels, which divide neither slabs nor columns.
COARSE = NanoparticleParameters(evidence_spacing_nm=75.0, smoothing_nm=10.0)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene((24, 120, 130), fraction=0.05, gain_drift=0.05)


@pytest.fixture(scope="module")
def mixture(scene: Scene) -> Mixture:
    return fit_statistics(collect_statistics(scene.image, SPACING_NM, PARAMETERS), PARAMETERS)


def _sinks(shape: tuple[int, ...]) -> list[MemorySink]:
    return [MemorySink(np.zeros(shape, dtype)) for dtype in (np.float16, np.uint32, np.uint32)]


def _whole(scene: Scene, mixture: Mixture, parameters: NanoparticleParameters) -> NDArray[np.uint32]:
    chance = posterior(scene.image, mixture, 0)
    return label_particles(chance, SPACING_NM, parameters, contrast(scene.image, mixture, 0))


def _streamed(
    scene: Scene, mixture: Mixture, parameters: NanoparticleParameters, **how: Any
) -> tuple[list[MemorySink], pd.DataFrame]:
    sinks = _sinks(scene.image.shape)
    return sinks, segment_particles(scene.image, SPACING_NM, mixture, *sinks, parameters, **how)


@pytest.mark.parametrize(
    "options", [{"gain_drift": 0.1}, {"fraction": 0.002, "seed": 1}, {"seed": 2, "noise": 10.0}]
)
def test_particles_are_found(options: dict[str, Any]) -> None:
    scene = make_scene((16, 200, 200), **options)
    found = fit_statistics(collect_statistics(scene.image, SPACING_NM, PARAMETERS), PARAMETERS)
    labels = _whole(scene, found, PARAMETERS)
    assert dice(labels > 0, scene.truth) > 0.96
    assert labels.max() == cc3d.connected_components(scene.truth).max()


def test_a_stack_without_particles_has_no_label() -> None:
    scene = make_scene((16, 200, 200), fraction=0.0)
    found = fit_statistics(collect_statistics(scene.image, SPACING_NM, PARAMETERS), PARAMETERS)
    sinks, table = _streamed(scene, found, PARAMETERS)
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
def test_labels_are_the_same_whatever_the_slabs(
    scene: Scene,
    mixture: Mixture,
    parameters: NanoparticleParameters,
    depth: int,
    label_block: tuple[int, int, int],
) -> None:
    expected = _whole(scene, mixture, parameters)
    assert expected.max() > 10
    sinks, table = _streamed(scene, mixture, parameters, depth=depth, label_block=label_block)
    np.testing.assert_array_equal(sinks[2].array, expected)
    np.testing.assert_array_equal(sinks[0].array, posterior(scene.image, mixture, 0).astype(np.float16))
    assert len(table) == expected.max()


def test_workers_change_nothing(scene: Scene, mixture: Mixture) -> None:
    one, table = _streamed(scene, mixture, SPLIT, depth=6)
    with ThreadPoolExecutor(3) as executor:
        many, other = _streamed(
            scene, mixture, SPLIT, depth=6, execution=Execution(executor=executor, workers=3)
        )
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a.array, b.array)
    pd.testing.assert_frame_equal(table, other, check_exact=True)


class _Stopping(MemorySink):
    """A sink whose run is killed after some blocks."""

    left = 10**9

    def write(self, block: Block, values: NDArray[Any]) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        super().write(block, values)


@pytest.mark.parametrize("stop", [(0, 2), (1, 0), (1, 3), (2, 2)], ids=str)
def test_a_killed_run_goes_on_to_the_same_result(
    scene: Scene, mixture: Mixture, stop: tuple[int, int]
) -> None:
    how = {"depth": 6, "label_block": (8, 80, 130)}
    expected, table = _streamed(scene, mixture, SPLIT, **how)
    sinks = [_Stopping(sink.array) for sink in _sinks(scene.image.shape)]
    sinks[stop[0]].left = stop[1]
    with pytest.raises(KeyboardInterrupt):
        segment_particles(scene.image, SPACING_NM, mixture, *sinks, SPLIT, **how)
    for sink in sinks:
        sink.left = 10**9
    again = segment_particles(scene.image, SPACING_NM, mixture, *sinks, SPLIT, **how)
    for a, b in zip(expected, sinks, strict=True):
        np.testing.assert_array_equal(a.array, b.array)
    pd.testing.assert_frame_equal(table, again, check_exact=True)


def test_finished_slabs_are_not_computed_again(
    scene: Scene, mixture: Mixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sinks, table = _streamed(scene, mixture, PARAMETERS, depth=5)

    def refuse(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr("spherovem_core.nanoparticles.slab_segmentation.label_slab", refuse)
    again = segment_particles(scene.image, SPACING_NM, mixture, *sinks, PARAMETERS, depth=5)
    pd.testing.assert_frame_equal(table, again, check_exact=True)


def test_a_deadline_stops_between_slabs_and_keeps_them(scene: Scene, mixture: Mixture) -> None:
    sinks = _sinks(scene.image.shape)
    with pytest.raises(DeadlineError, match="after 1 of"):
        segment_particles(
            scene.image, SPACING_NM, mixture, *sinks, PARAMETERS, Execution(deadline=0.0), depth=4
        )
    slabs = slab_grid(scene.image.shape, 4)
    assert len(sinks[0].pending(slabs)) == len(slabs) - 1


def test_table_is_what_the_labels_say(scene: Scene, mixture: Mixture) -> None:
    sinks, table = _streamed(scene, mixture, PARAMETERS, depth=5)
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


def _ball(radius_nm: float, shape: tuple[int, int, int], centre: Sequence[float]) -> NDArray[np.bool_]:
    axes = [np.arange(n) * d - c for n, d, c in zip(shape, SPACING_NM, centre, strict=True)]
    return np.asarray(sum(a**2 for a in np.meshgrid(*axes, indexing="ij")) <= radius_nm**2)


def test_balls_are_round_in_nm() -> None:
    offsets = ball_offsets(100.0, SPACING_NM)
    lengths = np.sqrt(((offsets * np.array(SPACING_NM)) ** 2).sum(axis=1))
    assert lengths.max() <= 100
    assert len(offsets) == _ball(100.0, (5, 21, 21), (100.0, 100.0, 100.0)).sum()
    np.testing.assert_array_equal(np.abs(offsets).max(axis=0), [2, 10, 10])


def test_dilation_and_closing_are_the_plain_ones() -> None:
    random = np.random.default_rng(0)
    mask = ndimage.gaussian_filter(random.standard_normal((9, 40, 40)), (0.5, 2, 2)) > 0.25
    footprint = _ball(60.0, (3, 13, 13), (50.0, 60.0, 60.0))
    grown = ndimage.binary_dilation(mask, footprint)
    np.testing.assert_array_equal(dilate(mask, 60.0, SPACING_NM), grown)
    shrunk = ndimage.binary_erosion(grown, footprint, border_value=1)
    np.testing.assert_array_equal(close(mask, 60.0, SPACING_NM), shrunk)


def test_closing_fills_a_gap_and_smoothing_drops_a_speck() -> None:
    chance = np.zeros((5, 60, 60))
    chance[1:4, 20:40, 20:29] = chance[1:4, 20:40, 32:40] = 1.0
    chance[2, 5, 5] = 1.0
    plain = NanoparticleParameters(smoothing_nm=0.0, min_volume_nm3=0.0)
    assert label_particles(chance, SPACING_NM, plain).max() == 3
    closing = NanoparticleParameters(smoothing_nm=0.0, min_volume_nm3=0.0, closing_nm=30.0)
    assert label_particles(chance, SPACING_NM, closing).max() == 2
    smoothing = NanoparticleParameters(smoothing_nm=15.0, min_volume_nm3=0.0)
    labels = label_particles(chance, SPACING_NM, smoothing)
    assert labels[2, 5, 5] == 0
    assert labels.max() == 2


def test_coarser_evidence_is_the_mean_of_boxes_in_nm() -> None:
    random = np.random.default_rng(0)
    chance = 1 / (1 + np.exp(-random.normal(0, 1.5, (5, 33, 26))))
    parameters = NanoparticleParameters(
        smoothing_nm=0.0,
        min_volume_nm3=0.0,
        evidence_spacing_nm=95.0,
        posterior_threshold=0.55,
        core_posterior=0.0,
    )
    # 95 nm are closest to two slices of 50 nm and to ten voxels of 10 nm (nine and a half rounds to even).
    evidence = evidence_table(chance).astype(np.float64)
    expected = np.zeros(chance.shape, bool)
    for z in range(0, 5, 2):
        for y in range(0, 33, 10):
            for x in range(0, 26, 10):
                box = (slice(z, z + 2), slice(y, y + 10), slice(x, x + 10))
                expected[box] = evidence[box].mean() > np.log(0.55 / 0.45)
    np.testing.assert_array_equal(label_particles(chance, SPACING_NM, parameters) > 0, expected)
    assert 0 < expected.mean() < 1


def test_means_of_boxes_outvote_noise_as_the_square_root_of_their_voxels() -> None:
    evidence = np.random.default_rng(0).normal(0.3, 1.0, (40, 120, 120)).astype(np.float32)
    for box in ((1, 2, 2), (2, 3, 4)):
        marked = threshold_boxes(evidence, box, 0.0)[:: box[0], :: box[1], :: box[2]]
        # The mean of n independent normal values is above 0 with the probability of 0.3 sqrt(n); 2e4 boxes or more.
        assert marked.mean() == pytest.approx(stats.norm.cdf(0.3 * np.prod(box) ** 0.5), abs=0.01)


def test_minimum_volume_is_in_nm3_and_threshold_is_of_the_posterior() -> None:
    chance = np.zeros((3, 20, 20))
    chance[1, 2:4, 2:4] = 0.9
    chance[1, 10:15, 10:15] = 0.6
    # 4 and 25 voxels of 5000 nm3.
    for smallest, threshold, expected in ((20_000, 0.5, 2), (20_001, 0.5, 1), (0, 0.8, 1), (0, 0.3, 2)):
        parameters = NanoparticleParameters(
            smoothing_nm=0.0, min_volume_nm3=smallest, posterior_threshold=threshold, core_posterior=0.0
        )
        assert label_particles(chance, SPACING_NM, parameters).max() == expected


def test_a_particle_needs_a_core() -> None:
    chance, contrasts = np.zeros((3, 20, 30)), np.zeros((3, 20, 30), np.float32)
    # 25 voxels each: one as sure as any, one with a voxel that is, one never sure, one never sure and bright.
    for x, (level, peak) in zip(
        (1, 8, 15, 22), ((1.0, 1.0), (0.9, 0.999), (0.98, 0.98), (0.98, 0.98)), strict=True
    ):
        chance[1, 5:10, x : x + 5], chance[1, 7, x + 2] = level, peak
    contrasts[1, 7, 24] = 1.0
    contrasts[1, 7, 17] = 0.99
    plain = NanoparticleParameters(smoothing_nm=0.0, edge_reach_nm=0.0, min_volume_nm3=0.0)
    for core, expected in ((0.995, [1, 2, 0, 3]), (0.97, [1, 2, 3, 4]), (0.9995, [1, 0, 0, 2])):
        parameters = plain.model_copy(update={"core_posterior": core})
        labels = label_particles(chance, SPACING_NM, parameters, contrasts)
        assert [labels[1, 6, x] for x in (1, 8, 15, 22)] == expected
    assert label_particles(chance, SPACING_NM, plain).max() == 2


def test_outline_lies_where_the_contrast_is_the_edge_share() -> None:
    # A ramp of the contrast from 1 at x = 20 to 0 at x = 40; what is found ends at x = 23.
    ramp = np.clip((40 - np.arange(60)) / 20, 0, 1)
    contrasts = np.broadcast_to(ramp, (3, 60, 60)).astype(np.float32)
    chance = (contrasts > 0.87).astype(np.float64)
    for share, last in ((0.5, 29), (0.25, 34), (0.75, 24)):
        parameters = NanoparticleParameters(smoothing_nm=0.0, edge_reach_nm=150.0, edge_share=share)
        labels = label_particles(chance, SPACING_NM, parameters, contrasts)
        # The contrast is share at x = 40 - 20 share; where it is just that, the voxel stays out.
        assert np.flatnonzero(labels[1, 30]).max() == last
    short = NanoparticleParameters(smoothing_nm=0.0, edge_reach_nm=30.0, edge_share=0.25)
    assert np.flatnonzero(label_particles(chance, SPACING_NM, short, contrasts)[1, 30]).max() == 25
    off = NanoparticleParameters(smoothing_nm=0.0, edge_reach_nm=0.0)
    assert np.flatnonzero(label_particles(chance, SPACING_NM, off, contrasts)[1, 30]).max() == 22


def test_surroundings_move_the_edge() -> None:
    # The same ramp down to a tissue at 0.4 instead of 0: half-way between is 0.7, at x = 30 as well.
    ramp = 0.4 + 0.6 * np.clip((40 - np.arange(80)) / 20, 0, 1)
    contrasts = np.broadcast_to(ramp, (1, 80, 80)).astype(np.float32)
    chance = (contrasts > 0.9).astype(np.float64)
    parameters = NanoparticleParameters(
        smoothing_nm=0.0, edge_reach_nm=200.0, surroundings_nm=150.0, edge_share=0.5, core_posterior=0.0
    )
    edge = np.flatnonzero(label_particles(chance, SPACING_NM, parameters, contrasts)[0, 40]).max()
    assert abs(edge - 29) <= 2


def test_touching_balls_are_split_at_the_neck() -> None:
    shape = (9, 40, 70)
    left, right = (_ball(150.0, shape, (200.0, 200.0, x)) for x in (200.0, 470.0))
    pieces = split_component(left | right, SPACING_NM, PARAMETERS)
    assert pieces.max() == 2
    # The neck is at x = 335 nm.
    for ball, side in ((left, slice(0, 33)), (right, slice(35, 70))):
        assert len(np.unique(pieces[:, :, side][(ball & (pieces > 0))[:, :, side]])) == 1
    deep = PARAMETERS.model_copy(update={"split_depth_nm": 120.0})
    assert split_component(left | right, SPACING_NM, deep).max() == 1


def test_planes_touch_by_faces_edges_and_corners() -> None:
    random = np.random.default_rng(0)
    upper = cc3d.connected_components(random.random((1, 30, 40)) > 0.9, connectivity=26)[0]
    lower = cc3d.connected_components(random.random((1, 30, 40)) > 0.9, connectivity=26)[0]
    expected = set()
    for y, x in np.argwhere(upper):
        for b in np.unique(lower[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]):
            if b:
                expected.add((int(upper[y, x]), int(b)))
    found = touching_pairs(voxels_of(upper), voxels_of(lower), 30, 40)
    assert {(int(a), int(b)) for a, b in found} == expected
    nothing = VoxelsOfSlice(np.empty(0, np.int64), np.empty(0, np.int64))
    assert len(touching_pairs(nothing, voxels_of(lower), 30, 40)) == 0


def test_evidence_is_limited_log_odds() -> None:
    np.testing.assert_allclose(
        evidence_table(np.array([0.0, 0.5, 0.75, 1.0])), [-5, 0, np.log(3), 5], atol=1e-3
    )


def test_arrays_that_do_not_belong_together_are_refused(scene: Scene, mixture: Mixture) -> None:
    with pytest.raises(ShapeMismatchError, match="the image has 5 slices, the mixture 24"):
        segment_particles(scene.image[:5], SPACING_NM, mixture, *_sinks(scene.image[:5].shape), PARAMETERS)
    with pytest.raises(ShapeMismatchError, match="must be two"):
        label_particles(np.zeros((2, 3, 4)), SPACING_NM, PARAMETERS, np.zeros((2, 3, 5), np.float32))
