"""Blocks on disk and a volume in memory give the same bits, whatever the slabs, label blocks and workers."""

import doctest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ball_clumps import chain
from nanoparticle_scenes import COARSE_NM, Kind, Scene, make_scene
from numpy.typing import NDArray

from spherovem_core.blocks import Block, MemorySink, slab_grid
from spherovem_core.errors import DeadlineError, ParameterError
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles import (
    Particles,
    ParticleTables,
    find_particles,
    particles,
    write_particles,
)
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, slice_shards
from spherovem_core.store.layout import NANOPARTICLES, POSTERIOR

PARAMETERS = NanoparticleParameters()
BAD = [3]


@pytest.fixture(scope="module")
def scene() -> Scene:
    kinds = (Kind(24, 280.0), Kind(3, 280.0, clump=chain(2, (0, 0.2, 1))))
    return make_scene((18, 128, 130), kinds, COARSE_NM, gain_drift=0.05, streaks=4)


@pytest.fixture(scope="module")
def whole(scene: Scene) -> Particles:
    return find_particles(scene.image, COARSE_NM, PARAMETERS, bad_slices=BAD)


class Sinks:
    """The three sinks of a run in memory."""

    def __init__(self, shape: tuple[int, ...], kind: type[MemorySink] = MemorySink) -> None:
        self.posterior, self.candidates, self.labels = (
            kind(np.zeros(shape, dtype)) for dtype in (np.float16, np.uint8, np.uint32)
        )

    def run(self, source: Any, execution: Execution | None = None, **how: Any) -> ParticleTables:
        return write_particles(
            source, COARSE_NM, PARAMETERS, self.posterior, self.candidates, self.labels, execution, bad_slices=BAD, **how
        )  # fmt: skip


def compare(whole: Particles, sinks: Sinks, tables: ParticleTables) -> None:
    np.testing.assert_array_equal(sinks.labels.array, whole.labels)
    np.testing.assert_array_equal(sinks.posterior.array, whole.posterior)
    pd.testing.assert_frame_equal(tables.particles, whole.table, check_exact=True)
    pd.testing.assert_frame_equal(tables.others, whole.others, check_exact=True)
    pd.testing.assert_frame_equal(tables.agglomerates, whole.agglomerates, check_exact=True)
    assert tables.mixture == whole.mixture


def test_scene_has_particles_clumps_and_others(whole: Particles) -> None:
    assert len(whole.table) > 20
    assert whole.agglomerates.particle_count.max() > 1
    assert len(whole.others) > 0


@pytest.mark.parametrize(
    ("depth", "tile", "label_block"),
    [(2, 8, (5, 64, 50)), (4, 16, (18, 128, 130)), (7, 23, (7, 33, 130)), (64, 40, (10, 40, 41))],
)
def test_result_does_not_depend_on_blocks(
    scene: Scene, whole: Particles, depth: int, tile: int, label_block: tuple[int, int, int]
) -> None:
    sinks = Sinks(scene.image.shape)
    compare(whole, sinks, sinks.run(scene.image, depth=depth, tile=tile, label_block=label_block))


