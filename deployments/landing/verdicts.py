"""What becomes of an acquisition that is ready."""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from deployments.landing.candidates import Candidate
from deployments.landing.file_state import Survey
from deployments.landing.fingerprints import content_fingerprint
from deployments.landing.records import Record, Records
from deployments.landing.rules import LandingRules
from spherovem_core.errors import SpheroVemError
from spherovem_core.ingest import open_stack
from spherovem_core.references import canonical_json


@dataclass(frozen=True)
class Sound:
    """It can be processed."""

    fingerprint: str


@dataclass(frozen=True)
class Unchanged:
    """Its content is that which was found sound before."""


@dataclass(frozen=True)
class Copy:
    """It is a copy of an acquisition of the same name that lies elsewhere, or lay there."""

    original: Record


@dataclass(frozen=True)
class Broken:
    """It cannot be processed.

    Attributes
    ----------
    error
        Kind of error.
    message
        What was found, what was expected, what to do.
    content
        Fingerprint of the content, empty where there is none.
    """

    error: str
    message: str
    content: str = ""

    @property
    def identity(self) -> str:
        """The same for the same content with the same problem."""
        return sha256(canonical_json([self.content, self.message]).encode()).hexdigest()


Verdict = Sound | Unchanged | Copy | Broken


def judge(
    candidate: Candidate, survey: Survey, record: Record, records: Records, rules: LandingRules
) -> Verdict:
    """Check an acquisition as far as that is cheap: the directories of its files, never its pixels.

    Raises
    ------
    ParameterError
        If the parameters of its landing folder are wrong, which is not the acquisition's fault.
    OSError
        If its files cannot be read for a reason that may pass.
    """
    parameters = rules.parameters(candidate.landing)
    try:
        candidate.acquisition(rules.results_root)
    except ValueError as error:
        return Broken("name", str(error))
    if survey.problems:
        return Broken("unreadable", f"{candidate.path.name}: {'; '.join(survey.problems)}")
    fingerprint = ""
    try:
        fingerprint = content_fingerprint(candidate.path)
        if record.fingerprint == fingerprint and not record.again:
            return Unchanged()
        owner = name_owner(candidate, records, rules.results_root)
        if owner is not None:
            return _second_of_a_name(candidate, fingerprint, owner)
        stack = open_stack(candidate.path, parameters.ingest, name_all=False)
    except SpheroVemError as error:
        return Broken(type(error).__name__, str(error), fingerprint)
    except PermissionError as error:
        name = Path(str(error.filename or candidate.path)).name
        return Broken(
            "unreadable", f"{name} cannot be read ({error.strerror}); give read permission", fingerprint
        )
    if stack.shape[0] == 1:
        # Slices that are copied into the landing folder itself would each become an acquisition.
        return Broken(
            "BadSlicesError",
            f"{candidate.path.name}: a single slice; expected a folder of slices, or a file of several, in the landing folder",
            fingerprint,
        )
    return Sound(fingerprint)


def name_owner(candidate: Candidate, records: Records, results_root: Path) -> Record | None:
    """Give the acquisition at another place whose results lie, or will lie, in the folder of this name."""
    for record in records:
        namesake = record.name == candidate.name and record.source != candidate.key
        if namesake and record.fingerprint and _is_in_use(record, results_root):
            return record
    return None


def _is_in_use(record: Record, results_root: Path) -> bool:
    return os.path.lexists(record.source) or os.path.lexists(results_root / record.name)


def _second_of_a_name(candidate: Candidate, fingerprint: str, owner: Record) -> Copy | Broken:
    if owner.fingerprint == fingerprint:
        return Copy(owner)
    gone = "" if os.path.lexists(owner.source) else ", which is no longer there but has results"
    return Broken(
        "name",
        f"the name {candidate.name} is that of {owner.source}{gone}; two acquisitions cannot share a results folder: "
        "rename this one",
        fingerprint,
    )
