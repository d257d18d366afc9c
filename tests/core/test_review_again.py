"""A review after corrections examines only what changed, and its table is that of a full review, bit for bit."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import label_scenes
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from review_scenes import Tissue, divided, merged, neighbours, tissue

from spherovem_core import label_statistics
from spherovem_core.blocks import Block
from spherovem_core.known_blocks import KnownResults
from spherovem_core.label_statistics import collect_label_statistics
from spherovem_core.review import ReviewLevel, find_suspects, touching
from spherovem_core.review.examination import Examination, examine
from spherovem_core.review.known_objects import encode_faces, grid_boxes
from spherovem_core.review.review_grid import CoarseLabels, ReviewGrid, choose_grid
from spherovem_core.review.touching import find_touching
from spherovem_core.store import Ledger, StoredArray, open_array

Labels = NDArray[np.uint32]


@pytest.fixture(scope="module")
def scene() -> Tissue:
    return tissue()


def review(
    scene: Tissue, level: ReviewLevel, known: KnownResults | None = None, workers: int = 2
) -> pd.DataFrame:
    with ThreadPoolExecutor(workers) as executor:
        return find_suspects([level], flows=scene.flows, known=known, executor=executor)


def check_again(scene: Tissue, level: ReviewLevel, known: KnownResults) -> None:
    """Compare a review that takes over what is known with one that knows nothing."""
    found = review(scene, level, known)
    assert len(found) > 0
    pd.testing.assert_frame_equal(found, review(scene, level), check_exact=True)


def examined(known: KnownResults, work: str = "objects") -> int:
    return known.counts[work][0]


def edit(labels: Labels, rng: np.random.Generator) -> Labels:
    """Join, cut, delete, renumber or shave objects at random."""
    edited = labels.copy()
    present = np.unique(labels[labels > 0])
    one, other, third = rng.choice(present, 3, replace=False).tolist()
    new = int(labels.max()) + 1
    match rng.integers(5):
        case 0:
            edited[labels == other] = one
        case 1:
            places = np.argwhere(labels == one)
            along = places @ rng.standard_normal(3)
            edited[tuple(places[along < np.quantile(along, rng.uniform(0.2, 0.8))].T)] = new
        case 2:
            edited[labels == third] = 0
        case 3:
            edited[labels == one], edited[labels == other] = other, one
        case _:
            places = np.argwhere(labels == one)
            edited[tuple(places[rng.random(len(places)) < 0.05].T)] = 0
    return edited


def content(labels: Labels) -> set[bytes]:
    return {np.flatnonzero(labels == n).tobytes() for n in np.unique(labels[labels > 0]).tolist()}


def test_random_edits_give_the_table_of_a_full_review(scene: Tissue, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    labels, before = merged(scene)[0], set[bytes]()
    for number in range(6):
        known = KnownResults(Ledger(tmp_path / "ledger.jsonl", "context"))
        check_again(scene, scene.level(labels), known)
        now = content(labels)
        changed = len(now - before)
        assert examined(known) == changed, f"round {number}"
        assert known.counts["objects"][1] == len(now) - changed
        if number:
            assert examined(known, "contacts") < known.counts["contacts"][1]
        before = before | now
        for _ in range(2):
            labels = edit(labels, rng)


def in_memory(level: ReviewLevel) -> ReviewLevel:
    assert level.nuclei is not None
    whole = tuple(slice(0, n) for n in level.labels.shape)
    return replace(level, labels=level.labels[whole], nuclei=level.nuclei[whole])


@pytest.mark.parametrize("turn", range(3))
def test_blocks_of_stored_labels_are_taken_over(
    scene: Tissue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    monkeypatch.setattr(touching, "EDGE", 16)
    monkeypatch.setattr(label_statistics, "BLOCK_EDGE", 16)
    monkeypatch.setattr(label_scenes, "cube_shards", lambda shape, edge: ((16, 16, 16),) * 2)
    read: list[str] = []
    block_of = touching._touching_in

    def counted(block: Block, grid: ReviewGrid) -> dict[str, NDArray[Any]]:
        read.append(block.key)
        return block_of(block, grid)

    monkeypatch.setattr(touching, "_touching_in", counted)
    labels, nuclei = scene.cells, scene.nuclei
    plain = scene.level(labels)

    def stored(name: str, values: Labels) -> StoredArray:
        layout = label_scenes.write_labels(tmp_path / name, values.astype(np.uint32))
        return open_array(layout, "registered/labels/cells")

    known = KnownResults(Ledger(tmp_path / "known.jsonl", "context"))
    level = replace(plain, labels=stored("0", labels), nuclei=stored("nuclei", nuclei))
    review(scene, level, known)
    every = len(set(read))
    # One object of a corner changes, or one nucleus, or all labels get other numbers.
    rng = np.random.default_rng(turn)
    first = int(labels[labels > 0][0])
    if turn == 0:
        level = replace(level, labels=stored("1", np.where(labels == first, 0, labels)))
    elif turn == 1:
        nucleus = rng.choice(np.unique(nuclei[nuclei > 0]))
        level = replace(level, nuclei=stored("1", np.where(nuclei == nucleus, 0, nuclei)))
    else:
        level = replace(level, labels=stored("1", np.where(labels > 0, labels + 7, 0)))
    read.clear()
    found = review(scene, level, known)
    assert len(set(read)) < every or turn == 2
    pd.testing.assert_frame_equal(found, review(scene, in_memory(level)), check_exact=True)
    read.clear()
    review(scene, level, known)
    assert read == []


def test_other_nuclei_of_an_object_are_seen(scene: Tissue) -> None:
    labels, _ = merged(scene)
    level, known = scene.level(labels), KnownResults()
    check_again(scene, level, known)
    count = examined(known)
    nuclei = scene.nuclei.copy()
    nuclei[nuclei == neighbours(scene)[0]] = 0
    known.counts.clear()
    check_again(scene, replace(level, nuclei=nuclei), known)
    assert 0 < examined(known) < count


def test_another_grid_measures_all(scene: Tissue) -> None:
    labels, _ = divided(scene, 0.4, (1.0, 0.3, 0.2))
    level, known = scene.level(labels), KnownResults()
    review(scene, level, known)
    count = examined(known)
    known.counts.clear()
    check_again(scene, replace(level, spacing_nm=(60.0, 120.0, 60.0)), known)
    assert examined(known) == count


def test_blocks_and_large_objects_do_not_change_what_is_taken_over(
    scene: Tissue, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, joined = merged(scene)
    level, known = scene.level(labels), KnownResults()
    whole = review(scene, level)
    monkeypatch.setattr("spherovem_core.review.review_grid.LARGEST_READ_VOXELS", 3000)
    monkeypatch.setattr("spherovem_core.review.touching.EDGE", 17)
    pd.testing.assert_frame_equal(review(scene, level), whole, check_exact=True)
    monkeypatch.setattr("spherovem_core.review.examination.CONTACT_EDGE", 7)
    monkeypatch.setattr("spherovem_core.review.object_view.LARGEST_VIEW_VOXELS", 14000)
    check_again(scene, level, known)
    labels = labels.copy()
    labels[(labels == joined) & (np.indices(labels.shape)[2] > 50)] = labels.max() + 1
    check_again(scene, scene.level(labels), known)


def test_a_contact_is_the_same_in_the_view_of_either_object_and_by_itself(
    scene: Tissue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spherovem_core.review.examination.CONTACT_EDGE", 11)
    labels, _ = divided(scene, 0.4, (1.0, 0.3, 0.2), gap=True)
    level = scene.level(labels)
    grid = choose_grid([level], scene.flows, 100.0)
    boxes = {box.label: box for box in grid_boxes(collect_label_statistics(CoarseLabels(grid, labels)))}
    for (one, other), touch in list(find_touching(grid).items())[::5]:
        found = [
            examine(Examination(boxes[own], inside, {neighbour: touch}), grid)[1][neighbour]
            for own, neighbour in ((one, other), (other, one))
            for inside in (True, False)
        ]
        assert {tuple(encode_faces(each)) for each in found} == {tuple(encode_faces(found[0]))}


def test_a_review_that_was_interrupted_continues(scene: Tissue, tmp_path: Path) -> None:
    labels, _ = merged(scene)
    level, count = scene.level(labels), len(np.unique(labels))

    def stop(done: int, total: int) -> None:
        if done == count // 2:
            raise KeyboardInterrupt

    known = KnownResults(Ledger(tmp_path / "ledger.jsonl", "context"))
    with pytest.raises(KeyboardInterrupt):
        find_suspects([level], flows=scene.flows, known=known, progress=stop)
    # The kill came while the last entry was written.
    text = (tmp_path / "ledger.jsonl").read_text()
    (tmp_path / "ledger.jsonl").write_text(text[:-20])
    known = KnownResults(Ledger(tmp_path / "ledger.jsonl", "context"))
    check_again(scene, level, known)
    assert 0 < examined(known) < count


def test_damaged_entries_are_measured_again(scene: Tissue) -> None:
    labels, _ = merged(scene)
    level, known = scene.level(labels), KnownResults()
    review(scene, level, known)
    for number, key in enumerate(known.entries):
        entry = known.entries[key]
        if number % 3 == 0:
            known.entries[key] = (
                {**entry, "hull": "AAAA"} if isinstance(entry, dict) else [1.0] if number % 2 else "damaged"
            )
    known.counts.clear()
    check_again(scene, level, known)
    assert examined(known) > 0
