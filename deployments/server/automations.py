"""Automations of the Prefect server for runs without heartbeat, failed runs and rejected acquisitions."""

from datetime import timedelta
from uuid import UUID

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

TAG = "spherovem"
"""Tag of all deployments in prefect.yaml; their runs inherit it."""

HEARTBEAT_TIMEOUT_S = 90.0

# The server knows automations by name: another name here would leave the old one at work beside the new one.
SILENT_RUNS = "spherovem: end runs that have fallen silent"
FAILED_RUNS = "spherovem: tell of failed runs"
REJECTED_ACQUISITIONS = "spherovem: tell of rejected acquisitions"

ENDED = ("Completed", "Failed", "Crashed", "Cancelled", "TimedOut", "Paused", "Suspended", "AwaitingRetry")

RUNS = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})
TAGGED = ResourceSpecification({"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"})

_SUBJECT = "spherovem: {{ flow_run.name }} is {{ flow_run.state.name }}"
_BODY = "{{ flow_run.name }}: {{ flow_run.state.name }}\n{{ flow_run.state.message }}\n{{ flow_run | ui_url or '' }}"
_REJECTED_SUBJECT = "spherovem: {{ event.payload.name }} was rejected"
_REJECTED_BODY = "{{ event.payload.source }}:\n{{ event.payload.message }}"


def end_silent_runs(timeout_s: float = HEARTBEAT_TIMEOUT_S) -> AutomationCore:
    """Mark a run as crashed when its process and its worker died together.

    Parameters
    ----------
    timeout_s
        Seconds without a heartbeat after which a run counts as dead. Deployed runs send one every 30 s; the server checks
        every few seconds.
    """
    return AutomationCore(
        name=SILENT_RUNS,
        description=(
            "A run whose process died together with its worker stays Running, since nothing is left that reports it. "
            f"This automation marks it as Crashed after {timeout_s:g} s without a heartbeat. The watcher restarts it, and it "
            "continues where it stopped."
        ),
        trigger=_on_absence(
            after="prefect.flow-run.heartbeat",
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{state}" for state in ENDED)},
            within_s=timeout_s,
        ),
        actions=[
            _crash(
                f"No heartbeat for {timeout_s:g} s: the process and its worker have died or lost the connection to the server."
            )
        ],
    )


def notify_of_failed_runs(block_document_id: UUID) -> AutomationCore:
    """Send a message for every deployed run that fails, crashes or times out."""
    return AutomationCore(
        name=FAILED_RUNS,
        description="Send a message for every run that ends as Failed, Crashed or TimedOut.",
        trigger=_on_each(
            {"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"}
        ),
        actions=[_message(block_document_id, _SUBJECT, _BODY)],
    )


def notify_of_rejected_acquisitions(block_document_id: UUID) -> AutomationCore:
    """Send a message for every acquisition that the watcher rejects."""
    return AutomationCore(
        name=REJECTED_ACQUISITIONS,
        description="Send a message for every acquisition that the watcher rejects.",
        trigger=EventTrigger(
            expect={"spherovem.acquisition.rejected"},
            match=ResourceSpecification({"prefect.resource.id": "spherovem.acquisition.*"}),
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[_message(block_document_id, _REJECTED_SUBJECT, _REJECTED_BODY)],
    )


def _on_each(events: set[str]) -> EventTrigger:
    """Trigger on each of these events of a tagged run."""
    return EventTrigger(
        expect=events,
        match=RUNS,
        match_related=TAGGED,
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )


def _message(block_document_id: UUID, subject: str, body: str) -> ActionTypes:
    return SendNotification(block_document_id=block_document_id, subject=subject, body=body)


def _on_absence(after: str, expect: set[str], within_s: float) -> EventTrigger:
    """Trigger on each tagged run that had the event `after` and then none of `expect` within the time."""
    return EventTrigger(
        after={after},
        expect=expect,
        match=RUNS,
        match_related=TAGGED,
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=within_s),
    )


def _crash(message: str) -> ChangeFlowRunState:
    return ChangeFlowRunState(state=StateType.CRASHED, message=message)
