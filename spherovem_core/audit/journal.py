"""The journal of audits of one kind of object: one JSON line per judged sample, with author and time; lines are only added."""

import fcntl
import getpass
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spherovem_core.audit.sample import AuditSample
from spherovem_core.audit.verdicts import Judged
from spherovem_core.errors import AuditError
from spherovem_core.references import canonical_json
from spherovem_core.store.files import write_text


@dataclass(frozen=True)
class AuditEntry:
    """A judged sample.

    Attributes
    ----------
    author, time
        Who judged it, and when it was read, ISO 8601 in UTC.
    sample
        The sample.
    judged
        A verdict on each of its items.
    """

    author: str
    time: str
    sample: AuditSample
    judged: tuple[Judged, ...]


class AuditJournal:
    """A journal on disk; each line holds the digest of the line before.

    It is not the journal of corrections (`spherovem_core.corrections`): verdicts of an audit must not change the labels that they
    are about, else the sample would no more stand for the rest.

    Parameters
    ----------
    path
        ``RESULTS/NAME/audits/<kind>.jsonl``; absent while nothing was audited.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> tuple[AuditEntry, ...]:
        """Read all entries.

        Raises
        ------
        AuditError
            For the first line that is damaged or does not follow the one before.
        """
        previous, found = "", []
        for number, line in enumerate(self._lines(), start=1):
            try:
                values = json.loads(line)
                follows = values["previous"]
                entry = _entry(values, f"{self.path}, line {number}")
            except (ValueError, KeyError, TypeError) as error:
                if isinstance(error, AuditError):
                    raise
                raise AuditError(
                    f"{self.path}: line {number} is damaged ({error}); restore the file from a copy"
                ) from error
            if follows != previous:
                raise AuditError(
                    f"{self.path}: line {number} does not follow the line before: a line was changed or removed; "
                    "restore the file from a copy"
                )
            previous = _digest(line)
            found.append(entry)
        return tuple(found)

    def append(self, sample: AuditSample, judged: Sequence[Judged], author: str = "") -> AuditEntry:
        """Add a judged sample; the same verdicts by the same author again add nothing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f".{self.path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self.entries()
            entry = AuditEntry(
                author or _user(), datetime.now(UTC).isoformat(timespec="seconds"), sample, tuple(judged)
            )
            if known and (known[-1].author, known[-1].sample, known[-1].judged) == (
                entry.author,
                sample,
                entry.judged,
            ):
                return known[-1]
            lines = self._lines()
            values: dict[str, Any] = {
                "author": entry.author,
                "time": entry.time,
                "sample": sample.document(),
                "verdicts": [asdict(each) for each in judged],
                "previous": _digest(lines[-1]) if lines else "",
            }
            write_text(self.path, "".join(f"{line}\n" for line in [*lines, canonical_json(values)]))
            return entry

    def _lines(self) -> list[str]:
        try:
            return self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except UnicodeDecodeError as error:
            raise AuditError(f"{self.path} is not a text file; restore it from a copy") from error


def _entry(values: dict[str, Any], name: str) -> AuditEntry:
    judged = tuple(
        Judged(**{**each, "diameters_um": tuple(each["diameters_um"])}) for each in values["verdicts"]
    )
    return AuditEntry(
        str(values["author"]), str(values["time"]), AuditSample.parse(values["sample"], name), judged
    )


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()[:16]


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
