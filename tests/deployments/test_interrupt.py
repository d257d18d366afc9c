"""A command that is interrupted says how to go on, and goes on."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_pipeline import PHANTOM, TINY

from deployments.command_line.main import Process, how_to_go_on, main
from spherovem_core.store.states import acquisition_state, is_results_folder
from spherovem_core.synthetic.phantom import make_phantom, write_acquisition

CHECKOUT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "deployments.command_line"]


def test_the_message_repeats_the_command_such_that_a_shell_takes_it() -> None:
    given = ["process", "/data/my slices", "--set", "cells.network=it's mine"]
    message = how_to_go_on(given)
    assert message.startswith("interrupted; finished stages and blocks are kept")
    assert shlex.split(message.splitlines()[-1]) == ["spherovem", *given]


@pytest.mark.parametrize("given", [["report", "x"], ["status"], [], ["bogus"]])
def test_what_cannot_go_on_is_not_told_to(given: list[str]) -> None:
    assert how_to_go_on(given) == "interrupted"


def test_exit_code_of_an_interruption(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(command: Process) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Process, "cli_cmd", interrupted)
    assert main(["process", "slices", "--results-root", str(tmp_path)]) == 130
    assert f"  spherovem process slices --results-root {tmp_path}\n" in capsys.readouterr().err


def test_a_library_that_exits_when_it_is_interrupted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def exits(command: Process) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            sys.exit(1)

    monkeypatch.setattr(Process, "cli_cmd", exits)
    before = signal.getsignal(signal.SIGINT)
    assert main(["process", "slices", "--results-root", str(tmp_path)]) == 130
    assert "To go on from there" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


def test_a_reader_that_has_enough_is_no_error() -> None:
    command = f"{shlex.join([*COMMAND, '--help'])} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert done.stdout.count("\n") == 1
    assert (done.returncode, done.stderr) == (0, "")


def is_running(folder: Path, title: str) -> bool:
    """Whether a process is computing a stage."""
    stages = acquisition_state(folder).stages if is_results_folder(folder) else ()
    return any(stage.running and stage.title == title for stage in stages)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_was_interrupted_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    source, results = tmp_path / "my slices", tmp_path / "results"
    write_acquisition(make_phantom(PHANTOM), source)
    file = tmp_path / "tiny.yaml"
    file.write_text(json.dumps(TINY))
    given = [
        "process",
        str(source),
        "--results-root",
        str(results),
        "--parameters",
        str(file),
        "--workers",
        "1",
        "--stop-after",
        "denoise",
    ]
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*COMMAND, *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        env=environment,
    )
    folder = results / "my slices"
    while not is_running(folder, "denoise"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    # The network's training has begun then, which listens to Ctrl-C in its own way.
    time.sleep(5)
    os.kill(process.pid, number)
    out, error = process.communicate(timeout=300)
    assert process.returncode == 130, error
    assert "Traceback" not in out + error
    assert shlex.split(error.splitlines()[-1]) == ["spherovem", *given]
    before = acquisition_state(folder)
    assert (before.state, before.stage) == ("partial", "denoise")
    ingested = (folder / "volume.zarr/raw/0/zarr.json").stat().st_mtime_ns

    again = subprocess.run(
        [*COMMAND, *shlex.split(error.splitlines()[-1])[1:]],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=environment,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert "ingest: complete on disk" in again.stdout or "ingest: done" not in again.stdout
    assert (folder / "volume.zarr/raw/0/zarr.json").stat().st_mtime_ns == ingested
    after = acquisition_state(folder)
    assert (after.state, after.stage, after.stages_complete) == ("partial", "register", 2)
