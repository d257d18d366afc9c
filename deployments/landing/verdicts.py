"""Check of an acquisition that is ready, and its verdicts."""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from deployments.landing.candidates import Candidate
from deployments.landing.file_state import CandidateState
from deployments.landing.fingerprints import content_fingerprint
from deployments.landing.records import Record, Records
from deployments.landing.rules import LandingRules
from spherovem_core.errors import SpheroVemError
from spherovem_core.ingest import locations, open_stack
from spherovem_core.references import canonical_json
from spherovem_core.urls import is_remote


@dataclass(frozen=True)
class Valid:
    """Verdict: it can be processed."""

    fingerprint: str


@dataclass(frozen=True)
class Unchanged:
    """Verdict: its content is the one that was found valid before."""


@dataclass(frozen=True)
class Copy:
    """Verdict: it has the name and the content of an acquisition that is, or was, at another place."""

    original: Record


@dataclass(frozen=True)
class Invalid:
    """Verdict: it cannot be processed.

    Attributes
    ----------
    error
        Kind of error.
    message
        Message with the finding, the expectation and the remedy.
    content
        Fingerprint of the content; empty if there is none.
    """

    error: str
    message: str
    content: str = ""

    @property
    def identity(self) -> str:
        """Digest of content and problem: the same problem with the same content is reported once."""
        return sha256(canonical_json([self.content, self.message]).encode()).hexdigest()


Verdict = Valid | Unchanged | Copy | Invalid


def check_acquisition(
    candidate: Candidate, state: CandidateState, record: Record, records: Records, rules: LandingRules
) -> Verdict:
    """Check an acquisition without reading pixels: names, headers of files, spacing.

    Raises
    ------
    ParameterError
        If the parameters of its landing folder are wrong, which is not the acquisition's fault.
    OSError
        If its files cannot be read for a reason that may pass.
    """
    parameters = rules.parameters(candidate.landing)
    try:
        candidate.to_acquisition(rules.results_root)
    except ValueError as error:
        return Invalid("name", str(error))
    if state.problems:
        return Invalid("unreadable", f"{candidate.path.name}: {'; '.join(state.problems)}")
    fingerprint = ""
    try:
        fingerprint = content_fingerprint(candidate.path)
        if record.fingerprint == fingerprint and not record.again:
            return Unchanged()
        owner = find_name_owner(candidate, records, rules.results_root)
        if owner is not None:
            return _compare_with_owner(candidate, fingerprint, owner)
        stack = open_stack(candidate.path, parameters.ingest, name_all=False)
    except SpheroVemError as error:
        return Invalid(type(error).__name__, str(error), fingerprint)
    except PermissionError as error:
        name = Path(str(error.filename or candidate.path)).name
        return Invalid(
            "unreadable",
            f"{name} cannot be read ({error.strerror or error}); give read permission",
            fingerprint,
        )
    if stack.shape[0] == 1:
        # Slices copied into the landing folder itself would each become an acquisition.
        return Invalid(
            "BadSlicesError",
            f"{candidate.path.name}: a single slice; expected a folder of slices, or a file of several, in the landing folder",
            fingerprint,
        )
    return Valid(fingerprint)


def find_name_owner(candidate: Candidate, records: Records, results_root: Path) -> Record | None:
    """Return the record of the acquisition at another place that uses the results folder of this name."""
    for record in records:
        namesake = record.name == candidate.name and record.source != candidate.key
        if namesake and record.fingerprint and _is_in_use(record, results_root):
            return record
    return None


def _is_in_use(record: Record, results_root: Path) -> bool:
    return is_there(record.source) or os.path.lexists(results_root / record.name)


def is_there(source: str) -> bool:
    """Return whether a source is still at its place, on disk or in a bucket."""
    path = Path(source)
    return locations.exists(path) if is_remote(path) else os.path.lexists(source)


def _compare_with_owner(candidate: Candidate, fingerprint: str, owner: Record) -> Copy | Invalid:
    if owner.fingerprint == fingerprint:
        return Copy(owner)
    gone = "" if is_there(owner.source) else ", which is no longer there but has results"
    return Invalid(
        "name",
        f"{owner.source} has the name {candidate.name} already{gone}; two acquisitions cannot share a results folder: "
        "rename this one",
        fingerprint,
    )
