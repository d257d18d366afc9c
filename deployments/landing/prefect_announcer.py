"""Telling a Prefect server: runs of a deployment, and events."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.deployments import run_deployment
from prefect.events.filters import EventFilter, EventIDFilter, EventOccurredFilter
from prefect.events.schemas.events import Event
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL

from deployments.landing.announcements import HandOverError, NoDeploymentError, ServerUnavailableError
from deployments.landing.records import Landed, Rejection
from deployments.landing.rules import LandingRules
from spherovem_core.errors import ParameterError

LANDED = "spherovem.acquisition.landed"
REJECTED = "spherovem.acquisition.rejected"
EVENT_IDS = uuid5(NAMESPACE_URL, "https://spherovem/events")


class PrefectAnnouncer:
    """Tells the server that ``PREFECT_API_URL`` names.

    A run is made under an idempotency key and an event under a number that follows from its content, so that telling
    the same thing again, after a crash on either side, changes nothing.

    Raises
    ------
    ParameterError
        If there is no server to tell: one that this process starts itself would end with it, and no worker asks it.
    """

    def __init__(self, rules: LandingRules) -> None:
        if not PREFECT_API_URL.value():
            raise ParameterError(
                "no Prefect server: set PREFECT_API_URL to the one that the workers ask, such as "
                "http://127.0.0.1:4200/api (prefect config set, or in the environment)"
            )
        self._rules = rules
        self._closing = ExitStack()
        # Making a client costs a tenth of a second and more.
        self._client: SyncPrefectClient = self._closing.enter_context(get_client(sync_client=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._closing.close()

    def landed(self, landed: Landed, landing: Path) -> str:
        """Start a run and emit ``spherovem.acquisition.landed``; gives the number of the run."""
        parameters = self._rules.flow_parameters(landed.name, landed.source, landing)
        with _explaining(self._rules.deployment):
            # Outside any flow the run stands for itself; from within scan-landing it must not hang on that run either.
            run: Any = run_deployment(
                self._rules.deployment,
                parameters=parameters,
                flow_run_name=landed.name,
                idempotency_key=landed.key,
                tags=["landed"],
                timeout=0,
                as_subflow=False,
            )
            payload = landed.model_dump() | {
                "results_root": str(self._rules.results_root),
                "idempotency_key": landed.key,
                "flow_run": str(run.id),
                "flow_parameters": parameters,
            }
            _emit(self._client, LANDED, landed.name, landed.key, payload)
        return str(run.id)

    def rejected(self, rejection: Rejection) -> bool:
        """Emit ``spherovem.acquisition.rejected`` unless the server has it; whether it had.

        The server keeps events in memory for some seconds before it writes them. Only an event that can be read back
        outlives the server.
        """
        with _explaining(self._rules.deployment):
            if _has(self._client, _event_id(REJECTED, rejection.key)):
                return True
            _emit(self._client, REJECTED, rejection.name, rejection.key, rejection.model_dump())
            return False


def _emit(client: SyncPrefectClient, event: str, name: str, key: str, payload: dict[str, Any]) -> None:
    document = Event(
        id=_event_id(event, key),
        event=event,
        occurred=datetime.now(UTC),  # type: ignore[arg-type]
        resource={
            "prefect.resource.id": f"spherovem.acquisition.{quote(name)}",
            "prefect.resource.name": name,
            "prefect.resource.role": "acquisition",
        },
        payload=payload,
    )
    client.request("POST", "/events", json=[document.model_dump(mode="json")])


def _has(client: SyncPrefectClient, number: UUID) -> bool:
    now = datetime.now(UTC)
    # The clocks of the two machines may differ.
    when = EventOccurredFilter(since=now - timedelta(days=30), until=now + timedelta(days=1))  # type: ignore[arg-type]
    page = client.read_events(EventFilter(id=EventIDFilter(id=[number]), occurred=when), limit=1)
    return page.total > 0


def _event_id(event: str, key: str) -> UUID:
    return uuid5(EVENT_IDS, f"{event}:{key}")


@contextmanager
def _explaining(deployment: str) -> Iterator[None]:
    """Turn what a client raises into what an operator can act on."""
    try:
        yield
    except ObjectNotFound as error:
        raise NoDeploymentError(
            f"the server {PREFECT_API_URL.value()} has no deployment {deployment}: run spherovem setup and "
            "prefect deploy --all, or set SPHEROVEM_DEPLOYMENT"
        ) from error
    except PrefectHTTPStatusError as error:
        code = error.response.status_code
        if code >= 500 or code == 429:
            raise ServerUnavailableError(f"the Prefect server answers {code}") from error
        raise HandOverError(f"the server refuses ({code}): {error.response.text[:500]}") from error
    except (httpx.HTTPError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise ServerUnavailableError(
            f"the Prefect server {PREFECT_API_URL.value()} does not answer ({reason})"
        ) from error
