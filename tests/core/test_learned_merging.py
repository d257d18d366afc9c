import numpy as np
import pytest
from fine_tuning_scenes import dark_is_boundary, rod_parts
from scipy import ndimage

from spherovem_core.blocks import MemorySink
from spherovem_core.errors import LabelsError, NetworkError
from spherovem_core.execution import Execution
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import merging_model
from spherovem_core.segmentation.boosted_trees import NO_TREES, BoostedTrees, fit_trees
from spherovem_core.segmentation.evaluation import match_labels
from spherovem_core.segmentation.fine_tuning import merging_training
from spherovem_core.segmentation.fine_tuning.merging_training import (
    THRESHOLDS,
    boundary_pixels,
    choose_threshold,
    learn_merging,
    section_labels,
    touching_pairs,
)
from spherovem_core.segmentation.fine_tuning.slice_files import SliceOrigin
from spherovem_core.segmentation.fine_tuning.training_regions import (
    PlacedSlice,
    TrainingRegion,
    place_slice,
    surroundings,
)
from spherovem_core.segmentation.grid import Grid
from spherovem_core.segmentation.learned_merging import LearnedMerging
from spherovem_core.segmentation.mask_inputs import MaskInputs
from spherovem_core.segmentation.merging_model import MergingModel, read_merging_model, write_merging_model
from spherovem_core.segmentation.stitching import segment_masks
from spherovem_core.segmentation.voxel_features import MARGIN, SCALES, voxel_features

SHAPE = (48, 64, 80)
SPACING = (20.0, 20.0, 20.0)
PLACES = [(0, 10), (0, 30), *((axis, n) for axis in (1, 2) for n in range(4, 64, 6))]
PARAMETERS = ObjectParameters(min_diameter_um=0.05, fill_holes=False)


def rods(shape=SHAPE, seed=0):
    """Return labels, image and flows of rods, see `rod_parts`."""
    labels, plates, membranes = rod_parts(shape)
    image = np.ones(shape, np.float32)
    image[plates | membranes] = 0.1
    image += np.random.default_rng(seed).normal(0, 0.05, shape).astype(np.float32)
    flows = np.zeros((4, *shape), np.float16)
    flows[3] = 5
    return labels.astype(np.uint32), image, flows


def region_of(labels, image, flows, places):
    grid = Grid(image.shape, SPACING)
    slices = []
    for axis, index in places:
        region = tuple(
            slice(index, index + 1) if n == axis else slice(0, size) for n, size in enumerate(image.shape)
        )
        slices.append(PlacedSlice(f"{axis}-{index}", axis, index, region, labels[region].squeeze(axis)))
    return TrainingRegion(grid, image, flows, slices)


@pytest.fixture(scope="module")
def model():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging_training, "_fit_boundary", lambda *_: dark_is_boundary(0.6))
        return trained()


def trained():
    region = region_of(*rods(), PLACES)
    found, scores = learn_merging([region], (0.0, 1.0), (1.0, 99.0), PARAMETERS, Execution())
    assert scores.different > 50
    return found


def segment(
    image, flows, learned, block_voxels=256, halo=24, workers=1, ledger=None, sinks=None, progress=None
):
    grid = Grid(image.shape, SPACING)
    provisional, labels = sinks or (MemorySink(np.zeros(image.shape, np.uint32)) for _ in range(2))
    options = {} if progress is None else {"progress": progress}
    execution = Execution(block_voxels=block_voxels, block_halo_voxels=halo, workers=workers, **options)
    inputs = MaskInputs(flows, grid, grid, image)
    segment_masks(inputs, provisional, labels, PARAMETERS, execution, ledger, learned)
    return labels.array


def test_pieces_of_another_volume_are_merged_to_its_objects(model):
    labels, image, flows = rods(seed=1)
    apart = MergingModel(model.boundary, NO_TREES, 0.0, model.spacing_nm, model.percentiles)
    pieces = segment(image, flows, LearnedMerging(apart, (0.0, 1.0)))
    merged = segment(image, flows, LearnedMerging(model, (0.0, 1.0)))
    assert pieces.max() > 3 * len(np.unique(labels))
    assert match_labels(labels, merged, 0.8).f1 == 1


def test_labels_do_not_depend_on_blocks(model):
    labels, image, flows = rods(seed=2)
    learned = LearnedMerging(model, (0.0, 1.0))
    whole, blocked = (segment(image, flows, learned, edge) for edge in (256, 32))
    found = match_labels(whole, blocked, 0.9)
    assert found.f1 == 1
    assert match_labels(labels, blocked, 0.8).f1 == 1


