"""Watcher process: one per results root, woken by file events, ended by a signal."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import watchfiles

from deployments.landing.message_log import MessageLog
from deployments.landing.overview import LandingOverview
from deployments.landing.prefect_announcer import PrefectAnnouncer
from deployments.landing.records import STATE_FOLDER
from deployments.landing.rules import LandingRules
from deployments.landing.scanner import Scanner, ScanResult
from deployments.server.recovery import CrashRecovery
from spherovem_core.errors import SpheroVemError, StoreNotWritableError
from tasks.locks import FileLocks

logger = logging.getLogger(__name__)

# A scheduled scan may hold the lock for a moment when the watcher starts.
LOCK_TIMEOUT_S = 20.0
# While slices are written, file events come by the thousand.
MIN_PAUSE_S = 1.0
# Longest pause before something that failed is tried again.
MAX_RETRY_PAUSE_S = 10.0
# Pause before the kernel is asked again for events of folders that it could not watch.
WATCH_AGAIN_S = 60.0
# Pause before landing folders are searched again, if none exists yet.
NO_FOLDER_PAUSE_S = 5.0


class OtherWatcherError(SpheroVemError, RuntimeError):
    """Another watcher holds the lock of this results root."""


class IncompleteScanError(SpheroVemError, RuntimeError):
    """A single scan that could not do everything."""


def watch(rules: LandingRules, interval_s: float) -> None:
    """Scan when files change, when an acquisition is ready, and every `interval_s`; until SIGTERM or Ctrl-C.

    Raises
    ------
    OtherWatcherError
        If another watcher serves the results root.
    StoreNotWritableError
        If the results root cannot be written.
    ParameterError
        If ``PREFECT_API_URL`` is not set.
    """
    with PrefectAnnouncer(rules) as announcer, watcher_lock(rules.results_root, LOCK_TIMEOUT_S) as held:
        if not held:
            raise OtherWatcherError(
                f"another watcher serves {rules.results_root} ({lock_path(rules.results_root)} names it); "
                "end it, or choose another results root"
            )
        scanner, recovery = Scanner(rules, announcer), CrashRecovery(rules.results_root)
        overview, messages = LandingOverview(rules, announcer.page()), MessageLog()
        logger.info("watching %s; results go to %s", ", ".join(map(str, rules.folders)), rules.results_root)
        with stopping_on_signals() as (stopped, wake), waking_on_changes(rules.folders, wake, stopped):
            while not stopped.is_set():
                result = scan_in_any_case(scanner, stopped.is_set)
                if not result.server_error:
                    act_in_any_case(
                        messages, "the overview of what has landed", lambda: overview.show(scanner.records)
                    )
                act_in_any_case(messages, "the restart of crashed runs", recovery.run_if_due)
                stopped.wait(MIN_PAUSE_S)
                wake.wait(pause_s(result, interval_s))
                wake.clear()
        logger.info("the watcher has ended; the next one continues where it stopped")


def scan_in_any_case(scanner: Scanner, stopped: Callable[[], bool]) -> ScanResult:
    """Scan; an error of this program ends the scan, is logged, and does not end the watcher."""
    try:
        return scanner.scan(stopped)
    except Exception as error:
        logger.exception("the scan ended in an unexpected error; the next one tries again")
        return ScanResult(failed={"scan": f"{type(error).__name__}: {error}"})


def act_in_any_case(messages: MessageLog, what: str, act: Callable[[], object]) -> None:
    """Do what goes with a scan; an error of this program is logged once, and does not end the watcher."""
    try:
        act()
        messages.log_resolved(what)
    except Exception as error:
        logger.debug("%s", what, exc_info=True)
        text = (
            f"{what} ended in an unexpected {type(error).__name__}: {error!s:.500}; the next scan tries again"
        )
        messages.log_error(what, text)


def scan_once(rules: LandingRules) -> None:
    """Scan once, unless a watcher holds the lock.

    Raises
    ------
    IncompleteScanError
        If something could not be done.
    """
    with PrefectAnnouncer(rules) as announcer, watcher_lock(rules.results_root, 0.0) as held:
        if not held:
            print(f"a watcher serves {rules.results_root}: nothing to do")
            return
        result = Scanner(rules, announcer).scan()
        CrashRecovery(rules.results_root).run_if_due()
    print(
        f"handed over {len(result.handed_over)}, rejected {len(result.rejected)}, not ready {result.waiting}"
    )
    if result.failed:
        raise IncompleteScanError(
            f"{len(result.failed)} not done, the next scan tries again: "
            + "; ".join(f"{name}: {reason}" for name, reason in sorted(result.failed.items()))
        )


def pause_s(result: ScanResult, interval_s: float) -> float:
    """Return the seconds until the next scan if no file changes."""
    pause = interval_s
    if result.failed or result.unconfirmed:
        pause = min(pause, MAX_RETRY_PAUSE_S)
    if result.next_at is not None:
        pause = min(pause, result.next_at - time.time())
    return max(0.0, pause)


@contextmanager
def watcher_lock(results_root: Path, timeout_s: float) -> Iterator[bool]:
    """Hold the lock of the results root, which the kernel frees when this process ends; yield False if it is taken."""
    path, holder = lock_path(results_root), f"watcher {uuid4().hex}"
    locks = FileLocks(path.parent)
    try:
        held = locks.acquire_lock(path.stem, holder, acquire_timeout=timeout_s)
    except OSError as error:
        raise StoreNotWritableError(
            f"the results root {results_root} cannot be written ({error.strerror or error}); "
            "choose another or give write permission"
        ) from error
    try:
        yield held
    finally:
        if held:
            locks.release_lock(path.stem, holder)


def lock_path(results_root: Path) -> Path:
    """Return the path of the lock's file, which names its holder."""
    return results_root / STATE_FOLDER / "watcher.lock"


@contextmanager
def stopping_on_signals() -> Iterator[tuple[threading.Event, threading.Event]]:
    """Set both events, stopped and wake, on SIGTERM, Ctrl-C or the end of the terminal; a second signal ends at once."""
    stopped, wake = threading.Event(), threading.Event()

    def stop(number: int, frame: object) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()
        wake.set()

    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield stopped, wake
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def waking_on_changes(
    folders: Sequence[Path], wake: threading.Event, stopped: threading.Event
) -> Iterator[None]:
    """Set `wake` when a file changes; without file events of the kernel only the interval counts."""
    thread = threading.Thread(target=_wake_on_changes, args=(folders, wake, stopped), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(5.0)


def _wake_on_changes(folders: Sequence[Path], wake: threading.Event, stopped: threading.Event) -> None:
    while not stopped.is_set():
        present = [folder for folder in folders if folder.is_dir()]
        try:
            if present:
                for _ in watchfiles.watch(
                    *present,
                    watch_filter=None,
                    stop_event=stopped,
                    rust_timeout=1000,
                    raise_interrupt=False,
                    ignore_permission_denied=True,
                ):
                    wake.set()
                    if any(folder.is_dir() for folder in folders if folder not in present):
                        break
        except (OSError, RuntimeError) as error:  # no inotify, too few watches, a folder that went away
            logger.info("no file events (%s); the landing folders are scanned at the set interval", error)
        stopped.wait(WATCH_AGAIN_S if present else NO_FOLDER_PAUSE_S)
