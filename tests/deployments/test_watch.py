"""Watcher process: one per results root, woken by file events, ended by a signal."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from landing_scenes import RecordingAnnouncer, landing_settings, write_acquisition, write_truncated
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.command_line.main import main
from deployments.landing import watcher
from deployments.landing.prefect_announcer import PrefectAnnouncer
from deployments.landing.rules import LandingRules
from deployments.landing.scanner import ScanResult
from spherovem_core.errors import ParameterError


@pytest.fixture
def rules(tmp_path: Path) -> LandingRules:
    return LandingRules.from_settings(landing_settings(tmp_path))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> RecordingAnnouncer:
    """Replace the watcher's announcer by one that records its calls."""
    announcer = RecordingAnnouncer()
    monkeypatch.setattr(watcher, "PrefectAnnouncer", lambda rules: announcer)
    return announcer


@pytest.fixture
def ending_when() -> Iterator[Callable[[Callable[[], bool]], None]]:
    """Return a function that sends this process SIGTERM when its condition holds, or after a minute."""
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


def test_file_events_wake_the_watcher_and_sigterm_ends_it(
    rules: LandingRules, server: RecordingAnnouncer, ending_when: Any
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
    # The interval is far longer than the test: only file events can wake the watcher.
    watcher.watch(rules, interval_s=600.0)
    assert server.run_names == ["early", "late"]
    assert len(server.reports) == 1
    assert signal.getsignal(signal.SIGTERM) is before
    with watcher.watcher_lock(rules.results_root, 0.0) as held:
        assert held, "the watcher kept its lock"


@pytest.mark.parametrize("ignored", [False, True])
def test_the_end_of_the_terminal_ends_the_watcher_in_order_except_under_nohup(ignored: bool) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        with watcher.stopping_on_signals() as (stopped, wake):
            os.kill(os.getpid(), signal.SIGHUP)
            assert stopped.wait(0.0 if ignored else 30.0) is not ignored
            assert wake.is_set() is not ignored
        assert signal.getsignal(signal.SIGHUP) == (signal.SIG_IGN if ignored else signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_unexpected_error_of_overview_or_recovery_is_logged_once_and_does_not_end_the_watcher(
    rules: LandingRules,
    server: RecordingAnnouncer,
    ending_when: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = []

    def broken(*_: object) -> None:
        calls.append(1)
        raise KeyError("no such field")

    monkeypatch.setattr(watcher.LandingOverview, "show", broken)
    monkeypatch.setattr(watcher.CrashRecovery, "run_if_due", broken)
    write_acquisition(rules.folders[0] / "a")
    ending_when(lambda: server.run_names == ["a"] and len(calls) > 3)
    watcher.watch(rules, interval_s=0.1)
    said = [record.message for record in caplog.records if "unexpected KeyError" in record.message]
    assert len(said) == 2
    assert {text.partition(" ended")[0] for text in said} == {
        "the overview of what has landed",
        "the restart of crashed runs",
    }


def test_a_second_watcher_of_a_results_root_is_refused(
    rules: LandingRules,
    server: RecordingAnnouncer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(watcher, "LOCK_TIMEOUT_S", 0.0)
    write_acquisition(rules.folders[0] / "a")
    with watcher.watcher_lock(rules.results_root, 0.0) as held:
        assert held
        with pytest.raises(watcher.OtherWatcherError, match="another watcher serves"):
            watcher.watch(rules, 1.0)
        watcher.scan_once(rules)
    assert "a watcher serves" in capsys.readouterr().out
    assert server.runs == {}


def test_a_single_scan_fails_if_something_is_left_undone(
    rules: LandingRules, server: RecordingAnnouncer, capsys: pytest.CaptureFixture[str]
) -> None:
    write_acquisition(rules.folders[0] / "a")
    watcher.scan_once(rules)
    assert "handed over 0, rejected 0, not ready 1" in capsys.readouterr().out
    time.sleep(0.5)
    server.is_down = True
    with pytest.raises(watcher.IncompleteScanError, match="a: the server does not answer"):
        watcher.scan_once(rules)
    server.is_down = False
    watcher.scan_once(rules)
    assert "handed over 1" in capsys.readouterr().out


def test_the_command_shows_the_log_of_a_rejection(
    tmp_path: Path,
    server: RecordingAnnouncer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_truncated(tmp_path / "landing" / "a")
    command = ["watch", "--once", "--landing-folders", "landing", "--results-root", "results"]
    assert main([*command, "--settle-seconds", "0.1"]) == 0
    time.sleep(0.1)
    assert main([*command, "--settle-seconds", "0.1"]) == 0
    assert "rejected: a: slice_0001.tif: truncated" in capsys.readouterr().out


def test_the_pause_ends_when_an_acquisition_is_ready() -> None:
    assert watcher.pause_s(ScanResult(), 60.0) == 60.0
    assert watcher.pause_s(ScanResult(unconfirmed=1), 60.0) == watcher.MAX_RETRY_PAUSE_S
    assert watcher.pause_s(ScanResult(next_at=time.time() - 5), 60.0) == 0.0
    assert 20.0 < watcher.pause_s(ScanResult(next_at=time.time() + 25), 60.0) <= 25.0


@pytest.mark.parametrize(
    ("variables", "arguments", "message"),
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
def test_wrong_settings_are_refused_before_the_first_scan(
    variables: dict[str, str],
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(f"SPHEROVEM_{name}", value)
    assert main(["watch", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_the_watcher_needs_the_address_of_a_server(rules: LandingRules) -> None:
    with (
        temporary_settings({PREFECT_API_URL: None}),
        pytest.raises(ParameterError, match="set PREFECT_API_URL"),
    ):
        PrefectAnnouncer(rules)
