"""Decisions about one acquisition: is it ready, is it valid, and what follows; each step updates its record."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from deployments.landing.candidates import Candidate, printable_path, unique_folder_name
from deployments.landing.file_state import CandidateState, read_file_state
from deployments.landing.records import LandedAcquisition, Record, Records, Rejection
from deployments.landing.rejections import clear_rejection
from deployments.landing.rules import LandingRules
from deployments.landing.verdicts import Copy, Invalid, Valid, Verdict, check_acquisition, is_there
from spherovem_core.errors import RemoteAccessError, RemoteSourceError, SpheroVemError

logger = logging.getLogger(__name__)

MESSAGE_CHARACTERS = 300


class Decider:
    """Decisions by the rules of one watcher.

    Parameters
    ----------
    rules
        Rules of the watcher.
    records
        Records of the acquisitions; a step is recorded when it is done, so a kill repeats at most one step.
    clock
        Returns seconds since 1970, which are compared with those of earlier processes.
    """

    def __init__(self, rules: LandingRules, records: Records, clock: Callable[[], float]) -> None:
        self._rules = rules
        self._records = records
        self._clock = clock

    def observe(self, candidate: Candidate, state: CandidateState) -> Record:
        """Record the state of the files, and the time since when it is so."""
        record = self._records.find(candidate.key) or Record(source=candidate.key, name=candidate.name)
        now = self._clock()
        if record.signature != state.signature:
            record = record.changed(signature=state.signature, since=now, troubled_since=None)
        elif record.since > now:
            record = record.changed(since=now)  # the clock was set back
        return self._records.keep(record)

    def ready_at(self, record: Record, state: CandidateState) -> float | None:
        """Return the time at which an unchanged acquisition is ready; None if it needs a change first."""
        marked = state.sentinel is not None and state.sentinel != record.spent_sentinel
        if state.is_empty and not marked:
            return None
        seconds = self._rules.settling_seconds(marked=marked or record.again)
        return None if seconds is None else record.since + seconds

    def decide(self, candidate: Candidate, state: CandidateState, record: Record) -> Record:
        """Check an acquisition that is ready, and record the outcome.

        Raises
        ------
        ParameterError
            If the parameters of its landing folder are wrong.
        OSError
            If its files cannot be read, until that has lasted for `settle_seconds`.

        Any other error is one that this source causes in a reader: it is rejected.
        """
        try:
            verdict = check_acquisition(candidate, state, record, self._records, self._rules)
        except FileNotFoundError:
            return record  # removed during the check: the next scan sees it
        except OSError as error:
            verdict = self._reject_unreadable(candidate, record, error)
        except (SpheroVemError, RemoteAccessError, RemoteSourceError):
            raise
        except Exception as error:
            verdict = _unexpected(candidate, error)
        if read_file_state(candidate, self._rules.sentinel).signature != state.signature:
            return record  # changed during the check: the next scan sees it
        record = record.changed(
            judged=state.signature, spent_sentinel=state.sentinel, troubled_since=None, again=False
        )
        return self._apply(candidate, record, verdict)

    def _reject_unreadable(self, candidate: Candidate, record: Record, error: OSError) -> Invalid:
        """Reject files that were unreadable for `settle_seconds`; before that, raise the error again."""
        now = self._clock()
        since = now if record.troubled_since is None else record.troubled_since
        if now < since + self._rules.settle_seconds:
            self._records.keep(record.changed(troubled_since=since))
            raise error
        return Invalid("unreadable", f"{candidate.path.name} cannot be read ({error.strerror or error})")

    def _apply(self, candidate: Candidate, record: Record, verdict: Verdict) -> Record:
        if isinstance(verdict, Invalid):
            return self._reject(candidate, record, verdict)
        if isinstance(verdict, Copy):
            record = self._take_over(record, verdict.original)
        elif isinstance(verdict, Valid):
            attempt, attempts = record.next_attempt(verdict.fingerprint)
            landed = LandedAcquisition(
                name=record.name, source=record.source, fingerprint=verdict.fingerprint, attempt=attempt
            )
            record = record.changed(fingerprint=verdict.fingerprint, attempts=attempts, due=landed)
        if record.rejected_in:
            clear_rejection(Path(record.rejected_in), record.source)
        return self._records.keep(record.changed(reported="", rejected_in=""))

    def _take_over(self, record: Record, original: Record) -> Record:
        """Ignore a copy; give a moved acquisition the history of its old place."""
        if is_there(original.source):
            logger.info("%s is a copy of %s: not processed again", record.source, original.source)
            return record
        logger.info("%s was moved to %s: not processed again", original.source, record.source)
        self._records.forget(original)
        due = original.due and original.due.model_copy(update={"source": record.source})
        return record.changed(
            fingerprint=original.fingerprint,
            attempts=original.attempts,
            flow_run=original.flow_run,
            handed_over=original.handed_over,
            due=due,
        )

    def _reject(self, candidate: Candidate, record: Record, verdict: Invalid) -> Record:
        if record.reported == verdict.identity:
            return self._records.keep(record)
        attempt, attempts = record.next_attempt(verdict.identity)
        rejection = Rejection(
            name=candidate.key.rpartition("/")[2],
            source=candidate.key,
            fingerprint=verdict.identity,
            attempt=attempt,
            folder=str(self._rejection_folder(record, verdict)),
            error=verdict.error,
            message=verdict.message,
            rejected_at=datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds"),
        )
        record = record.changed(
            attempts=attempts, reported=verdict.identity, report=rejection, rejected_in=rejection.folder
        )
        if record.due is not None:
            # The valid content went before its run was started; if it comes back, it is a new attempt.
            record = record.changed(due=None, fingerprint="")
        self._records.keep(record)
        logger.error("rejected: %s (details in %s)", verdict.message, rejection.folder)
        return record

    def _rejection_folder(self, record: Record, verdict: Invalid) -> Path:
        """Return the results folder for ``REJECTED.json``; another acquisition's folder is not touched."""
        taken = any(
            other.name == record.name
            and other.source != record.source
            and (other.fingerprint or other.reported)
            for other in self._records
        )
        own = not taken and verdict.error != "name"
        name = record.name if own else unique_folder_name(record.name, record.source)
        return self._rules.results_root / name


def _unexpected(candidate: Candidate, error: Exception) -> Invalid:
    """Reject a source that ends its check in an error nobody foresaw, of whatever kind."""
    name = printable_path(Path(candidate.path.name))
    logger.warning("%s: its check ended in an unexpected error", name, exc_info=error)
    text = f"{type(error).__name__}: {error!s:.{MESSAGE_CHARACTERS}}"
    return Invalid(
        "unexpected",
        f"{name}: reading it ended in an unexpected error ({text}); a file in it is most likely damaged. Copy it "
        "again or repair it; if it opens in other programs, report this, and after an update: spherovem watch --retry",
    )
