"""Tables of acquisitions and of their steps, with the progress of each."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from deployments.command_line.text_tables import text_table
from spherovem_core.utils.progress_rate import readable_seconds

if TYPE_CHECKING:
    from spherovem_core.status import AcquisitionState


def acquisitions_table(states: "Sequence[AcquisitionState]") -> str:
    """List acquisitions, one per line, and count how many are in each state."""
    rows = [
        [
            state.name,
            state.state,
            f"{state.stages_complete}/{len(state.stages)}",
            state.step or "",
            format_percent(state.fraction),
            format_left(state.expected_end),
            format_minute(state.last),
            first_line(state.error),
        ]
        for state in states
    ]
    titles = ["ACQUISITION", "STATE", "STAGES", "AT STEP", "DONE", "LEFT", "LAST CHANGE", "ERROR"]
    counts = Counter(state.state for state in states)
    summary = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return f"{text_table(titles, rows, right=(2, 4, 5))}\n\n{summary}"


def steps_table(state: "AcquisitionState") -> str:
    """List the steps of one acquisition, one per line, and the error of the last run."""
    rows = [
        [
            step.stage,
            step.title,
            "running" if step.running else f"{step.state}, {step.note}" if step.note else step.state,
            format_percent(step.fraction),
            "" if step.seconds is None else readable_seconds(step.seconds),
            format_minute(step.finished),
        ]
        for step in state.steps
    ]
    table = text_table(["STAGE", "STEP", "STATE", "DONE", "TIME", "FINISHED"], rows, right=(3, 4))
    place = f" in {state.step}" if state.step and state.state == "failed" else ""
    error = f"\n\nerror{place}: {state.error}" if state.error else ""
    left = f", {format_left(state.expected_end)} left" if state.expected_end else ""
    return f"{state.name}: {state.state}, {state.stages_complete} of {len(state.stages)} stages{left}\n\n{table}{error}"


def format_percent(fraction: float | None) -> str:
    """Format a fraction, rounded down: only complete work has 100 %."""
    return "" if fraction is None else f"{min(99, int(100 * fraction))} %"


def format_left(end: str | None) -> str:
    """Format the time until an expected end; 0 where it has passed."""
    if end is None:
        return ""
    left = datetime.fromisoformat(end) - datetime.now().astimezone()
    return readable_seconds(max(left.total_seconds(), 0.0))


def format_minute(text: str | None) -> str:
    """Format a time in ISO 8601 to the minute, in the local zone."""
    return "" if text is None else datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")


def first_line(text: str | None) -> str:
    """Return the first line of a message, which says most."""
    return (text or "").partition("\n")[0]
