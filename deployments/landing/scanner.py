"""Scan of the landing folders, and the actions that follow from it."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deployments.landing.announcements import Announcer, NoDeploymentError, ServerUnavailableError
from deployments.landing.candidates import Candidate, find_candidates
from deployments.landing.decisions import Decider
from deployments.landing.file_state import read_file_state
from deployments.landing.message_log import MessageLog
from deployments.landing.records import LandedAcquisition, Record, Records, Rejection
from deployments.landing.rejections import write_rejection
from deployments.landing.retries import pending_retries
from deployments.landing.rules import LandingRules
from spherovem_core.errors import SpheroVemError
from spherovem_core.urls import shown

logger = logging.getLogger(__name__)

AT_ONCE = 5
"""Acquisitions that one scan hands over without a pause. After each further one the server gets as long as that one took, for
those who look at the UI meanwhile."""

LONGEST_PAUSE_S = 2.0

SERVER, DEPLOYMENT = "server", "deployment"
"""Subjects of the message log that are not acquisitions."""


@dataclass
class ScanResult:
    """Outcome of one scan.

    Attributes
    ----------
    handed_over, rejected
        Names of acquisitions whose run was started, and of those whose rejection the server has stored.
    waiting
        Number of acquisitions that are not ready.
    failed
        Reason per name for what could not be done; the next scan tries again.
    server_error, deployment_error
        Reason to ask nothing more of the server, or to start no more runs; empty if it works.
    unconfirmed
        Number of rejections sent to the server and not stored yet.
    next_at
        Time at which the first waiting acquisition is ready if nothing changes; None if none is waiting for a time.
    """

    handed_over: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    waiting: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    server_error: str = ""
    deployment_error: str = ""
    unconfirmed: int = 0
    next_at: float | None = None

    def add_waiting(self, ready_at: float | None) -> None:
        """Count an acquisition that is not ready, and note when it will be."""
        self.waiting += 1
        if ready_at is not None:
            self.next_at = ready_at if self.next_at is None else min(self.next_at, ready_at)


class Scanner:
    """Scanner of the landing folders; each scan continues from the records of the last one."""

    def __init__(
        self, rules: LandingRules, announcer: Announcer, clock: Callable[[], float] = time.time
    ) -> None:
        self.records = Records(rules.results_root)
        self.records.remove_partial_files()
        self._rules = rules
        self._announcer = announcer
        self._clock = clock
        self._decider = Decider(rules, self.records, clock)
        self._messages = MessageLog()

    def scan(self, stopped: Callable[[], bool] = lambda: False) -> ScanResult:
        """Scan every landing folder once; end early when `stopped`, asked before each acquisition, returns true."""
        result = ScanResult()
        self._apply_retries()
        for landing in self._rules.folders:
            for candidate in self._find_candidates(landing):
                if stopped():
                    return result
                with self._recording_errors(candidate.key, candidate.name, result):
                    self._process(candidate, result)
        for record in self.records:
            if record.report is not None and not stopped():
                with self._recording_errors(record.source, record.name, result):
                    self._report(record, record.report, result)
        if not result.server_error:
            self._messages.log_resolved(SERVER, "the Prefect server answers again")
        return result

    def _find_candidates(self, landing: Path) -> list[Candidate]:
        try:
            candidates = find_candidates(landing)
        except OSError as error:
            text = f"the landing folder {shown(landing)} cannot be read ({error.strerror or error}); the next scan tries again"
            self._messages.log_error(str(landing), text)
            return []
        self._messages.log_resolved(str(landing), f"the landing folder {shown(landing)} can be read again")
        self._forget_removed(landing, {candidate.key for candidate in candidates})
        return candidates

    def _process(self, candidate: Candidate, result: ScanResult) -> None:
        state = read_file_state(candidate, self._rules.sentinel)
        record = self._decider.observe(candidate, state)
        if record.judged != record.signature or record.again:
            ready_at = self._decider.ready_at(record, state)
            if ready_at is None or ready_at > self._clock():
                result.add_waiting(ready_at)
                if not state.is_empty:
                    self._messages.log_waiting(candidate.key, self._waits_for(record, ready_at))
                return
            record = self._decider.decide(candidate, state, record)
        if record.judged == record.signature and record.due is not None:
            self._hand_over(candidate, record, record.due, result)
        self._messages.log_resolved(candidate.key)

    def _waits_for(self, record: Record, ready_at: float | None) -> str:
        """Say what an acquisition waits for, without times that change at every scan."""
        if ready_at is None:
            return f"{record.name}: landed; waits for the file {self._rules.sentinel}"
        return f"{record.name}: landed; checked when its files have not changed for {ready_at - record.since:g} s"

    def _hand_over(
        self, candidate: Candidate, record: Record, due: LandedAcquisition, result: ScanResult
    ) -> None:
        if result.deployment_error:
            result.failed[record.name] = result.deployment_error
            return
        began = time.monotonic()
        flow_run = self._announcer.start_run(due, candidate.landing)
        self.records.keep(record.changed(due=None, flow_run=flow_run, handed_over=self._clock()))
        result.handed_over.append(record.name)
        self._messages.log_resolved(DEPLOYMENT)
        logger.info("%s: handed over, attempt %d, flow run %s", record.name, due.attempt, flow_run)
        if len(result.handed_over) > AT_ONCE:
            time.sleep(min(time.monotonic() - began, LONGEST_PAUSE_S))

    def _report(self, record: Record, rejection: Rejection, result: ScanResult) -> None:
        if record.reported == rejection.fingerprint:
            write_rejection(rejection)
        if result.server_error:
            result.failed[record.name] = result.server_error
            return
        if self._announcer.report_rejection(rejection):
            self.records.keep(record.changed(report=None))
            result.rejected.append(record.name)
        else:
            result.unconfirmed += 1

    @contextmanager
    def _recording_errors(self, key: str, name: str, result: ScanResult) -> Iterator[None]:
        """Record and log an error of one acquisition, so that the others go on."""
        try:
            yield
        except ServerUnavailableError as error:
            result.failed[name] = result.server_error = result.deployment_error = str(error)
            self._messages.log_error(SERVER, f"{error}; landed acquisitions are handed over when it answers")
        except NoDeploymentError as error:
            result.failed[name] = result.deployment_error = str(error)
            self._messages.log_error(
                DEPLOYMENT, f"{error}; landed acquisitions are handed over when it is there"
            )
        except (SpheroVemError, OSError) as error:
            result.failed[name] = str(error)
            self._messages.log_error(key, f"{name}: {error}; the next scan tries again")
        except Exception as error:  # an error of this program about one acquisition must not stop the others
            result.failed[name] = f"{type(error).__name__}: {error}"
            logger.debug("%s", name, exc_info=True)
            text = f"{name}: unexpected {result.failed[name]:.500}; the next scan tries again"
            self._messages.log_error(key, text)

    def _forget_removed(self, landing: Path, present: set[str]) -> None:
        """Forget acquisitions that were removed before their first check; keep the records of others."""
        for record in self.records:
            if Path(record.source).parent == landing and record.source not in present:
                self._messages.log_resolved(record.source)
                if not record.attempts:
                    self.records.forget(record)

    def _apply_retries(self) -> None:
        for name, request in pending_retries(self._rules.results_root):
            for record in self.records:
                if record.name == name:
                    self.records.keep(record.changed(again=True, reported=""))
                    logger.info("%s: checked again on request", name)
            request.unlink(missing_ok=True)