def test_labels_do_not_depend_on_workers(model):
    _, image, flows = rods((24, 48, 48), seed=3)
    learned = LearnedMerging(model, (0.0, 1.0))
    one, two = (segment(image, flows, learned, 24, workers=workers) for workers in (1, 2))
    assert np.array_equal(one, two)


def test_killed_segmentation_continues(model):
    class KilledError(Exception):
        pass

    _, image, flows = rods((48, 48, 48), seed=3)
    learned = LearnedMerging(model, (0.0, 1.0))
    whole = segment(image, flows, learned, 24)
    ledger = {}
    sinks = [MemorySink(np.zeros(image.shape, np.uint32)) for _ in range(2)]

    def kill(done, total):
        if done == 5:
            raise KilledError

    with pytest.raises(KilledError):
        segment(image, flows, learned, 24, ledger=ledger, sinks=sinks, progress=kill)
    assert 0 < len(ledger) < 8
    assert np.array_equal(segment(image, flows, learned, 24, ledger=ledger, sinks=sinks), whole)


def test_features_of_a_part_are_those_of_the_whole():
    _, image, flows = rods((40, 44, 48))
    flows = np.random.default_rng(0).normal(size=flows.shape).astype(np.float32)
    whole = voxel_features(image, flows)
    inner = (slice(MARGIN, -MARGIN),) * 3
    part = voxel_features(image[3:, 5:, 2:], flows[:, 3:, 5:, 2:])
    assert np.allclose(part[(slice(None), *inner)], whole[:, 3:, 5:, 2:][(slice(None), *inner)], atol=1e-5)


def test_eigenvalues_are_those_of_a_parabola():
    z, y, x = np.indices((31, 31, 31), dtype=np.float32) - 15
    # Smoothing leaves second derivatives as they are: 0.06, 0.02 and -0.04, along turned axes.
    turned = (y + x) / np.sqrt(2), (y - x) / np.sqrt(2)
    image = (0.03 * turned[0] ** 2 + 0.01 * turned[1] ** 2 - 0.02 * z**2).astype(np.float32)
    features = voxel_features(image, np.zeros((4, *image.shape), np.float32))[:, 15, 15, 15]
    for number, sigma in enumerate((0.7, 1.5)):
        eigenvalues = features[5 * number + 2 : 5 * number + 5] / sigma**2
        assert np.allclose(eigenvalues, [0.06, 0.02, -0.04], atol=2e-3)


def test_trees_are_those_of_scikit_learn():
    from sklearn.ensemble import HistGradientBoostingClassifier

    generator = np.random.default_rng(0)
    features = generator.normal(size=(4, 3000)).astype(np.float32)
    classes = features[0] + features[1] * features[2] > 0
    trees = fit_trees(features, classes, trees=20, leaves=7, seed=3)
    reference = HistGradientBoostingClassifier(
        max_iter=20, max_leaf_nodes=7, min_samples_leaf=20, early_stopping=False, random_state=3
    ).fit(features.T, classes)
    expected = reference.predict_proba(features.T)[:, 1]
    assert np.allclose(trees.probability(features), expected, atol=1e-6)
    assert np.allclose(trees.probability(features[:, :10]), expected[:10], atol=1e-6)
    again = BoostedTrees.from_arrays(trees.arrays("a"), "a", 4)
    assert np.array_equal(again.probability(features), trees.probability(features))
    with pytest.raises(NetworkError, match="no decision trees over 2 features"):
        BoostedTrees.from_arrays(trees.arrays("a"), "a", 2)


def test_model_survives_its_file(model, tmp_path):
    path = tmp_path / "weights-merging.safetensors"
    write_merging_model(path, model, {"fingerprint": "abc"})
    again, origin = read_merging_model(path)
    assert origin == {"fingerprint": "abc"}
    assert (again.strongest, again.spacing_nm, again.percentiles) == (model.strongest, 20.0, (1.0, 99.0))
    _, image, flows = rods((24, 48, 48), seed=3)
    first, second = (segment(image, flows, LearnedMerging(one, (0.0, 1.0))) for one in (model, again))
    assert np.array_equal(first, second)


def test_damaged_model_tells_the_remedy(model, tmp_path):
    path = tmp_path / "weights-merging.safetensors"
    write_merging_model(path, model, {})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(NetworkError, match="finetune --volume, or delete it"):
        read_merging_model(path)


