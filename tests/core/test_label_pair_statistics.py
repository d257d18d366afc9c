"""Overlaps of two label volumes: counts, and hashes that add up to those of whole labels."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from spherovem_core import label_pair_statistics
from spherovem_core.execution import Execution
from spherovem_core.known_blocks import KnownResults
from spherovem_core.label_pair_statistics import collect_pair_statistics, sum_hashes
from spherovem_core.label_statistics import collect_label_statistics


def volumes() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return tuple(rng.integers(0, n, (9, 20, 30)).astype(np.uint32).repeat(2, axis=2) for n in (3, 5))  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_pair_statistics, "BLOCK_EDGE", 8)


def test_counts_are_those_of_all_pairs() -> None:
    labels, others = volumes()
    table = collect_pair_statistics(labels, others, Execution())
    expected = {(a, b): int(((labels == a) & (others == b)).sum()) for a in (1, 2) for b in range(5)}
    assert (
        dict(zip(zip(table["label"], table["other"], strict=True), table["voxels"], strict=True)) == expected
    )


@pytest.mark.parametrize("column", ["label", "other"])
def test_hashes_add_up_to_those_of_whole_labels(column: str) -> None:
    labels, others = volumes()
    added = sum_hashes(collect_pair_statistics(labels, others, Execution()), column)
    masked = np.where(labels > 0, others if column == "other" else labels, 0)
    whole = collect_label_statistics(masked.astype(np.uint32))
    found = {label: f"{added[label][0]:016x}{added[label][1]:016x}" for label in whole.labels.tolist()}
    assert found == dict(zip(whole.labels.tolist(), whole.hashes, strict=True))


def test_only_changed_blocks_are_read_again() -> None:
    labels, others = volumes()
    entries: dict[str, object] = {}
    collect_pair_statistics(labels, others, Execution(), known=KnownResults(entries))
    others[3, 3, 3] = 9
    known = KnownResults(entries)
    with ThreadPoolExecutor(2) as executor:
        found = collect_pair_statistics(labels, others, Execution(executor=executor, workers=2), known=known)
    assert known.counts == {"pairs of labels": [1, 2 * 3 * 8 - 1]}
    assert found.equals(collect_pair_statistics(labels, others, Execution()))


def test_volumes_without_labels_have_no_pairs() -> None:
    labels, others = volumes()
    assert collect_pair_statistics(labels * 0, others, Execution()).empty
