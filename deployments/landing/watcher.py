"""The watcher's process: one at a time, woken by file events, ended by a signal."""

import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import watchfiles

from deployments.landing.prefect_announcer import PrefectAnnouncer
from deployments.landing.records import STATE_FOLDER
from deployments.landing.rules import LandingRules
from deployments.landing.scanner import Look, Scanner
from deployments.server.recovery import Mender
from spherovem_core.errors import SpheroVemError, StoreNotWritableError
from tasks.locks import FileLocks

logger = logging.getLogger("spherovem_core.landing")

# A backup scan may hold the lock for a moment when the watcher starts.
WAIT_FOR_LOCK_S = 20.0
# File events come by the thousand while slices are written.
SHORTEST_PAUSE_S = 1.0
LONGEST_DEBT_S = 10.0
# How long the kernel's watch on a folder that cannot be watched is left alone.
WATCH_AGAIN_S = 60.0


class OtherWatcherError(SpheroVemError, RuntimeError):
    """Another watcher serves this results root."""


class UndoneError(SpheroVemError, RuntimeError):
    """A single look left something undone."""


def watch(rules: LandingRules, interval_s: float) -> None:
    """Look again whenever files change, something is due, or `interval_s` is over; until SIGTERM or Ctrl-C.

    Raises
    ------
    OtherWatcherError
        If another watcher serves the results root.
    StoreNotWritableError
        If the results root cannot be written.
    ParameterError
        If there is no server to tell.
    """
    with PrefectAnnouncer(rules) as announcer, only_watcher(rules.results_root, WAIT_FOR_LOCK_S) as alone:
        if not alone:
            raise OtherWatcherError(
                f"another watcher serves {rules.results_root} ({lock_path(rules.results_root)} names it); "
                "end it, or choose another results root"
            )
        scanner, mender = Scanner(rules, announcer), Mender()
        logger.info("watching %s; results go to %s", ", ".join(map(str, rules.folders)), rules.results_root)
        with ending_on_signals() as (ended, wake), waking_on_changes(rules.folders, wake, ended):
            while not ended.is_set():
                look = scanner.look(ended.is_set)
                mender.tend()
                ended.wait(SHORTEST_PAUSE_S)
                wake.wait(pause_s(look, interval_s))
                wake.clear()
        logger.info("the watcher has ended; what waits is taken up when it starts again")


def look_once(rules: LandingRules) -> None:
    """Look once, unless a watcher is at work; safe beside one.

    Raises
    ------
    UndoneError
        If something could not be done.
    """
    with PrefectAnnouncer(rules) as announcer, only_watcher(rules.results_root, 0.0) as alone:
        if not alone:
            print(f"a watcher serves {rules.results_root}: nothing to do")
            return
        look = Scanner(rules, announcer).look()
        Mender().tend()
    print(f"handed over {len(look.handed_over)}, rejected {len(look.rejected)}, not ready {look.waiting}")
    if look.owed:
        raise UndoneError(
            f"{len(look.owed)} not done, the next look tries again: "
            + "; ".join(f"{name}: {reason}" for name, reason in sorted(look.owed.items()))
        )


def pause_s(look: Look, interval_s: float) -> float:
    """Seconds until the next look if no file changes."""
    pause = interval_s
    if look.owed or look.unconfirmed:
        pause = min(pause, LONGEST_DEBT_S)
    if look.next_at is not None:
        pause = min(pause, look.next_at - time.time())
    return max(0.0, pause)


@contextmanager
def only_watcher(results_root: Path, timeout_s: float) -> Iterator[bool]:
    """Hold the lock of the results root, which the kernel frees however this process ends; False: another has it."""
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
    """The lock's file; it says who holds it."""
    return results_root / STATE_FOLDER / "watcher.lock"


@contextmanager
def ending_on_signals() -> Iterator[tuple[threading.Event, threading.Event]]:
    """Let SIGTERM and Ctrl-C end the loop between two acquisitions; a second signal ends it at once."""
    ended, wake = threading.Event(), threading.Event()

    def end(number: int, frame: object) -> None:
        if ended.is_set():
            raise KeyboardInterrupt
        ended.set()
        wake.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ended, wake
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def waking_on_changes(
    folders: Sequence[Path], wake: threading.Event, ended: threading.Event
) -> Iterator[None]:
    """Set `wake` when a file changes; where the kernel cannot tell, the interval alone decides."""
    thread = threading.Thread(target=_wake_on_changes, args=(folders, wake, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(5.0)


def _wake_on_changes(folders: Sequence[Path], wake: threading.Event, ended: threading.Event) -> None:
    while not ended.is_set():
        there = [folder for folder in folders if folder.is_dir()]
        try:
            if there:
                for _ in watchfiles.watch(
                    *there,
                    watch_filter=None,
                    stop_event=ended,
                    rust_timeout=1000,
                    raise_interrupt=False,
                    ignore_permission_denied=True,
                ):
                    wake.set()
                    if any(folder.is_dir() for folder in folders if folder not in there):
                        break
        except Exception as error:  # no inotify, too few watches, a folder that went away
            logger.info(
                "file events are not to be had (%s); the landing folders are looked at on time", error
            )
        ended.wait(WATCH_AGAIN_S if there else 5.0)
