"""States of runs on the configured Prefect server, asked without importing Prefect, which takes seconds."""

import json
import os
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from deployments.server.authorization import authorize

TIMEOUT_S = 3.0


@dataclass(frozen=True)
class RunState:
    """State of a run.

    Attributes
    ----------
    type, name, message
        As Prefect has them, such as SCHEDULED, AwaitingRetry.
    pool
        Work pool whose workers take it; empty if there is none.
    pool_is_paused
        True if its workers take nothing.
    """

    type: str
    name: str
    message: str
    pool: str
    pool_is_paused: bool


class ServerStates:
    """The server that ``PREFECT_API_URL`` names; asked no more after its first silence."""

    def __init__(self) -> None:
        self._url = os.environ.get("PREFECT_API_URL", "").rstrip("/")
        self._pools: dict[str, bool] = {}

    def find(self, run: str) -> RunState | None:
        """Return the state of a run; None if no server is configured, it does not answer, or does not know the run."""
        found = self._get(f"flow_runs/{quote(run)}")
        state = (found or {}).get("state")
        if found is None or not state:
            return None
        pool = found.get("work_pool_name") or ""
        return RunState(
            str(state["type"]),
            str(state["name"]),
            state.get("message") or "",
            pool,
            bool(pool) and self._is_paused(pool),
        )

    def _is_paused(self, pool: str) -> bool:
        if pool not in self._pools:
            self._pools[pool] = bool((self._get(f"work_pools/{quote(pool)}") or {}).get("is_paused"))
        return self._pools[pool]

    def _get(self, path: str) -> dict[str, Any] | None:
        if not self._url:
            return None
        known = os.environ.get("PREFECT_API_AUTH_STRING")
        try:
            request = Request(f"{self._url}/{path}")
            if known:
                authorize(request, known)
            with urlopen(request, timeout=TIMEOUT_S) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except HTTPError:  # an answer, such as that it does not know the run
            return None
        except (HTTPException, OSError, ValueError):
            self._url = ""
            return None
