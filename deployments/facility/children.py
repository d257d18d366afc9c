"""Child processes of a facility: started, restarted when they die, and ended in order."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
SETTLED_S = 60.0
"""A child that lived so long is restarted without a pause when it dies."""

LARGEST_LOG = 20 * 1024 * 1024


@dataclass(frozen=True)
class Program:
    """A program to keep running.

    Attributes
    ----------
    name
        Name in messages and of its log.
    arguments, environment
        Command line and whole environment.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]


class Child:
    """One program that is restarted whenever it ends, with pauses that grow while it keeps ending at once."""

    def __init__(self, program: Program, logs: Path, folder: Path) -> None:
        self.program = program
        self.log = logs / f"{program.name}.log"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._pause_s = 0.0
        self._start_at = 0.0
        self._started_at = 0.0
        self.restarts = -1

    @property
    def pid(self) -> int | None:
        """Process id; None while it does not run."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def keep_running(self) -> None:
        """Start it if it does not run and its pause is over; shorten its log."""
        self._shorten_log()
        if self.pid is not None:
            return
        now = time.monotonic()
        if self._process is not None:
            self._report_end(self._process.returncode, now)
            self._process = None
        if now < self._start_at:
            return
        try:
            self._start()
        except OSError as error:  # no memory or no processes left, or a full disk
            if self.restarts < 0:
                raise
            self._start_at, pause_s = now + max(FIRST_PAUSE_S, self._pause_s), self._pause_s
            self._pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * pause_s))
            logger.warning(
                "%s cannot be started (%s); the next try is in %g s",
                self.program.name,
                error.strerror or error,
                self._start_at - now,
            )

    def end(self, seconds: float) -> None:
        """End it with SIGTERM; after these seconds kill it."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            logger.warning("%s did not end in %g s and is killed", self.program.name, seconds)
            self._process.kill()
            self._process.wait()

    def last_lines(self, count: int = 8) -> str:
        """Return the end of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])
        except FileNotFoundError:
            return ""

    def _start(self) -> None:
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as log:
            # In a session of its own: Ctrl-C reaches the facility alone, which ends its children in order.
            self._process = subprocess.Popen(
                list(self.program.arguments),
                env=dict(self.program.environment),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started_at = time.monotonic()
        self.restarts += 1
        logger.info(
            "%s: %s, process %d", self.program.name, "restarted" if self.restarts else "started", self.pid
        )

    def _report_end(self, code: int, now: float) -> None:
        if now - self._started_at >= SETTLED_S:
            self._pause_s = 0.0
        self._start_at = now + self._pause_s
        cause = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        logger.warning(
            "%s %s; restarted %s; its log is %s",
            self.program.name,
            cause,
            f"in {self._pause_s:g} s" if self._pause_s else "at once",
            self.log,
        )
        self._pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * self._pause_s))

    def _shorten_log(self) -> None:
        """Move a large log aside by its content: the child appends to the same file. On a full disk the content is given up."""
        older = self.log.with_suffix(".log.1")
        try:
            if self.log.stat().st_size <= LARGEST_LOG:
                return
            older.write_bytes(self.log.read_bytes())
        except FileNotFoundError:
            return
        except OSError as error:
            older.unlink(missing_ok=True)
            logger.warning(
                "the log %s is begun anew, its content is lost (%s)", self.log, error.strerror or error
            )
        os.truncate(self.log, 0)
