"""Operations applied to labels: closed forms, operations that do not fit, and blocks against the whole array."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from correction_scenes import (
    ORIGIN_NM,
    SPACING_NM,
    anchor_at,
    anchor_of,
    ball,
    boxes,
    entries_of,
    grid_of,
    split_at_seeds,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from spherovem_core.corrections import (
    Accept,
    Add,
    Anchor,
    Applied,
    CutLine,
    Delete,
    Exclude,
    MaskCodes,
    Merge,
    Operation,
    Reject,
    Replace,
    Split,
    correct_labels,
    replay,
)
from spherovem_core.corrections.label_index import index_labels

VOXEL_UM3 = 50 * 20 * 20 * 1e-9


def corrected(labels: np.ndarray, *operations: Operation) -> tuple[np.ndarray, Applied]:
    return correct_labels(labels, SPACING_NM, entries_of(operations), ORIGIN_NM)


def reason(labels: np.ndarray, *operations: Operation) -> str:
    """Return why the last operation does not fit; the labels must stay as the others left them."""
    before, _ = corrected(labels, *operations[:-1])
    after, applied = corrected(labels, *operations)
    np.testing.assert_array_equal(after, before)
    return applied.outcomes[-1].reason


def dumbbell() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two balls of 0.9 and 0.7 µm, joined by a neck of 0.25 µm."""
    shape = (50, 120, 220)
    one, other = ball(shape, (1.2, 1.2, 1.2), 0.9), ball(shape, (1.2, 1.2, 3.0), 0.7)
    z, y, x = (np.arange(n) * s / 1000 for n, s in zip(shape, SPACING_NM, strict=True))
    neck = ((z[:, None, None] - 1.2) ** 2 + (y[:, None] - 1.2) ** 2 < 0.25**2) & (x > 1.2) & (x < 3.0)
    return (one | other | neck).astype(np.uint32) * 7, one, other


@pytest.mark.parametrize("seeds", [((24, 60, 60), (24, 60, 150)), ((24, 60, 20), (30, 90, 150))])
def test_seeds_cut_two_balls_at_their_neck(seeds: tuple[tuple[int, int, int], ...]) -> None:
    labels, one, other = dumbbell()
    after, applied = corrected(labels, Split(objects=tuple(anchor_at(labels, seed) for seed in seeds)))
    assert applied.outcomes[0].before == (7,)
    assert applied.outcomes[0].after == (7, 7 + 256)
    # The closed forms of the balls; the voxels are good for 1 %, and the neck has 3.6 % of the small one.
    assert (after == 7).sum() * VOXEL_UM3 == pytest.approx(4 / 3 * np.pi * 0.9**3, rel=0.04)
    assert (after == 263).sum() * VOXEL_UM3 == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=0.04)
    assert (after[one] == 7).mean() > 0.999
    assert (after[other] == 263).mean() > 0.999
    np.testing.assert_array_equal(after > 0, labels > 0)


def test_seeds_without_a_neck_between_them_cut_half_way() -> None:
    labels = np.zeros((20, 30, 200), np.uint32)
    labels[2:18, 3:27, 10:190] = 1
    after, _ = corrected(
        labels, Split(objects=(anchor_at(labels, (9, 15, 30)), anchor_at(labels, (9, 15, 110))))
    )
    first = np.unique(np.nonzero(after == after[9, 15, 30])[2])
    assert first.max() == pytest.approx(70, abs=1)


def test_pieces_without_a_seed_go_to_the_nearest_part() -> None:
    labels = np.zeros((6, 12, 60), np.uint32)
    labels[1:5, 2:10, 2:30] = labels[1:5, 2:10, 40:58] = 3
    after, _ = corrected(labels, Split(objects=(anchor_at(labels, (2, 5, 4)), anchor_at(labels, (2, 5, 27)))))
    assert after[2, 5, 50] == after[2, 5, 27] != after[2, 5, 4]


