"""A denoising that is killed again and again ends with the same bytes as one that is left alone."""

import multiprocessing
import random
import time
from pathlib import Path

import denoising_victim
import pytest
from denoising_cases import random_checkpoint


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
def test_killed_ten_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At random moments, each after 0 to 9 more slices and a bit; the first falls into the survey."""
    checkpoint = random_checkpoint(tmp_path / "model.ckpt", depth=1)
    # The fork server of Python 3.11 imports by the environment's path, not by ours.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["denoising_victim"])
    chance = random.Random(0)

    killed, written = 0, []
    for attempt in range(10):
        begun = processes.Event()
        process = processes.Process(
            target=denoising_victim.denoise, args=(checkpoint, tmp_path / "killed", begun)
        )
        process.start()
        assert begun.wait(120)
        enough = written_slices(tmp_path / "killed") + (chance.randint(0, 9) if attempt else 0)
        while written_slices(tmp_path / "killed") < enough and process.is_alive():
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.01))
        process.kill()
        process.join()
        killed += process.exitcode == -9
        written.append(written_slices(tmp_path / "killed"))
    assert killed == 10
    assert written[0] == 0 < written[4] < written[9] < denoising_victim.DEPTH
    assert written == sorted(written)
    for results in ("killed", "left_alone"):
        denoising_victim.denoise(checkpoint, tmp_path / results, processes.Event())
    left_alone = contents(tmp_path / "left_alone")
    assert len(left_alone) > denoising_victim.DEPTH
    assert contents(tmp_path / "killed") == left_alone