def test_model_of_another_format_tells_the_remedy(model, tmp_path, monkeypatch):
    path = tmp_path / "weights-merging.safetensors"
    monkeypatch.setattr(merging_model, "FORMAT", 99)
    write_merging_model(path, model, {})
    monkeypatch.undo()
    with pytest.raises(NetworkError, match=r"format 99, this version reads .*train it again"):
        read_merging_model(path)


def test_too_few_contacts_are_refused():
    labels, image, flows = rods((24, 32, 32))
    region = region_of(np.ones_like(labels), image, flows, [(0, 4), (0, 12)])
    with pytest.raises(LabelsError, match="no boundary"):
        learn_merging([region], (0.0, 1.0), (1.0, 99.0), PARAMETERS, Execution())


def test_boundary_pixels_of_touching_and_separate_objects():
    labels = np.zeros((1, 20), np.uint32)
    labels[0, 2:6], labels[0, 6:9] = 1, 2
    edge, known = boundary_pixels(labels)
    assert np.flatnonzero(edge[0]).tolist() == [0, 1, 2, 5, 6, 8, 9, 10]
    assert np.flatnonzero(known[0]).tolist() == list(range(11))


def test_threshold_is_near_a_half_unless_slices_speak_against_it():
    assert choose_threshold(np.ones(len(THRESHOLDS))) == 0.5
    assert choose_threshold(1 + abs(THRESHOLDS - 0.8)) == 0.75


def test_section_labels_need_a_clear_majority():
    objects = np.array([[1] * 10 + [2] * 10 + [3] * 4])
    labels = np.array([[7] * 9 + [8] + [7] * 5 + [8] * 5 + [9] * 4], np.uint32)
    assert section_labels(objects, labels) == {1: 7}
    assert touching_pairs(objects).tolist() == [[1, 2], [2, 3]]


def test_slices_are_placed_on_the_grid_of_the_flows():
    grid = Grid((50, 60, 70), (20.0, 20.0, 20.0), (10.0, 5.0, 5.0))
    origin = SliceOrigin("a", "xz", 105.0, (210.0, 25.0), 20.0, 0.0, 1.0)
    found = place_slice(origin, np.ones((30, 40), np.uint32), grid)
    assert (found.axis, found.index) == (1, 5)
    assert found.region == (slice(10, 40), slice(5, 6), slice(1, 41))
    with pytest.raises(LabelsError, match="cut from another volume"):
        place_slice(origin, np.ones((30, 90), np.uint32), grid)


def test_surroundings_of_near_slices_are_one_region():
    def plane(z):
        return PlacedSlice(
            str(z), 0, z, (slice(z, z + 1), slice(0, 40), slice(0, 40)), np.ones((40, 40), np.uint32)
        )

    found = surroundings([plane(n) for n in (10, 30, 200)], (300, 40, 40))
    assert [(region[0], len(slices)) for region, slices in found] == [(slice(0, 55), 2), (slice(176, 225), 1)]


def test_thick_sections_are_filtered_across_only_where_the_scale_reaches() -> None:
    image = np.random.default_rng(0).random((8, 30, 30)).astype(np.float32)
    flows = np.random.default_rng(1).random((4, *image.shape)).astype(np.float32)
    alone = np.concatenate([voxel_features(image[z : z + 1], flows[:, z : z + 1]) for z in range(8)], axis=1)
    thick = voxel_features(image, flows, 8.0)
    # All scales stay below half a section, and the flows say nothing across sections but in the divergence.
    assert np.allclose(thick[: 5 * len(SCALES) + 4], alone[: 5 * len(SCALES) + 4], atol=1e-5)
    between = voxel_features(image, flows, 4.0)
    reaching = slice(5 * SCALES.index(3.0), 5 * SCALES.index(3.0) + 5)
    assert np.allclose(between[: reaching.start], alone[: reaching.start], atol=1e-5)
    expected = ndimage.gaussian_filter(image, (0.75, 3.0, 3.0), truncate=3.0, mode="nearest")
    assert np.allclose(between[reaching.start], expected, atol=1e-6)
    assert not np.allclose(between[reaching], alone[reaching], atol=1e-2)


def test_a_gradient_across_thick_sections_is_that_of_cubes() -> None:
    z, y, _ = np.indices((12, 40, 40)).astype(np.float32)
    sheet = (2 * z * 2 + y) / 100
    found = voxel_features(sheet, np.zeros((4, *sheet.shape), np.float32), 2.0)
    last = 5 * SCALES.index(3.0) + 1
    # 0.04 a section of two pixels, and 0.01 a pixel.
    assert np.allclose(found[last, 6, 20, 20], 3.0 * np.hypot(0.02, 0.01), rtol=0.02)
