"""From how an acquisition looks to what is to be done about it, remembered at each step."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from deployments.landing.candidates import Candidate, folder_name
from deployments.landing.file_state import Survey, take_survey
from deployments.landing.records import Landed, Record, Records, Rejection
from deployments.landing.rejections import clear_rejection
from deployments.landing.rules import LandingRules
from deployments.landing.verdicts import Broken, Copy, Sound, Unchanged, Verdict, judge

logger = logging.getLogger("spherovem_core.landing")


class Decider:
    """Waits for acquisitions to be ready and judges those that are.

    Parameters
    ----------
    rules
        What it goes by.
    records
        Brought up to date at each step, so that a kill at any moment repeats at most that step.
    clock
        Seconds since 1970; they are compared with those of earlier processes.
    """

    def __init__(self, rules: LandingRules, records: Records, clock: Callable[[], float]) -> None:
        self._rules = rules
        self._records = records
        self._clock = clock

    def observe(self, candidate: Candidate, survey: Survey) -> Record:
        """Note how the files look, and since when."""
        record = self._records.find(candidate.key) or Record(source=candidate.key, name=candidate.name)
        now = self._clock()
        if record.signature != survey.signature:
            record = record.changed(signature=survey.signature, since=now, troubled_since=None)
        elif record.since > now:
            record = record.changed(since=now)  # the clock was set back
        return self._records.keep(record)

    def ready_at(self, record: Record, survey: Survey) -> float | None:
        """When the acquisition is ready if nothing changes; None: not before something does."""
        marked = survey.sentinel is not None and survey.sentinel != record.spent_sentinel
        if survey.is_empty and not marked:
            return None
        seconds = self._rules.settling_seconds(marked=marked or record.again)
        return None if seconds is None else record.since + seconds

    def decide(self, candidate: Candidate, survey: Survey, record: Record) -> Record:
        """Judge an acquisition that is ready.

        Raises
        ------
        ParameterError
            If the parameters of its landing folder are wrong.
        OSError
            If its files cannot be read, for as long as that may pass.
        """
        try:
            verdict = judge(candidate, survey, record, self._records, self._rules)
        except FileNotFoundError:
            return record  # removed this moment: the next look sees it
        except OSError as error:
            verdict = self._trouble(candidate, record, error)
        if take_survey(candidate, self._rules.sentinel).signature != survey.signature:
            return record  # changed meanwhile: the next look sees it
        record = record.changed(
            judged=survey.signature, spent_sentinel=survey.sentinel, troubled_since=None, again=False
        )
        return self._follow(candidate, record, verdict)

    def _trouble(self, candidate: Candidate, record: Record, error: OSError) -> Broken:
        """Give up on files that could not be read for as long as an acquisition has to be still; before that, raise."""
        now = self._clock()
        since = now if record.troubled_since is None else record.troubled_since
        if now < since + self._rules.settle_seconds:
            self._records.keep(record.changed(troubled_since=since))
            raise error
        return Broken("unreadable", f"{candidate.path.name} cannot be read ({error.strerror or error})")

    def _follow(self, candidate: Candidate, record: Record, verdict: Verdict) -> Record:
        if isinstance(verdict, Broken):
            return self._reject(candidate, record, verdict)
        if isinstance(verdict, Copy):
            record = self._take_over(record, verdict.original)
        elif isinstance(verdict, Sound):
            attempt, attempts = record.next_attempt(verdict.fingerprint)
            landed = Landed(
                name=record.name, source=record.source, fingerprint=verdict.fingerprint, attempt=attempt
            )
            record = record.changed(fingerprint=verdict.fingerprint, attempts=attempts, due=landed)
        else:
            assert isinstance(verdict, Unchanged)
        if record.rejected_in:
            clear_rejection(Path(record.rejected_in), record.source)
        return self._records.keep(record.changed(reported="", rejected_in=""))

    def _take_over(self, record: Record, original: Record) -> Record:
        """Leave a copy alone; an acquisition that was moved takes its history along."""
        if Path(original.source).exists():
            logger.info("%s is a copy of %s: not processed again", record.source, original.source)
            return record
        logger.info("%s was moved to %s: not processed again", original.source, record.source)
        self._records.forget(original)
        due = original.due and original.due.model_copy(update={"source": record.source})
        return record.changed(
            fingerprint=original.fingerprint, attempts=original.attempts, flow_run=original.flow_run, due=due
        )

    def _reject(self, candidate: Candidate, record: Record, broken: Broken) -> Record:
        if record.reported == broken.identity:
            return self._records.keep(record)
        attempt, attempts = record.next_attempt(broken.identity)
        rejection = Rejection(
            name=candidate.key.rpartition("/")[2],
            source=candidate.key,
            fingerprint=broken.identity,
            attempt=attempt,
            folder=str(self._rejection_folder(record, broken)),
            error=broken.error,
            message=broken.message,
            rejected_at=datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds"),
        )
        record = record.changed(
            attempts=attempts, reported=broken.identity, report=rejection, rejected_in=rejection.folder
        )
        if record.due is not None:
            # What was sound is gone before it was handed over; should it come back, it is a new attempt.
            record = record.changed(due=None, fingerprint="")
        self._records.keep(record)
        logger.error("rejected: %s (details in %s)", broken.message, rejection.folder)
        return record

    def _rejection_folder(self, record: Record, broken: Broken) -> Path:
        """Results folder of the rejected; a folder that belongs to another acquisition is not touched."""
        taken = any(
            other.name == record.name
            and other.source != record.source
            and (other.fingerprint or other.reported)
            for other in self._records
        )
        own = not taken and broken.error != "name"
        return self._rules.results_root / (record.name if own else folder_name(record.name, record.source))
