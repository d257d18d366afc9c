"""Prefect's embedded server: where it cannot start, one message says why, at once."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ingest_samples import SPACING_NM, textured, write_slices
from prefect_servers import clean_environment

from deployments.server import embedded
from deployments.server.embedded import EmbeddedServerError, check_prefect_home, start_server

SPHEROVEM = (sys.executable, "-m", "deployments.command_line")


class Ended:
    """A server whose process has ended, for which Prefect waits all the same."""

    server_process = subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(1)"])

    def start(self, timeout_s: float) -> None:
        time.sleep(timeout_s)


class Silent(Ended):
    """A server that runs and does not answer."""

    server_process = None

    def start(self, timeout_s: float) -> None:
        raise RuntimeError("Timed out while attempting to connect to ephemeral Prefect API server.")


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (Ended, r"ended with code 1 while it started; .* set PREFECT_HOME"),
        (Silent, r"did not answer in 20 s \(load .* cores\)\. Try again"),
    ],
)
def test_a_server_that_does_not_start_is_explained(
    server: type, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import prefect.server.api.server

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
