"""An ingest that is killed again and again ends with the same bytes as one that is left alone."""

import multiprocessing
import random
import time
from pathlib import Path

import ingest_victim
import pytest
from ingest_samples import textured, write_slices

SLICES = 250


def contents(results: Path) -> dict[str, bytes]:
    return {str(p.relative_to(results)): p.read_bytes() for p in results.rglob("*") if p.is_file()}


def written_slices(results: Path) -> int:
    return len(list(results.rglob("c/*/0/0")))


@pytest.mark.slow
def test_killed_twenty_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At random moments, each after 0 to 6 more slices and a bit."""
    volume = textured((SLICES, 48, 64), "uint16")
    volume[31] = 0
    source = write_slices(tmp_path / "source", volume, compression="lzw")
    # The fork server of Python 3.11 imports by the environment's path, not by ours.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["ingest_victim"])
    chance = random.Random(0)

    killed, written = 0, []
    for _ in range(20):
        begun = processes.Event()
        process = processes.Process(target=ingest_victim.ingest, args=(source, tmp_path / "killed", begun))
        process.start()
        assert begun.wait(60)
        enough = written_slices(tmp_path / "killed") + chance.randint(0, 6)
        while written_slices(tmp_path / "killed") < enough and process.is_alive():
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.01))
        process.kill()
        process.join()
        killed += process.exitcode == -9
        written.append(written_slices(tmp_path / "killed"))
    assert killed == 20
    assert 0 < written[10] < written[19] < SLICES
    assert written == sorted(written)
    for results in ("killed", "left_alone"):
        ingest_victim.ingest(source, tmp_path / results, processes.Event())
    assert contents(tmp_path / "killed") == contents(tmp_path / "left_alone")
