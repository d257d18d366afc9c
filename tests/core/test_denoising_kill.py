"""A denoising that is killed again and again ends with the same bytes as one that is left alone."""

import multiprocessing
import random
from pathlib import Path

import denoising_victim
import pytest
from denoising_cases import random_checkpoint
from killed_processes import kill


def contents(results: Path) -> dict[str, bytes]:
    # The ledger's lines may be repeated where a kill came between a slice and its figures.
    return {
        str(p.relative_to(results)): p.read_bytes()
        for p in results.rglob("*")
        if p.is_file() and p.suffix != ".jsonl"
    }


def written_slices(results: Path) -> int:
    return len(list(results.rglob("c/*/0/0")))


@pytest.mark.slow
def test_killed_ten_times(tmp_path: Path) -> None:
    """At random moments, each after 0 to 9 more slices and a bit; the first falls into the survey."""
    checkpoint = random_checkpoint(tmp_path / "model.ckpt", depth=1)
    results, chance = tmp_path / "killed", random.Random(0)
    written = []
    for attempt in range(10):
        enough = written_slices(results) + (chance.randint(0, 9) if attempt else 0)
        kill(
            denoising_victim.denoise,
            checkpoint,
            results,
            reached=lambda enough=enough: written_slices(results) >= enough,
            seconds=chance.uniform(0, 0.01),
        )
        written.append(written_slices(results))
    assert written[0] == 0 < written[4] < written[9] < denoising_victim.DEPTH
    assert written == sorted(written)
    for name in ("killed", "left_alone"):
        denoising_victim.denoise(checkpoint, tmp_path / name, multiprocessing.Event())
    left_alone = contents(tmp_path / "left_alone")
    assert len(left_alone) > denoising_victim.DEPTH
    assert contents(tmp_path / "killed") == left_alone
