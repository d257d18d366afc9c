"""Space after corrections: only what changed is measured, and all results equal those of a full measurement bit for bit."""

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from edited_labels import delete, merge, random_edits, renumber, split
from spatial_scenes import SPACING, Labels, random_tissue

from spherovem_core import label_pair_statistics, label_statistics
from spherovem_core.blocks import block_grid
from spherovem_core.execution import Execution
from spherovem_core.parameters import SpatialParameters
from spherovem_core.spatial import (
    KnownDistances,
    KnownSpace,
    Placement,
    Space,
    find_cells,
    grids,
    radial,
    record_distances,
    write_space,
)
from spherovem_core.spatial.particle_geometry import measure_geometry
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, Ledger, StoredArray, open_array
from spherovem_core.store.layout import DISTANCE

PARAMETERS = SpatialParameters(radial_bin_um=0.045, ripley_steps=5, ripley_max_um=0.2, null_simulations=19)
FINE = (25.0, 10.0, 5.0)
EDGE = 8


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (grids, radial, label_statistics, label_pair_statistics):
        monkeypatch.setattr(module, "BLOCK_EDGE", EDGE)


def tissue(seed: int) -> list[Labels]:
    """Make cells, nuclei that cross their borders, and particles on a grid finer along z and x."""
    cells, nuclei = random_tissue((9, 18, 24), seed, 6)
    particles = np.zeros((18, 18, 48), np.uint32)
    corners = np.random.default_rng(seed).integers(0, np.array(particles.shape) - 4, (20, 3))
    for label, (z, y, x) in enumerate(corners, 1):
        particles[z : z + 3, y : y + 3, x : x + 4] = label
    return [cells, nuclei, particles]


