"""An interrupted command says how to continue, and continues."""

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

from deployments.command_line.commands import load_commands
from deployments.command_line.interruption import resume_hint
from deployments.command_line.main import main
from deployments.command_line.process import Process
from deployments.run_parameters import network_parameter
from spherovem_core.stages import STAGE_NAMES
from spherovem_core.status import acquisition_state, is_results_folder
from spherovem_core.synthetic.phantom import make_phantom, write_acquisition

CHECKOUT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "deployments.command_line"]
COMMANDS = load_commands()
SECOND, THIRD = STAGE_NAMES[1:3]


def test_the_message_repeats_the_command_quoted_for_a_shell() -> None:
    given = ["process", "/data/my slices", "--set", f"{network_parameter('cells')}=it's mine"]
    message = resume_hint(given, COMMANDS)
    assert message.startswith("interrupted; finished stages and blocks are kept")
    assert shlex.split(message.splitlines()[-1]) == ["spherovem", *given]


@pytest.mark.parametrize("given", [["report", "x"], ["status"], [], ["bogus"]])
def test_a_command_that_cannot_continue_gets_no_hint(given: list[str]) -> None:
    assert resume_hint(given, COMMANDS) == "interrupted"


def test_an_interruption_ends_with_exit_code_130(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(command: Process) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Process, "cli_cmd", interrupted)
    assert main(["process", "slices", "--results-root", str(tmp_path)]) == 130
    assert f"  spherovem process slices --results-root {tmp_path}\n" in capsys.readouterr().err


def test_the_exit_of_an_interrupted_library_counts_as_an_interruption(
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
    assert "To continue from there" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{shlex.join([*COMMAND, '--help'])} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert done.stdout.count("\n") == 1
    assert (done.returncode, done.stderr) == (0, "")


def is_running(folder: Path, title: str) -> bool:
    """Return whether a process is computing a stage."""
    steps = acquisition_state(folder).steps if is_results_folder(folder) else ()
    return any(step.running and step.title == title for step in steps)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_continues(tmp_path: Path, number: signal.Signals) -> None:
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
        SECOND,
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
    while not is_running(folder, SECOND):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    # By then the training of the network has begun, which handles Ctrl-C in its own way.
    time.sleep(5)
    os.kill(process.pid, number)
    out, error = process.communicate(timeout=300)
    assert process.returncode == 130, error
    assert "Traceback" not in out + error
    assert shlex.split(error.splitlines()[-1]) == ["spherovem", *given]
    before = acquisition_state(folder)
    assert (before.state, before.step) == ("partial", SECOND)
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
    assert (after.state, after.step, after.stages_complete) == ("partial", THIRD, 2)
