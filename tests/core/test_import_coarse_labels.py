"""Labels imported on a coarser level or of a part of the volume: only what changed there changes at full resolution."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from corrections_reference import apply_plainly, same_up_to_numbers
from hand_edits import EDITS, SPACING, edit, random_cells
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spherovem_core.blocks import block_grid
from spherovem_core.corrections import Delete, Merge, Operation, Replace
from spherovem_core.corrections.continuation import find_continuation
from spherovem_core.corrections.differences import find_operations
from spherovem_core.corrections.renumbering import Renumbering
from spherovem_core.corrections.wanted_labels import WantedLabels
from spherovem_core.label_overlaps import count_overlaps
from spherovem_core.store.pyramid import downsample

STEPS = ((1, 2, 2), (1, 2, 2), (2, 2, 2))


def on_level(labels: NDArray[np.integer[Any]], level: int) -> NDArray[np.integer[Any]]:
    for step in STEPS[:level]:
        labels = downsample(labels, step, "label")
    return labels


@dataclass(frozen=True)
class Import:
    wanted: WantedLabels
    operations: tuple[Operation, ...]

    @property
    def result(self) -> NDArray[np.int64]:
        return apply_plainly(np.asarray(self.wanted.present), self.operations, SPACING)


def import_on_level(present: NDArray[np.uint32], level: int, changed: NDArray[np.integer[Any]]) -> Import:
    coarse = on_level(present, level)
    continuation = find_continuation(count_overlaps(coarse, changed))
    goes = {int(label): int(label) for label in np.unique(present) if label} | continuation.goes
    factors = np.prod(np.array(STEPS[:level]), axis=0) if level else np.ones(3, int)
    wanted = WantedLabels(
        present,
        coarse,
        changed,
        Renumbering(goes),
        Renumbering(continuation.numbers),
        tuple(np.arange(n) // f for n, f in zip(present.shape, factors, strict=True)),
        STEPS[:level],
    )
    table = count_overlaps(present, wanted)
    return Import(wanted, find_operations(present, wanted, table, goes, SPACING))


WHOLE = (slice(0, 11), slice(0, 50), slice(0, 57))


def scene(seed: int, level: int, kinds: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return cells, and an edited copy of them on a level."""
    rng = np.random.default_rng(seed)
    present = random_cells(rng, (11, 50, 57))
    changed = on_level(present, level).astype(np.uint32)
    for kind in kinds:
        changed = edit(changed, kind, rng)
    return present, changed


edits = {
    "seed": st.integers(0, 2**32 - 1),
    "level": st.integers(0, 3),
    "kinds": st.lists(st.sampled_from(EDITS), max_size=3),
}


@settings(max_examples=20)
@given(**edits)
def test_operations_give_the_wanted_labels_and_only_changed_objects_change(
    seed: int, level: int, kinds: list[str]
) -> None:
    present, changed = scene(seed, level, kinds)
    made = import_on_level(present, level, changed)
    wanted = made.wanted[WHOLE]
    assert same_up_to_numbers(made.result, wanted)
    assert (len(made.operations) == 0) == same_up_to_numbers(on_level(present, level), changed)
    before = made.wanted.goes.apply(on_level(present, level))
    after = made.wanted.numbers.apply(changed)
    differs = before != after
    np.testing.assert_array_equal(on_level(wanted, level)[differs], after[differs])
    grid = np.ix_(*made.wanted.places)
    moved = (wanted != made.wanted.goes.apply(present)) & ~differs[grid]
    assert np.isin(made.wanted.goes.apply(present)[moved], before[differs]).all()


@settings(max_examples=10)
@given(**edits, blocks=st.tuples(st.integers(1, 12), st.integers(3, 60), st.integers(3, 60)))
def test_wanted_labels_do_not_depend_on_the_region_that_is_read(
    seed: int, level: int, kinds: list[str], blocks: tuple[int, int, int]
) -> None:
    present, changed = scene(seed, level, kinds)
    wanted = import_on_level(present, level, changed).wanted
    whole = wanted[WHOLE]
    for block in block_grid(present.shape, blocks):
        np.testing.assert_array_equal(wanted[block.core], whole[block.core])


def test_object_cut_on_a_level_leaves_no_rim_and_neighbours_stay() -> None:
    """Borders at odd columns and rows lie inside voxels of the level."""
    present = np.zeros((4, 40, 40), np.uint32)
    present[:, 3:20, 5:35], present[:, 20:37, 5:35] = 8, 5
    changed = on_level(present, 1)
    part = (changed == 8) & (np.arange(20) >= 10)
    changed = np.where(part, 70, changed)
    made = import_on_level(present, 1, changed)
    (operation,) = made.operations
    assert isinstance(operation, Replace)
    expected = np.where((present == 8) & (np.arange(40) >= 20), 9, present)
    np.testing.assert_array_equal(made.result, expected)


def test_merged_and_deleted_objects_on_a_level_are_merged_and_deleted_whole() -> None:
    present, coarse = scene(7, 2, [])
    first, second, third = np.unique(coarse)[1:4]
    changed = np.where(coarse == second, first, coarse)
    changed[coarse == third] = 0
    made = import_on_level(present, 2, changed)
    assert [type(operation) for operation in made.operations] == [Delete, Merge]
    expected = np.where(present == second, first, present)
    expected[present == third] = 0
    assert same_up_to_numbers(made.result, expected)


def test_object_too_small_for_the_level_stays() -> None:
    present, _ = scene(3, 0, [])
    present[5, 20, 20] = present.max() + 1
    coarse = on_level(present, 2)
    assert present[5, 20, 20] not in coarse
    changed = np.where(coarse == coarse.max(), 0, coarse)
    made = import_on_level(present, 2, changed)
    assert [type(operation) for operation in made.operations] == [Delete]
    assert made.result[5, 20, 20] == present[5, 20, 20]
