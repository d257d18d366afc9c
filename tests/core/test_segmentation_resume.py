"""Masks killed several times equal those of one run, and finished blocks are kept."""

import json
import multiprocessing
import random
import time
from collections import Counter
from pathlib import Path

import killable_masks
import numpy as np
import pytest
from segmentation_scenes import ideal, packed_cells


def files_of(results: Path) -> dict[str, bytes]:
    """Read the chunks of both arrays."""
    return {str(p.relative_to(results)): p.read_bytes() for p in results.rglob("c/**/*") if p.is_file()}


@pytest.mark.slow
def test_masks_killed_five_times_equal_those_of_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kill at random moments of both passes."""
    cells = packed_cells(killable_masks.GRID.shape, 24, seed=4)
    np.save(tmp_path / "flows.npy", ideal(cells).astype(np.float16))
    (tmp_path / "whole").mkdir()
    start = time.monotonic()
    killable_masks.make_masks(tmp_path / "flows.npy", tmp_path / "whole")
    length = time.monotonic() - start
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    # Compiled threads do not survive a fork.
    processes = multiprocessing.get_context("spawn")
    chance = random.Random(0)
    results = tmp_path / "killed"
    results.mkdir()
    killed = 0
    for _ in range(5):
        begun = processes.Event()
        process = processes.Process(
            target=killable_masks.make_masks, args=(tmp_path / "flows.npy", results, begun)
        )
        process.start()
        assert begun.wait(60)
        time.sleep(chance.uniform(0.02, length / 3))
        process.kill()
        process.join()
        killed += process.exitcode == -9
    assert killed >= 2
    killable_masks.make_masks(tmp_path / "flows.npy", results)
    counts = [json.loads((folder / "count.json").read_text()) for folder in (results, tmp_path / "whole")]
    assert counts[0] == counts[1] > 10
    assert files_of(results) == files_of(tmp_path / "whole")
    # 18 blocks per pass; only the block in work at a kill is computed again.
    for name in ("provisional", "labels"):
        times = Counter((results / name / "written.txt").read_text().split())
        assert len(times) == 2 * 3 * 3
        assert sum(times.values()) - len(times) <= killed


def test_a_lost_block_is_computed_again(tmp_path: Path) -> None:
    cells = packed_cells(killable_masks.GRID.shape, 24, seed=4)
    np.save(tmp_path / "flows.npy", ideal(cells).astype(np.float16))
    killable_masks.make_masks(tmp_path / "flows.npy", tmp_path)
    before = files_of(tmp_path)
    next(path for path in (tmp_path / "provisional").rglob("c/1/1/1") if path.is_file()).unlink()
    next(path for path in (tmp_path / "labels").rglob("c/0/1/2") if path.is_file()).unlink()
    killable_masks.make_masks(tmp_path / "flows.npy", tmp_path)
    assert files_of(tmp_path) == before


def test_lost_statistics_of_a_block_are_measured_again(tmp_path: Path) -> None:
    cells = packed_cells(killable_masks.GRID.shape, 24, seed=4)
    np.save(tmp_path / "flows.npy", ideal(cells).astype(np.float16))
    killable_masks.make_masks(tmp_path / "flows.npy", tmp_path)
    before = files_of(tmp_path)
    lines = (tmp_path / "statistics.jsonl").read_text().splitlines(keepends=True)
    # A kill between a block and its statistics, which also cut the line before.
    (tmp_path / "statistics.jsonl").write_text("".join(lines[:7]) + lines[7][:40])
    killable_masks.make_masks(tmp_path / "flows.npy", tmp_path)
    assert files_of(tmp_path) == before
