"""What the server is told, and what may come of it."""

from pathlib import Path
from typing import Protocol

from deployments.landing.records import Landed, Rejection
from spherovem_core.errors import SpheroVemError


class ServerUnavailableError(SpheroVemError, ConnectionError):
    """The Prefect server does not answer; the next look tries again."""


class NoDeploymentError(SpheroVemError, LookupError):
    """The server has no such deployment; the next look tries again."""


class HandOverError(SpheroVemError, RuntimeError):
    """The server answers but does not take what it is given; the next look tries again."""


class Announcer(Protocol):
    """Tells the server."""

    def landed(self, landed: Landed, landing: Path) -> str:
        """Start a run for an acquisition, once however often it is called; gives the number of the run."""

    def rejected(self, rejection: Rejection) -> bool:
        """Report an acquisition, once however often it is called; whether the server has it for good."""
