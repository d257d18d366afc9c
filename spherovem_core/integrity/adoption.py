"""An adoption as markers and histories hold it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spherovem_core.integrity.targets import Target
from spherovem_core.store import history_entry
from spherovem_core.store.adoptions import ADOPTION_STEP


@dataclass(frozen=True)
class Adoption:
    """Adoption of a change, as histories hold it.

    Attributes
    ----------
    before, after
        Content digests of the result as it was computed and as it is.
    """

    path: str
    author: str
    reason: str
    before: str
    after: str
    time: str

    @property
    def marker(self) -> dict[str, str]:
        """The adoption as the marker of the result holds it."""
        return {
            "content": self.after,
            "before": self.before,
            "author": self.author,
            "reason": self.reason,
            "time": self.time,
        }


class Adopting:
    """Author and reason of an adoption that is being made, and the entries that it leaves."""

    def __init__(self, target: Target, author: str, reason: str) -> None:
        self.target = target
        self._author = author
        self._reason = reason
        self._time = time.strftime("%Y-%m-%dT%H:%M:%S%z")

    def adoption(self, before: str, after: str) -> Adoption:
        """Describe the adoption."""
        return Adoption(self.target.path, self._author, self._reason, before, after, self._time)

    def entry(self, adoption: Adoption, own_digest: str) -> Mapping[str, Any]:
        """Make the history entry."""
        step = self.target.step
        parameters = {
            "path": adoption.path,
            "author": adoption.author,
            "reason": adoption.reason,
            "content_before": adoption.before,
            "content_after": adoption.after,
        }
        entry = history_entry(step.stage, ADOPTION_STEP, 1, parameters, {}, [own_digest], "", 0.0, 0)
        return {**entry, "finished": adoption.time}
