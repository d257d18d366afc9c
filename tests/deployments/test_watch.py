"""The watcher's process: one at a time, woken by what lands, ended by a signal."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from landing_scenes import WrittenDown, landing_settings, write_acquisition, write_truncated
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.command_line.main import main
from deployments.landing import watching
from deployments.landing.prefect_announcer import PrefectAnnouncer
from deployments.landing.rules import LandingRules
from deployments.landing.scanner import Look
from spherovem_core.errors import ParameterError


@pytest.fixture
def rules(tmp_path: Path) -> LandingRules:
    return LandingRules.from_settings(landing_settings(tmp_path))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> WrittenDown:
    """What stands for the server in the watcher's process."""
    told = WrittenDown()
    monkeypatch.setattr(watching, "PrefectAnnouncer", lambda rules: told)
    return told


@pytest.fixture
def ending_when() -> Iterator[Callable[[Callable[[], bool]], None]]:
    """Send this process SIGTERM once something is the case, or after a minute."""
    threads: list[threading.Thread] = []

    def ending(happened: Callable[[], bool]) -> None:
        def wait() -> None:
            deadline = time.monotonic() + 60
            while not happened() and time.monotonic() < deadline:
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGTERM)

        threads.append(threading.Thread(target=wait))
        threads[-1].start()

    yield ending
    for thread in threads:
        thread.join()


def test_what_lands_while_it_watches_is_handed_over_and_a_signal_ends_it(
    rules: LandingRules, server: WrittenDown, ending_when: Any
) -> None:
    landing = rules.folders[0]
    write_acquisition(landing / "early")

    def landed() -> bool:
        if server.run_names == ["early"] and not (landing / "late").exists():
            write_acquisition(landing / "late")
            write_truncated(landing / "broken")
        return len(server.runs) == 2 and len(server.reports) == 1

    before = signal.getsignal(signal.SIGTERM)
    ending_when(landed)
    # Long before the interval is over the files' events wake it.
    watching.watch(rules, interval_s=600.0)
    assert server.run_names == ["early", "late"]
    assert len(server.reports) == 1
    assert signal.getsignal(signal.SIGTERM) is before
    with watching.only_watcher(rules.results_root, 0.0) as alone:
        assert alone, "the lock is free again"


def test_one_watcher_serves_a_results_root(
    rules: LandingRules,
    server: WrittenDown,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(watching, "WAIT_FOR_LOCK_S", 0.0)
    write_acquisition(rules.folders[0] / "a")
    with watching.only_watcher(rules.results_root, 0.0) as alone:
        assert alone
        with pytest.raises(watching.OtherWatcherError, match="another watcher serves"):
            watching.watch(rules, 1.0)
        watching.look_once(rules)
    assert "a watcher serves" in capsys.readouterr().out
    assert server.runs == {}


def test_a_single_look(rules: LandingRules, server: WrittenDown, capsys: pytest.CaptureFixture[str]) -> None:
    write_acquisition(rules.folders[0] / "a")
    watching.look_once(rules)
    assert "handed over 0, rejected 0, not ready 1" in capsys.readouterr().out
    time.sleep(0.5)
    server.is_down = True
    with pytest.raises(watching.UndoneError, match="a: the server does not answer"):
        watching.look_once(rules)
    server.is_down = False
    watching.look_once(rules)
    assert "handed over 1" in capsys.readouterr().out


def test_the_pause_ends_when_something_is_due() -> None:
    assert watching.pause_s(Look(), 60.0) == 60.0
    assert watching.pause_s(Look(unconfirmed=1), 60.0) == watching.LONGEST_DEBT_S
    assert watching.pause_s(Look(next_at=time.time() - 5), 60.0) == 0.0
    assert 20.0 < watching.pause_s(Look(next_at=time.time() + 25), 60.0) <= 25.0


@pytest.mark.parametrize(
    ("variables", "arguments", "said"),
    [
        ({}, [], "no landing folder: give --landing-folders"),
        ({"LANDING_FOLDERS": "landing"}, [], "no results root"),
        ({"LANDING_FOLDERS": "landing"}, ["--results-root", "landing/results"], "one inside the other"),
        (
            {"RESULTS_ROOT": "results"},
            ["--retry", "b"],
            "--retry 'b': no acquisition of this name has landed",
        ),
        (
            {"LANDING_FOLDERS": "landing", "PARAMETERS": "no.yaml"},
            ["--results-root", "r"],
            "no.yaml cannot be read",
        ),
        ({"LANDING_FOLDERS": "landing"}, ["--results-root", "r", "--settle-seconds", "-1"], "settle-seconds"),
        ({"SETTLE_SECOND": "3"}, [], "did you mean settle_seconds?"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_watched(
    variables: dict[str, str],
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(f"SPHEROVEM_{name}", value)
    assert main(["watch", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_without_a_server_nothing_is_watched(rules: LandingRules) -> None:
    with (
        temporary_settings({PREFECT_API_URL: None}),
        pytest.raises(ParameterError, match="set PREFECT_API_URL"),
    ):
        PrefectAnnouncer(rules)