def test_line_cuts_along_its_plane_through_all_slices() -> None:
    labels = ball((50, 120, 120), (1.2, 1.2, 1.2), 1.0).astype(np.uint32)
    z, y, x = grid_of(labels).point_of((24, 60, 60))
    line = CutLine(start_um=(z, y - 1.1, x + 0.4), end_um=(z, y + 1.1, x + 0.4))
    after, applied = corrected(labels, Split(objects=(anchor_at(labels, (24, 60, 60)),), line=line))
    # The cap of height 0.6 of a ball of radius 1.
    cap = np.pi * 0.6**2 * (3 - 0.6) / 3
    assert (after == 257).sum() * VOXEL_UM3 == pytest.approx(cap, rel=0.03)
    assert applied.outcomes[0].after == (257, 1) or applied.outcomes[0].after == (1, 257)
    assert np.unique(np.nonzero(after == 257)[2]).min() == 80


def test_line_cuts_a_bent_object_only_where_it_is_drawn() -> None:
    labels = np.zeros((8, 60, 60), np.uint32)
    labels[2:6, 10:50, 10:20] = labels[2:6, 10:50, 40:50] = labels[2:6, 40:50, 10:50] = 1
    grid = grid_of(labels)
    line = CutLine(start_um=grid.point_of((3, 25, 5)), end_um=grid.point_of((3, 25, 25)))
    after, _ = corrected(labels, Split(objects=(anchor_at(labels, (3, 45, 30)),), line=line))
    assert after[3, 15, 45] == after[3, 45, 30] == 1
    assert after[3, 15, 15] == 257
    assert (after == 257).sum() == 4 * 15 * 10 or (after == 257).sum() == 4 * 16 * 10


def test_merged_object_keeps_the_number_of_the_largest() -> None:
    labels = np.zeros((4, 8, 30), np.uint32)
    labels[:, :, :5], labels[:, :, 5:15], labels[:, :, 15:25] = 2, 4, 3
    merge = Merge(objects=tuple(anchor_of(labels, label) for label in (2, 3, 4)))
    after, applied = corrected(labels, merge)
    assert np.unique(after).tolist() == [0, 3]
    assert (applied.outcomes[0].before, applied.outcomes[0].after) == ((2, 3, 4), (3,))
    assert (applied.corrected, applied.count) == ({3}, 1)


def test_numbers_of_new_objects_do_not_depend_on_the_lines_before() -> None:
    labels = boxes()
    mask = MaskCodes.pack(np.ones((3, 3, 3)), grid_of(labels).point_of((9, 27, 27)), SPACING_NM)
    delete, add = Delete(object=anchor_of(labels, 5)), Add(mask=mask)
    with_it = entries_of([delete, add])
    first, _ = correct_labels(labels, SPACING_NM, with_it, ORIGIN_NM)
    second, _ = correct_labels(labels, SPACING_NM, with_it[1:], ORIGIN_NM)
    assert first.max() == second.max() == labels.max() + 2 * 256


def test_added_object_leaves_voxels_of_others_to_them() -> None:
    labels = np.zeros((6, 20, 20), np.uint32)
    labels[:, :, :10] = 1
    mask = MaskCodes.pack(np.ones((4, 8, 8)), grid_of(labels).point_of((1, 4, 6)), SPACING_NM)
    after, applied = corrected(labels, Add(mask=mask))
    assert (after == 257).sum() == 4 * 8 * 4
    assert (labels == 1).sum() == (after == 1).sum()
    assert applied.outcomes[0].note == "128 of 256 voxels stay with other objects"


def test_mask_on_another_grid_is_resampled_by_the_nearest_voxel() -> None:
    labels = np.zeros((10, 40, 40), np.uint32)
    fine = MaskCodes.pack(
        np.ones((8, 20, 20)),
        np.array(grid_of(labels).point_of((2, 4, 4))) - (0.0125, 0.005, 0.005),
        (25.0, 10.0, 10.0),
    )
    after, _ = corrected(labels, Add(mask=fine))
    expected = np.zeros_like(labels)
    expected[2:6, 4:14, 4:14] = 256
    np.testing.assert_array_equal(after, expected)


def test_painting_moves_voxels_between_objects_background_and_a_new_one() -> None:
    labels = np.zeros((4, 10, 30), np.uint32)
    labels[:, :, 2:12], labels[:, :, 12:22] = 1, 2
    codes = np.zeros((4, 10, 30), np.uint8)
    codes[:, :, 10:12], codes[:, :, 2:4], codes[:, :, 24:28] = 2, 1, 3
    mask = MaskCodes.pack(codes, grid_of(labels).point_of((0, 0, 0)), SPACING_NM)
    after, applied = corrected(labels, Replace(mask=mask, targets=(anchor_of(labels, 2), None)))
    expected = labels.copy()
    expected[:, :, 10:12], expected[:, :, 2:4], expected[:, :, 24:28] = 2, 0, 2 + 256
    np.testing.assert_array_equal(after, expected)
    assert applied.corrected == {1, 2, 258}
    assert applied.count == 3


