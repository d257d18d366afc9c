"""A test session leaves no folder and no process, wherever temporary files are and whatever the login is."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from chromium import chromium
from session_folders import LONGEST, left_processes

ROOT = Path(__file__).parents[2]
TESTS = """
import os, subprocess, sys, tempfile
from pathlib import Path

def test_leaves_files(tmp_path):
    (tmp_path / "file").write_text("")
    folder = Path(tempfile.mkdtemp())
    Path(os.environ["SEEN"]).write_text(str(folder.parent))

def test_fails():
    assert os.environ.get("FAIL") is None
"""


def run_session(tmp_path: Path, **variables: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run a session with this project's conftest in a long folder; return its end and its folder for temporary files."""
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(TESTS)
    place = tmp_path / ("long" * 30)
    place.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"TMPDIR": str(place), "SEEN": str(tmp_path / "seen"), "LOGNAME": "user" * 20, **variables}
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "core")])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_it.py"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert list(place.iterdir()) == []
    return done, Path((tmp_path / "seen").read_text())


def test_a_session_removes_its_folder_and_keeps_it_after_a_failure(tmp_path: Path) -> None:
    done, folder = run_session(tmp_path)
    assert done.returncode == 0, done.stdout
    assert not folder.exists()
    assert len(str(folder)) <= LONGEST
    done, folder = run_session(tmp_path, FAIL="1")
    assert done.returncode == 1
    assert f"temporary files of this session: {folder}" in done.stdout
    assert list(folder.glob("pytest-of-*/*/test_leaves_files0/file"))
    shutil.rmtree(folder)


def test_a_process_that_outlives_its_parent_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("session_folders.ENDING_S", 0.0)
    assert left_processes(tmp_path) == []
    program = (
        "import subprocess, sys; sleep = [sys.executable, '-c', 'import time; time.sleep(60)'];"
        "print(subprocess.Popen(sleep, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)"
    )
    started = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TMPDIR": str(tmp_path / "below")},
        capture_output=True,
        text=True,
        check=True,
    )
    number = int(started.stdout)
    try:
        (found,) = left_processes(tmp_path)
        assert found.startswith(f"{number}: ")
    finally:
        os.kill(number, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(number)] if psutil.pid_exists(number) else [], 10)
    assert left_processes(tmp_path) == []


@pytest.mark.environment
def test_the_browser_starts_in_a_folder_with_a_long_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket has a path of at most 107 characters; the message blamed a time-out."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with chromium(folder) as page:
        assert page.evaluate("6 * 7") == 42
