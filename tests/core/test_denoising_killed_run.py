"""Denoising that is killed again and again gives the same bytes as an undisturbed run."""

import multiprocessing
import random
from pathlib import Path

import killable_denoising
import pytest
from denoising_scenes import random_checkpoint
from killed_processes import kill, written_bytes


def contents(results: Path) -> dict[str, bytes]:
    # The ledger repeats a line if the kill came between writing the line and writing the slice.
    return {
        str(p.relative_to(results)): written_bytes(p)
        for p in results.rglob("*")
        if p.is_file() and p.suffix != ".jsonl"
    }


def written_slices(results: Path) -> int:
    return len(list(results.rglob("c/*/0/0")))


@pytest.mark.slow
def test_ten_kills_change_no_byte(tmp_path: Path) -> None:
    """Kill at random moments, each after 0 to 9 more slices; the first during the sample statistics."""
    checkpoint = random_checkpoint(tmp_path / "model.ckpt", depth=1)
    results, chance = tmp_path / "killed", random.Random(0)
    written = []
    for attempt in range(10):
        enough = written_slices(results) + (chance.randint(0, 9) if attempt else 0)
        kill(
            killable_denoising.denoise,
            checkpoint,
            results,
            reached=lambda enough=enough: written_slices(results) >= enough,
            seconds=chance.uniform(0, 0.01),
        )
        written.append(written_slices(results))
    assert written[0] == 0 < written[4] < written[9] < killable_denoising.DEPTH
    assert written == sorted(written)
    for name in ("killed", "undisturbed"):
        killable_denoising.denoise(checkpoint, tmp_path / name, multiprocessing.Event())
    undisturbed = contents(tmp_path / "undisturbed")
    assert len(undisturbed) > killable_denoising.DEPTH
    assert contents(tmp_path / "killed") == undisturbed