def test_marks_follow_objects_to_what_becomes_of_them() -> None:
    labels = boxes()
    one, other, third = (anchor_of(labels, label) for label in (1, 2, 3))
    operations = [
        Exclude(object=one),
        Accept(object=other),
        Accept(object=third),
        Merge(objects=(one, other)),
    ]
    _, applied = corrected(labels, *operations)
    kept = applied.outcomes[-1].after[0]
    assert applied.excluded == {"id1": {kept}}
    assert applied.accepted == {"id2": set(), "id3": {3}}
    assert Applied.read(applied.document()) == applied


def test_operations_that_do_not_fit_say_why_and_change_nothing() -> None:
    labels = boxes()
    grid = grid_of(labels)
    one, other = anchor_of(labels, 1), anchor_of(labels, 2)
    gap = Anchor(point_um=grid.point_of(np.argwhere(labels == 0)[0]))
    outside = Anchor(point_um=(1.0, 1.0, 99.0))
    everywhere = MaskCodes.pack(np.ones((2, 2, 2)), one.point_um, SPACING_NM)
    far = MaskCodes.pack(np.ones((2, 2, 2)), outside.point_um, SPACING_NM)
    background = MaskCodes.pack(np.ones((1, 1, 1)), gap.point_um, SPACING_NM)
    line = CutLine(start_um=outside.point_um, end_um=(1.0, 2.0, 99.0))
    again = anchor_at(labels, np.argwhere(labels == 1)[0])
    assert reason(labels, Delete(object=gap)) == "no object is at the point"
    assert reason(labels, Reject(object=outside)) == "the point lies outside the volume"
    assert "all points lie in one object, 1" in reason(labels, Merge(objects=(one, again)))
    assert "lie in different objects, 1, 2" in reason(labels, Split(objects=(one, other)))
    assert "two points lie in one voxel" in reason(labels, Split(objects=(one, one)))
    assert "does not cross object 1" in reason(labels, Split(objects=(one,), line=line))
    assert "wholly over other objects" in reason(labels, Add(mask=everywhere))
    assert "outside the volume" in reason(labels, Add(mask=far))
    assert "outside the volume" in reason(labels, Replace(mask=far, targets=()))
    assert "so already" in reason(labels, Replace(mask=background, targets=()))
    twice = MaskCodes.pack(np.full((1, 1, 1), 2), gap.point_um, SPACING_NM)
    assert "are one object now, 1" in reason(labels, Replace(mask=twice, targets=(one, again)))
    assert reason(labels, Delete(object=one), Delete(object=one)) == "no object is at the point"


def test_object_of_another_size_is_not_the_one_that_was_corrected() -> None:
    labels = boxes()
    merge = Merge(objects=(anchor_of(labels, 1), anchor_of(labels, 2)))
    assert "the one that was corrected had" in reason(labels, merge, Delete(object=anchor_of(labels, 2)))
    without = anchor_of(labels, 2, with_volume=False)
    after, _ = corrected(labels, merge, Delete(object=without))
    assert not np.isin(after, (1, 2)).any()


def test_object_that_is_there_already_is_not_added() -> None:
    labels = np.zeros((10, 40, 40), np.uint32)
    labels[2:8, 8:30, 8:30] = 1
    mask = MaskCodes.pack(np.ones((6, 23, 23)), grid_of(labels).point_of((2, 8, 8)), SPACING_NM)
    assert reason(labels, Add(mask=mask)) == "object 1 is there already"


def test_index_does_not_depend_on_the_executor() -> None:
    labels = boxes()
    with ThreadPoolExecutor(2) as executor:
        found = index_labels(labels, executor)
    for column in ("labels", "voxels", "boxes", "blocks"):
        np.testing.assert_array_equal(getattr(found, column), getattr(index_labels(labels), column))


