"""Interface to the server: start a run, report a rejection, and the errors of both."""

from pathlib import Path
from typing import Protocol

from deployments.landing.records import LandedAcquisition, Rejection
from spherovem_core.errors import SpheroVemError


class ServerUnavailableError(SpheroVemError, ConnectionError):
    """No answer from the Prefect server; the next scan tries again."""


class NoDeploymentError(SpheroVemError, LookupError):
    """No such deployment on the server; the next scan tries again."""


class HandOverError(SpheroVemError, RuntimeError):
    """A request that the server refuses; the next scan tries again."""


class Announcer(Protocol):
    """A server that starts runs and keeps reports of rejections."""

    def start_run(self, acquisition: LandedAcquisition, landing: Path) -> str:
        """Start one run per acquisition and attempt, however often it is called; return the flow run's id."""

    def report_rejection(self, rejection: Rejection) -> bool:
        """Report a rejection once, however often it is called; return whether the server has stored it."""
