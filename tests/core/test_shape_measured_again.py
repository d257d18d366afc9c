"""Shape after corrections: only changed labels are measured, and the table equals that of a full measurement bit for bit."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from edited_labels import random_edits
from numpy.typing import NDArray

from spherovem_core.label_statistics import collect_label_statistics
from spherovem_core.parameters import ShapeParameters
from spherovem_core.shape import KnownSurfaces, measure_labels, remove_stale_meshes
from spherovem_core.store import Ledger

UNEQUAL = (50.0, 10.0, 12.0)
Labels = NDArray[np.uint32]


def packed_scene(seed: int) -> Labels:
    """Make some touching bodies of all sizes, many of them cut by the border."""
    rng = np.random.default_rng(seed)
    shape = (11, 40, 36)
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) * UNEQUAL
    seeds = rng.random((9, 3)) * shape * UNEQUAL
    distance = np.linalg.norm(places[..., None, :] - seeds, axis=-1)
    labels = (distance.argmin(axis=-1) + 1).astype(np.uint32)
    labels[distance.min(axis=-1) > rng.uniform(80, 160)] = 0
    labels[5, 20, 20] = 500
    return labels


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Compare two tables bit for bit."""
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    for name in expected.select_dtypes("float"):
        assert found[name].to_numpy().tobytes() == expected[name].to_numpy().tobytes(), name


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.mark.parametrize("seed", range(4))
def test_table_after_two_rounds_of_corrections_equals_a_full_measurement(
    seed: int, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    rng = np.random.default_rng(seed)
    labels = packed_scene(seed)
    for turn in range(3):
        # A ledger opened again has its values from the file.
        known = KnownSurfaces(Ledger(tmp_path / "ledger.jsonl", "context"))
        found = measure_labels(
            labels, UNEQUAL, executor=pool if turn % 2 else None, origin_nm=(5.0, 0.0, 7.0), known=known
        )
        assert_same(found, measure_labels(labels, UNEQUAL, origin_nm=(5.0, 0.0, 7.0)))
        assert known.measured + known.taken_over == len(found)
        labels = random_edits(labels, rng)


def test_only_the_touched_labels_are_measured() -> None:
    labels = packed_scene(1)
    known = KnownSurfaces()
    table = measure_labels(labels, UNEQUAL, known=known)
    first, second, third = table.label[:3]
    labels[labels == first] = second
    labels[labels == third] = 0
    corrected = KnownSurfaces(known.entries)
    assert len(measure_labels(labels, UNEQUAL, known=corrected)) == len(table) - 2
    assert (corrected.measured, corrected.taken_over) == (1, len(table) - 3)


def test_renumbered_labels_are_not_measured() -> None:
    labels = packed_scene(2)
    known = KnownSurfaces()
    measure_labels(labels, UNEQUAL, known=known)
    renumbered = np.where(labels > 0, 1000 - labels, 0).astype(np.uint32)
    again = KnownSurfaces(known.entries)
    found = measure_labels(renumbered, UNEQUAL, known=again)
    assert again.measured == 0
    assert_same(found, measure_labels(renumbered, UNEQUAL))


def test_a_measurement_that_was_stopped_continues(tmp_path: Path) -> None:
    labels = packed_scene(3)
    count = len(np.unique(labels[labels > 0]))

    def stop(done: int, total: int) -> None:
        assert total == count
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_labels(
            labels, UNEQUAL, progress=stop, known=KnownSurfaces(Ledger(tmp_path / "ledger.jsonl", "context"))
        )
    known = KnownSurfaces(Ledger(tmp_path / "ledger.jsonl", "context"))
    assert_same(measure_labels(labels, UNEQUAL, known=known), measure_labels(labels, UNEQUAL))
    assert known.taken_over == 4


def meshes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def measure_with_meshes(labels: Labels, folder: Path, known: KnownSurfaces) -> pd.DataFrame:
    table = measure_labels(
        labels, UNEQUAL, ShapeParameters(write_meshes=True), mesh_folder=folder, known=known
    )
    remove_stale_meshes(folder, known.meshed)
    return table


@pytest.mark.parametrize("seed", range(2))
def test_meshes_after_corrections_are_those_of_a_full_measurement(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    labels = packed_scene(seed)
    entries: dict[str, Any] = {}
    for turn in range(3):
        found = measure_with_meshes(labels, tmp_path / "meshes", KnownSurfaces(entries))
        full = tmp_path / f"full-{turn}"
        assert_same(found, measure_with_meshes(labels, full, KnownSurfaces()))
        assert meshes_of(tmp_path / "meshes") == meshes_of(full)
        labels = random_edits(labels, rng, 2)


def test_a_mesh_that_was_deleted_or_changed_is_written_again(tmp_path: Path) -> None:
    labels = packed_scene(0)
    known = KnownSurfaces()
    measure_with_meshes(labels, tmp_path, known)
    meshes = meshes_of(tmp_path)
    assert len(meshes) > 3
    first, second, *_ = sorted(tmp_path.iterdir())
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    (tmp_path / "notes.ply").write_text("mine")
    again = KnownSurfaces(known.entries)
    measure_with_meshes(labels, tmp_path, again)
    assert again.measured == 2
    assert meshes_of(tmp_path) == {**meshes, "notes.ply": b"mine"}


def test_a_mesh_of_a_measurement_that_was_stopped_and_undone_is_not_kept(tmp_path: Path) -> None:
    """The stopped measurement wrote the mesh of other voxels under the label's number."""
    labels = packed_scene(0)
    entries: dict[str, Any] = {}
    measure_with_meshes(labels, tmp_path, KnownSurfaces(entries))
    meshes = meshes_of(tmp_path)
    corrected = labels.copy()
    first, second = np.unique(labels[labels > 0])[:2]
    corrected[labels == first] = second
    measure_labels(
        corrected,
        UNEQUAL,
        ShapeParameters(write_meshes=True),
        mesh_folder=tmp_path,
        known=KnownSurfaces(entries),
    )
    assert meshes_of(tmp_path) != meshes
    measure_with_meshes(labels, tmp_path, KnownSurfaces(entries))
    assert meshes_of(tmp_path) == meshes


def test_content_hash_follows_the_voxels_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = packed_scene(4)
    whole = collect_label_statistics(labels)
    assert len(set(whole.hashes)) == len(whole)
    padded = collect_label_statistics(np.pad(labels, ((0, 3), (0, 2), (0, 1))))
    assert padded.hashes == whole.hashes
    alone = collect_label_statistics(np.where(labels == 3, 77, 0).astype(np.uint32))
    assert alone.hashes == [whole.hashes[whole.labels.tolist().index(3)]]
    monkeypatch.setattr("spherovem_core.label_statistics.BLOCK_EDGE", 7)
    assert collect_label_statistics(labels).hashes == whole.hashes


def test_content_hash_tells_every_single_voxel_and_every_moved_voxel() -> None:
    single = np.arange(1, 6 * 7 * 8 + 1, dtype=np.uint32).reshape(6, 7, 8)
    hashes = collect_label_statistics(single).hashes
    assert len(set(hashes)) == single.size
    labels = packed_scene(4)
    before = dict(
        zip(*(lambda s: (s.labels.tolist(), s.hashes))(collect_label_statistics(labels)), strict=True)
    )
    z, y, x = np.argwhere(labels == 3)[0]
    labels[z, y, x] = 0
    after = dict(
        zip(*(lambda s: (s.labels.tolist(), s.hashes))(collect_label_statistics(labels)), strict=True)
    )
    assert {label for label, value in before.items() if after.get(label) != value} == {3}
