"""Prefect's embedded server: where it cannot start, one message says why, at once."""

import inspect
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import prefect.server.api.server
import pytest
from ingest_samples import SPACING_NM, textured, write_slices
from prefect.server.api.server import SubprocessASGIServer
from prefect_servers import clean_environment

from deployments.server import answering, embedded
from deployments.server.embedded import EmbeddedServerError, check_prefect_home, start_server
from deployments.server.embedded_log import server_log

SPHEROVEM = (sys.executable, "-m", "deployments.command_line")


class Ended:
    """A server whose process has ended, for which Prefect waits all the same."""

    server_process = subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(1)"])

    def start(self, timeout_s: float) -> None:
        time.sleep(timeout_s)

    def _run_uvicorn_command(self) -> None:
        """Start nothing in place of the server."""


class Silent(Ended):
    """A server that runs and does not answer."""

    server_process = None

    def start(self, timeout_s: float) -> None:
        raise RuntimeError("Timed out while attempting to connect to ephemeral Prefect API server.")


class Slow:
    """A server on a busy machine, whose first answer takes longer than Prefect waits for one."""

    server_process = None
    running = False
    api_url = "http://127.0.0.1:9/api"

    def start(self, timeout_s: float) -> None:
        raise httpx.ReadTimeout("timed out")

    def _run_uvicorn_command(self) -> None:
        """Start nothing in place of the server."""


def test_a_server_that_is_slow_to_answer_gets_the_time_that_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, asked = Slow(), []
    monkeypatch.setattr(prefect.server.api.server, "SubprocessASGIServer", lambda: server)
    monkeypatch.setattr(answering, "wait_for_answer", lambda url, budget_s: asked.append((url, budget_s)))
    start_server(20.0)
    assert server.running
    ((url, budget_s),) = asked
    assert url == server.api_url
    assert 0 < budget_s <= 20.0


class Broken:
    """A server that prints what is wrong and ends, started as Prefect does it."""

    server_process: "subprocess.Popen[bytes] | None" = None

    def start(self, timeout_s: float) -> None:
        self.server_process = self._run_uvicorn_command()
        time.sleep(timeout_s)

    def _run_uvicorn_command(self) -> "subprocess.Popen[bytes]":
        code = "import sys; print('starting'); sys.exit('sqlite3.OperationalError: disk I/O error')"
        return prefect.server.api.server.subprocess.Popen([sys.executable, "-S", "-c", code])


def test_a_server_that_prefect_would_start_again_for_ever_is_given_up(tmp_path: Path) -> None:
    """uvicorn ends with the same code where its port is taken and where its application does not start."""
    (tmp_path / "prefect.db").write_bytes(b"no database" * 5000)
    log = server_log(tmp_path)
    code = (
        "from deployments.environment import prepare_environment; prepare_environment()\n"
        "from deployments.server.embedded import prepare_run; prepare_run()"
    )
    environment = {**clean_environment(), "PREFECT_HOME": str(tmp_path), "HOME": os.environ["HOME"]}
    environment["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "400"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    last = done.stderr.splitlines()[-1]
    assert "ended while it started" in last
    assert (
        f"messages are in {log}, the last one: sqlalchemy.exc.DatabaseError: (sqlite3.DatabaseError) file is not a"
        in last
    )


def test_what_the_server_prints_is_in_a_log_that_the_message_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "subprocess.Popen(" in inspect.getsource(SubprocessASGIServer._run_uvicorn_command)
    monkeypatch.setattr(prefect.server.api.server, "SubprocessASGIServer", Broken)
    monkeypatch.setattr(embedded, "prefect_home", lambda: tmp_path)
    log = server_log(tmp_path)
    log.parent.mkdir()
    log.write_bytes(b"old" * 400_000)
    said = (
        rf"ended while it started; its messages are in {log}, the last one: sqlite3\.OperationalError: disk"
    )
    with pytest.raises(EmbeddedServerError, match=said):
        start_server(20.0)
    assert log.read_text().splitlines()[-1] == "sqlite3.OperationalError: disk I/O error"
    assert log.with_suffix(".log.1").stat().st_size == 1_200_000
    assert capfd.readouterr() == ("", "")
    assert prefect.server.api.server.subprocess is subprocess


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (Ended, r"ended while it started; .* set PREFECT_HOME"),
        (Silent, r"did not answer in 20 s \(load .* cores; its messages are in .*\)\. Try again"),
    ],
)
def test_a_server_that_does_not_start_is_explained(
    server: type, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefect.server.api.server, "SubprocessASGIServer", server)
    with pytest.raises(EmbeddedServerError, match=said):
        start_server(20.0)


def test_a_prefect_home_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(EmbeddedServerError, match=r"cannot write .*home.* set PREFECT_HOME"):
        check_prefect_home()
    home = tmp_path / "home"
    monkeypatch.setenv("PREFECT_HOME", str(home))
    check_prefect_home()
    (home / "prefect.db").touch()
    monkeypatch.setattr(embedded.os, "access", lambda path, mode: False)
    with pytest.raises(EmbeddedServerError, match=r"prefect\.db .*no permission"):
        check_prefect_home()


def test_a_run_with_an_unusable_home_ends_with_that_message(tmp_path: Path) -> None:
    write_slices(tmp_path / "slices", textured((4, 32, 32)))
    (tmp_path / "file").touch()
    compact = "phantom-compact"
    options = ["--results-root", tmp_path / "results", "--network", compact, "--device", "cpu"]
    options += ["--spacing-nm", *SPACING_NM]
    done = subprocess.run(
        [*SPHEROVEM, "process", *map(str, [tmp_path / "slices", *options])],
        env={
            **clean_environment(),
            "PREFECT_HOME": str(tmp_path / "file" / "home"),
            "HOME": os.environ["HOME"],
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "set PREFECT_HOME to a folder" in done.stderr