def plain(labels: np.ndarray, operations: list[Operation], fitting: list[int]) -> np.ndarray:
    """Apply those operations that fit to a whole array, in the plainest way."""
    grid, result, largest = grid_of(labels), labels.copy(), int(labels.max())

    def at(anchor: Anchor) -> int:
        return int(result[grid.index_of(anchor.point_um)])

    def mask_of(mask: MaskCodes) -> np.ndarray:
        low = grid.index_of(mask.origin_um)
        codes = np.zeros(labels.shape, np.uint8)
        codes[tuple(slice(i, i + n) for i, n in zip(low, mask.shape, strict=True))] = mask.unpack()
        return codes

    for number in fitting:
        operation, new = operations[number - 1], largest + 256 * number
        match operation:
            case Merge():
                found = sorted({at(anchor) for anchor in operation.objects})
                kept = max(found, key=lambda label: ((result == label).sum(), -label))
                result[np.isin(result, found)] = kept
            case Delete():
                result[result == at(operation.object)] = 0
            case Split():
                label = at(operation.objects[0])
                seeds = [grid.index_of(anchor.point_um) for anchor in operation.objects]
                # Distances to the surface differ in the last bits with the corner that they are counted from.
                places = np.argwhere(result == label)
                low = np.maximum(places.min(0) - 1, 0)
                box = tuple(map(slice, low, places.max(0) + 2))
                parts = np.zeros(labels.shape, np.uint16)
                parts[box] = split_at_seeds(
                    np.ascontiguousarray(result[box] == label),
                    grid.spacing_um,
                    [tuple(np.subtract(seed, low).tolist()) for seed in seeds],
                )
                sizes = np.bincount(parts.ravel())[1:]
                for part in range(1, len(sizes) + 1):
                    if part != int(sizes.argmax()) + 1:
                        result[parts == part] = new
                        new += 1
            case Add():
                free = (mask_of(operation.mask) > 0) & (result == 0)
                result[free] = new
            case Replace():
                label = at(operation.targets[0])
                codes = mask_of(operation.mask)
                result[codes == 1] = 0
                result[codes == 2] = label
                result[codes == 3] = new
    return result


@st.composite
def operations_on(draw: st.DrawFn, labels: np.ndarray) -> list[Operation]:
    grid = grid_of(labels)

    def anchor() -> Anchor:
        return Anchor(point_um=grid.point_of([draw(st.integers(0, n - 1)) for n in labels.shape]))

    def mask(values: int) -> MaskCodes:
        low = [draw(st.integers(0, n - 5)) for n in labels.shape]
        random = np.random.default_rng(draw(st.integers(0, 99)))
        codes = random.integers(0, values + 1, (5, 5, 5))
        codes.flat[: values + 1] = range(values + 1)
        return MaskCodes.pack(codes, grid.point_of(low), SPACING_NM)

    def one() -> Operation:
        name = draw(st.sampled_from(["merge", "delete", "split", "add", "replace"]))
        match name:
            case "merge":
                return Merge(objects=(anchor(), anchor(), anchor())[: draw(st.integers(2, 3))])
            case "delete":
                return Delete(object=anchor())
            case "split":
                label = draw(st.sampled_from(sorted(set(labels.ravel().tolist()) - {0})))
                places = np.argwhere(labels == label)
                chosen = [
                    places[draw(st.integers(0, len(places) - 1))] for _ in range(draw(st.integers(2, 3)))
                ]
                return Split(objects=tuple(Anchor(point_um=grid.point_of(place)) for place in chosen))
            case "add":
                return Add(mask=mask(1))
            case _:
                return Replace(mask=mask(3), targets=(anchor(), None))

    return [one() for _ in range(draw(st.integers(1, 6)))]


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from([16, 32, 128]))
def test_blocks_equal_the_whole_array(data: st.DataObject, edge: int) -> None:
    labels = boxes(seed=3)
    operations = data.draw(operations_on(labels))
    entries = entries_of(operations)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("label_index", "painted_labels", "canvas"):
            patch.setattr(f"spherovem_core.corrections.{module}.BLOCK_EDGE", edge)
        found = replay(labels, grid_of(labels), entries)
        after = found.canvas.labels[tuple(slice(0, n) for n in labels.shape)]
    fitting = [outcome.number for outcome in found.applied.applied]
    np.testing.assert_array_equal(after, plain(labels, operations, fitting))
    rows = {
        int(label): int(count) for label, count in zip(*np.unique(after, return_counts=True), strict=True)
    }
    rows.pop(0, None)
    assert {label: own.voxels for label, own in found.canvas.objects()} == rows
    assert found.applied.count == len(rows)