def test_particles_lie_across_the_borders_and_corners_of_blocks(whole: Particles) -> None:
    """Particles of the scene cross the borders of blocks of 2 x 16 x 16 along each axis, and at corners along all three."""
    voxels = [np.argwhere(whole.labels == n + 1) // (2, 16, 16) for n in range(len(whole.table))]
    crossed = np.array([np.ptp(own, axis=0) > 0 for own in voxels])
    assert crossed.any(axis=0).all()
    assert crossed.all(axis=1).any()


@pytest.mark.parametrize("workers", [1, 3])
def test_result_does_not_depend_on_workers(scene: Scene, whole: Particles, workers: int) -> None:
    sinks = Sinks(scene.image.shape)
    with ThreadPoolExecutor(workers) as executor:
        execution = Execution(executor=executor, workers=workers)
        compare(whole, sinks, sinks.run(scene.image, execution, depth=5, tile=16))


def test_volume_in_memory_gives_the_same_bits_as_blocks_on_disk(
    scene: Scene, whole: Particles, tmp_path: Path
) -> None:
    shape, label_block = scene.image.shape, (8, 64, 64)

    def writer(folder: str, group: str, content: Any, dtype: str, *, by_slice: bool) -> ArrayWriter:
        shards = slice_shards(shape) if by_slice else (label_block, label_block)
        spec = ArraySpec(group, content, shape, np.dtype(dtype), *shards, COARSE_NM)
        return ArrayWriter(Layout(tmp_path / folder), spec, "digest")

    posterior = writer("results", POSTERIOR, "field", "float16", by_slice=True)
    candidates = writer("scratch", NANOPARTICLES, "label", "uint8", by_slice=True)
    labels = writer("results", NANOPARTICLES, "label", "uint32", by_slice=False)
    tables = write_particles(
        scene.image, COARSE_NM, PARAMETERS, posterior, candidates, labels,
        bad_slices=BAD, depth=5, tile=16, label_block=label_block,
    )  # fmt: skip
    np.testing.assert_array_equal(labels.stored[:], whole.labels)
    np.testing.assert_array_equal(posterior.stored[:], whole.posterior)
    pd.testing.assert_frame_equal(tables.particles, whole.table, check_exact=True)
    assert tables.mixture == whole.mixture


class KilledSink(MemorySink):
    """Sink that interrupts the run after some blocks."""

    left = 10**9

    def write(self, block: Block, values: NDArray[Any]) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        super().write(block, values)


@pytest.mark.parametrize(
    "stop", [("candidates", 2), ("candidates", 9), ("posterior", 0), ("posterior", 2), ("labels", 3)], ids=str
)
def test_killed_run_continues_to_the_same_result(
    scene: Scene, whole: Particles, stop: tuple[str, int]
) -> None:
    how: dict[str, Any] = {"depth": 4, "tile": 16, "label_block": (8, 64, 130)}
    sinks = Sinks(scene.image.shape, KilledSink)
    broken = getattr(sinks, stop[0])
    broken.left = stop[1]
    with pytest.raises(KeyboardInterrupt):
        sinks.run(scene.image, **how)
    broken.left = 10**9
    compare(whole, sinks, sinks.run(scene.image, **how))


def test_finished_blocks_are_not_written_again(scene: Scene, whole: Particles) -> None:
    sinks = Sinks(scene.image.shape, KilledSink)
    sinks.run(scene.image, depth=5)
    for sink in (sinks.posterior, sinks.candidates, sinks.labels):
        sink.left = 0  # type: ignore[attr-defined]
    compare(whole, sinks, sinks.run(scene.image, depth=5))


def test_deadline_stops_between_slabs_and_keeps_finished_ones(scene: Scene) -> None:
    class Late(MemorySink):
        """Sink after whose first block the time is over."""

        def write(self, block: Block, values: NDArray[Any]) -> None:
            super().write(block, values)
            object.__setattr__(execution, "deadline", 0.0)

    sinks, execution = Sinks(scene.image.shape, Late), Execution(deadline=float("inf"))
    with pytest.raises(DeadlineError, match="after 1 of"):
        sinks.run(scene.image, execution, depth=4)
    assert len(sinks.candidates.pending(slab_grid(scene.image.shape, 1))) == scene.image.shape[0] - 4


def test_progress_ends_at_the_total(scene: Scene) -> None:
    seen: list[tuple[int, int]] = []
    sinks = Sinks(scene.image.shape)
    sinks.run(scene.image, Execution(progress=lambda done, total: seen.append((done, total))), depth=4)
    done, total = seen[-1]
    assert done == total


def test_image_type_and_axes_are_checked() -> None:
    with pytest.raises(ParameterError, match="uint8 or uint16 images, not in float64; convert"):
        find_particles(np.zeros((2, 8, 8)), COARSE_NM)  # type: ignore[arg-type]
    flat = np.zeros((8, 8), np.uint8)
    with pytest.raises(ParameterError, match=r"has shape \(8, 8\), expected \(Z, Y, X\)"):
        find_particles(flat, COARSE_NM)


def test_example_of_the_documentation_runs() -> None:
    result = doctest.testmod(particles)
    assert result.attempted > 0
    assert result.failed == 0