class Measurement:
    """Measurements of one results folder, each with what the one before left there."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder)
        self.turn = 0
        self.before: StoredArray | None = None
        self.known = KnownSpace()

    def run(self, volumes: Sequence[Labels], executor: Executor | None = None) -> Space:
        cells, nuclei, particles = volumes
        self.turn += 1
        layout, digest = Layout(self.layout.folder / str(self.turn)), f"digest {self.turn}"
        spec = ArraySpec(
            DISTANCE, "field", cells.shape, np.dtype("float32"), (EDGE // 2,) * 3, (EDGE,) * 3, SPACING
        )
        writer = ArrayWriter(layout, spec, digest)
        blocks = block_grid(cells.shape, spec.shards)
        known = self.known = KnownSpace(Ledger(self.layout.folder / "ledger.jsonl", "context"))
        before = self.before
        if before is not None:
            record = known.find(f"map {before.digest}")
            known.distances = KnownDistances(
                before,
                record,
                lambda block: writer.take_over(block, before.folder, link=True),
                lambda block, values, known: writer.write(block, values, (known, before.folder)),
            )
        execution = Execution(executor=executor, workers=2)
        contents = find_cells(cells, nuclei, execution)
        space = write_space(
            cells,
            nuclei,
            particles,
            measure_geometry(particles, FINE),
            Placement(SPACING, (12.5, 0.0, 2.5)),
            Placement(FINE),
            writer,
            writer.stored,
            blocks,
            PARAMETERS,
            execution,
            contents=contents,
            known=known,
        )
        known.add(f"map {digest}", record_distances(contents, writer.stored, blocks))
        writer.commit()
        self.before = open_array(layout, DISTANCE)
        return space


def assert_same(found: Space, expected: Space) -> None:
    """Compare tables and map bit for bit."""
    for name in ("cells", "nuclei", "nanoparticles", "radial", "clustering", "enrichment", "tests"):
        own, full = getattr(found, name), getattr(expected, name)
        pd.testing.assert_frame_equal(own, full, check_exact=True)
        for column in full.select_dtypes("float"):
            assert own[column].to_numpy().tobytes() == full[column].to_numpy().tobytes(), (name, column)
    np.testing.assert_array_equal(found.distance[:], expected.distance[:])


@pytest.mark.parametrize("seed", range(5))
def test_results_after_rounds_of_corrections_equal_a_full_measurement(seed: int, tmp_path: Path) -> None:
    """Corrections of cells, of nuclei, of particles alone, and of some of them at once."""
    rng = np.random.default_rng(seed)
    volumes = tissue(seed)
    measurement = Measurement(tmp_path / "again")
    with ThreadPoolExecutor(2) as executor:
        for turn in range(3):
            found = measurement.run(volumes, executor if turn % 2 else None)
            full = Measurement(tmp_path / f"full-{turn}")
            assert_same(found, full.run(volumes))
            assert measurement.before is not None
            assert full.before is not None
            assert measurement.before.details["content"] == full.before.details["content"]
            edited = {turn % 3, int(rng.integers(3))} if turn < 2 else {int(rng.integers(3))}
            for which in edited:
                volumes[which] = random_edits(volumes[which], rng, int(rng.integers(1, 4)))


def test_only_what_changed_is_measured(tmp_path: Path) -> None:
    volumes = tissue(3)
    measurement = Measurement(tmp_path)
    measurement.run(volumes)
    count = len(np.unique(volumes[0])) - 1
    assert measurement.known.counts["cells"] == [count, 0]
    measurement.run(volumes)
    assert {counts[0] for counts in measurement.known.counts.values()} == {0}
    label = np.unique(volumes[0])[1]
    volumes[0] = np.where(volumes[0] == label, 0, volumes[0])
    measurement.run(volumes)
    assert measurement.known.counts["cells"] == [0, count - 1]
    measured, taken_over = measurement.known.counts["blocks of particles"]
    assert min(measured, taken_over) > 0
    assert measurement.known.counts["centroids of particles"][0] == 0


def test_an_undone_correction_is_not_measured(tmp_path: Path) -> None:
    """Of the map alone the last state is kept; cells that came back are computed."""
    volumes = tissue(4)
    measurement = Measurement(tmp_path)
    measurement.run(volumes)
    corrected = [volumes[0].copy(), *volumes[1:]]
    merge(corrected[0], np.random.default_rng(0))
    measurement.run(corrected)
    measurement.run(volumes)
    counts = measurement.known.counts
    assert counts.pop("cells")[0] <= 2
    assert {found[0] for found in counts.values()} == {0}


def test_renumbered_cells_keep_their_distances(tmp_path: Path) -> None:
    volumes = tissue(5)
    measurement = Measurement(tmp_path / "again")
    measurement.run(volumes)
    for volume in volumes:
        renumber(volume, np.random.default_rng(1))
    found = measurement.run(volumes)
    assert measurement.known.counts["cells"][0] == 0
    assert measurement.known.counts["centroids of particles"][0] == 0
    assert_same(found, Measurement(tmp_path / "full").run(volumes))


@pytest.mark.parametrize("damage", ["changed", "truncated", "lost"])
def test_a_map_that_was_changed_is_not_used(damage: str, tmp_path: Path) -> None:
    """The record of the map holds the digest of each block."""
    volumes = tissue(6)
    measurement = Measurement(tmp_path / "again")
    measurement.run(volumes)
    assert measurement.before is not None
    shard = measurement.before.folder / "c" / "0" / "1" / "1"
    if damage == "changed":
        stored = zarr.open_array(measurement.before.folder, mode="r+")
        stored[:8, 8:16, 8:16] = np.asarray(stored[:8, 8:16, 8:16]) + np.float32(1)
    elif damage == "truncated":
        shard.write_bytes(shard.read_bytes()[:-3])
    else:
        shard.unlink()
    split(volumes[0], np.random.default_rng(0))
    delete(volumes[1], np.random.default_rng(0))
    assert_same(measurement.run(volumes), Measurement(tmp_path / "full").run(volumes))
