"""One look at the landing folders, and what follows from it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deployments.landing.announcements import Announcer, NoDeploymentError, ServerUnavailableError
from deployments.landing.candidates import Candidate, find_candidates
from deployments.landing.decisions import Decider
from deployments.landing.file_state import take_survey
from deployments.landing.message_log import Saying, logger
from deployments.landing.records import Record, Records
from deployments.landing.rejections import write_rejection
from deployments.landing.retries import take_requests
from deployments.landing.rules import LandingRules
from spherovem_core.errors import SpheroVemError

SERVER, DEPLOYMENT = "server", "deployment"


@dataclass
class Look:
    """What one look came to.

    Attributes
    ----------
    handed_over, rejected
        Names.
    waiting
        Acquisitions that are not ready.
    owed
        What could not be done, by name.
    server_is_down, handing_over_fails
        Why nothing more is asked of the server, or no run; empty when it works.
    unconfirmed
        Rejections of which it is not sure yet that the server keeps them.
    next_at
        When the first of those that wait will be ready if nothing changes; None when there is none.
    """

    handed_over: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    waiting: int = 0
    owed: dict[str, str] = field(default_factory=dict)
    server_is_down: str = ""
    handing_over_fails: str = ""
    unconfirmed: int = 0
    next_at: float | None = None

    def wait_until(self, moment: float | None) -> None:
        """Note that an acquisition is not ready, and when it will be."""
        self.waiting += 1
        if moment is not None:
            self.next_at = moment if self.next_at is None else min(self.next_at, moment)


class Scanner:
    """Looks at the landing folders; one look after another continues what the last one began."""

    def __init__(
        self, rules: LandingRules, announcer: Announcer, clock: Callable[[], float] = time.time
    ) -> None:
        self.records = Records(rules.results_root)
        self.records.sweep()
        self._rules = rules
        self._announcer = announcer
        self._clock = clock
        self._decider = Decider(rules, self.records, clock)
        self._saying = Saying()

    def look(self, stopped: Callable[[], bool] = lambda: False) -> Look:
        """Look once at every landing folder; `stopped` is asked before each acquisition."""
        look = Look()
        self._take_requests()
        for landing in self._rules.folders:
            for candidate in self._find(landing):
                if stopped():
                    return look
                with self._guarding(candidate.key, candidate.name, look):
                    self._attend(candidate, look)
        for record in self.records:
            if record.report is not None and not stopped():
                with self._guarding(record.source, record.name, look):
                    self._report(record, look)
        if not look.server_is_down:
            self._saying.settled(SERVER, "the Prefect server answers again")
        return look

    def _find(self, landing: Path) -> list[Candidate]:
        try:
            candidates = find_candidates(landing)
        except OSError as error:
            text = f"the landing folder {landing} cannot be read ({error.strerror}); it is looked at again"
            self._saying.say(str(landing), text)
            return []
        self._saying.settled(str(landing), f"the landing folder {landing} can be read again")
        self._forget_removed(landing, {candidate.key for candidate in candidates})
        return candidates

    def _attend(self, candidate: Candidate, look: Look) -> None:
        survey = take_survey(candidate, self._rules.sentinel)
        record = self._decider.observe(candidate, survey)
        if record.judged != record.signature or record.again:
            ready_at = self._decider.ready_at(record, survey)
            if ready_at is None or ready_at > self._clock():
                look.wait_until(ready_at)
                return
            record = self._decider.decide(candidate, survey, record)
        if record.judged == record.signature and record.due is not None:
            self._hand_over(candidate, record, look)
        self._saying.settled(candidate.key)

    def _hand_over(self, candidate: Candidate, record: Record, look: Look) -> None:
        landed = record.due
        assert landed is not None
        if look.handing_over_fails:
            look.owed[record.name] = look.handing_over_fails
            return
        flow_run = self._announcer.landed(landed, candidate.landing)
        self.records.keep(record.changed(due=None, flow_run=flow_run))
        look.handed_over.append(record.name)
        self._saying.settled(DEPLOYMENT)
        logger.info("%s: handed over, attempt %d, flow run %s", record.name, landed.attempt, flow_run)

    def _report(self, record: Record, look: Look) -> None:
        rejection = record.report
        assert rejection is not None
        if record.reported == rejection.fingerprint:
            write_rejection(rejection)
        if look.server_is_down:
            look.owed[record.name] = look.server_is_down
            return
        if self._announcer.rejected(rejection):
            self.records.keep(record.changed(report=None))
            look.rejected.append(record.name)
        else:
            look.unconfirmed += 1

    @contextmanager
    def _guarding(self, key: str, name: str, look: Look) -> Iterator[None]:
        """What goes wrong with one acquisition does not keep others waiting, and is said once."""
        try:
            yield
        except ServerUnavailableError as error:
            look.owed[name] = look.server_is_down = look.handing_over_fails = str(error)
            self._saying.say(SERVER, f"{error}; what has landed is handed over when it answers")
        except NoDeploymentError as error:
            look.owed[name] = look.handing_over_fails = str(error)
            self._saying.say(DEPLOYMENT, f"{error}; what has landed is handed over when it is there")
        except (SpheroVemError, OSError) as error:
            look.owed[name] = str(error)
            self._saying.say(key, f"{name}: {error}; tried again at the next look")

    def _forget_removed(self, landing: Path, there: set[str]) -> None:
        """Forget what was removed before anything came of it; of the others the record stays."""
        for record in self.records:
            if Path(record.source).parent == landing and record.source not in there:
                self._saying.settled(record.source)
                if not record.attempts:
                    self.records.forget(record)

    def _take_requests(self) -> None:
        for name, request in take_requests(self._rules.results_root):
            for record in self.records:
                if record.name == name:
                    self.records.keep(record.changed(again=True, reported=""))
                    logger.info("%s: judged anew on demand", name)
            request.unlink(missing_ok=True)
