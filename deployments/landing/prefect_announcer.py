"""Announcer on a Prefect server: runs of a deployment, and events."""

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
from deployments.landing.overview_artifact import OverviewArtifact
from deployments.landing.records import LandedAcquisition, Rejection
from deployments.landing.rules import LandingRules
from spherovem_core.errors import ParameterError

LANDED = "spherovem.acquisition.landed"
REJECTED = "spherovem.acquisition.rejected"
EVENT_IDS = uuid5(NAMESPACE_URL, "https://spherovem/events")


class PrefectAnnouncer:
    """Announcer on the server that ``PREFECT_API_URL`` names.

    A run has an idempotency key, and an event has an id that is a digest of its content. Repeating a call after a crash of
    either side therefore changes nothing.

    Raises
    ------
    ParameterError
        If ``PREFECT_API_URL`` is not set. A server started by this process would end with it, and no worker asks it.
    """

    def __init__(self, rules: LandingRules) -> None:
        if not PREFECT_API_URL.value():
            raise ParameterError(
                "no Prefect server: set PREFECT_API_URL to the server of the workers, such as "
                "http://127.0.0.1:4200/api (prefect config set, or in the environment)"
            )
        self._rules = rules
        self._closing = ExitStack()
        # A new client costs 0.1 s and more.
        self._client: SyncPrefectClient = self._closing.enter_context(get_client(sync_client=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._closing.close()

    def page(self) -> OverviewArtifact:
        """Return the artifact that shows what has landed."""
        return OverviewArtifact(self._client, self._rules)

    def start_run(self, acquisition: LandedAcquisition, landing: Path) -> str:
        """Start a run and emit ``spherovem.acquisition.landed``; return the flow run's id."""
        parameters = self._rules.flow_parameters(acquisition.name, acquisition.source, landing)
        with _translated_errors(self._rules.deployment):
            # Not a subflow: called from within scan-landing, the run must not depend on that one.
            run: Any = run_deployment(
                self._rules.deployment,
                parameters=parameters,
                flow_run_name=acquisition.name,
                idempotency_key=acquisition.key,
                tags=["landed"],
                timeout=0,
                as_subflow=False,
            )
            payload = acquisition.model_dump() | {
                "results_root": str(self._rules.results_root),
                "idempotency_key": acquisition.key,
                "flow_run": str(run.id),
                "flow_parameters": parameters,
            }
            _emit(self._client, LANDED, acquisition.name, acquisition.key, payload)
        return str(run.id)

    def report_rejection(self, rejection: Rejection) -> bool:
        """Emit ``spherovem.acquisition.rejected`` unless the server has stored it; return whether it had.

        The server keeps events in memory for some seconds before it stores them. Only an event that can be read back
        survives a kill of the server.
        """
        with _translated_errors(self._rules.deployment):
            if _is_stored(self._client, _event_id(REJECTED, rejection.key)):
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


def _is_stored(client: SyncPrefectClient, event_id: UUID) -> bool:
    now = datetime.now(UTC)
    # The clocks of the two machines may differ.
    when = EventOccurredFilter(since=now - timedelta(days=30), until=now + timedelta(days=1))  # type: ignore[arg-type]
    page = client.read_events(EventFilter(id=EventIDFilter(id=[event_id]), occurred=when), limit=1)
    return page.total > 0


def _event_id(event: str, key: str) -> UUID:
    return uuid5(EVENT_IDS, f"{event}:{key}")


@contextmanager
def _translated_errors(deployment: str) -> Iterator[None]:
    """Turn errors of the client into errors that name the remedy."""
    try:
        yield
    except ObjectNotFound as error:
        raise NoDeploymentError(
            f"the server {PREFECT_API_URL.value()} has no deployment {deployment}: run spherovem setup, "
            "or set SPHEROVEM_DEPLOYMENT"
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
