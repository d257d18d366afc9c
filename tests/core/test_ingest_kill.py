"""Repeated kills of ingest leave the same bytes as an undisturbed run."""

import multiprocessing
import random
from pathlib import Path

import killable_ingest
import pytest
from ingest_samples import textured, write_slices
from killed_processes import kill, written_bytes

SLICES = 250


def contents(results: Path) -> dict[str, bytes]:
    return {str(p.relative_to(results)): written_bytes(p) for p in results.rglob("*") if p.is_file()}


def written_slices(results: Path) -> int:
    return len(list(results.rglob("c/*/0/0")))


@pytest.mark.slow
def test_twenty_kills_change_no_byte(tmp_path: Path) -> None:
    """Kills come at random moments, each after 0 to 6 more slices and up to 10 ms."""
    volume = textured((SLICES, 48, 64), "uint16")
    volume[31] = 0
    source = write_slices(tmp_path / "source", volume, compression="lzw")
    results, chance = tmp_path / "killed", random.Random(0)
    written = []
    for _ in range(20):
        enough = written_slices(results) + chance.randint(0, 6)
        kill(
            killable_ingest.ingest,
            source,
            results,
            reached=lambda enough=enough: written_slices(results) >= enough,
            seconds=chance.uniform(0, 0.01),
        )
        written.append(written_slices(results))
    assert 0 < written[10] < written[19] < SLICES
    assert written == sorted(written)
    for name in ("killed", "undisturbed"):
        killable_ingest.ingest(source, tmp_path / name, multiprocessing.Event())
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")
