"""Tables of acquisitions and of their stages, with how far each one is."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from deployments.command_line.text_tables import text_table
from spherovem_core.utils.pace import readable_seconds

if TYPE_CHECKING:
    from spherovem_core.store.states import AcquisitionState


def acquisitions_table(states: "Sequence[AcquisitionState]") -> str:
    """List acquisitions, one per line, and count how many are in each state."""
    rows = [
        [
            state.name,
            state.state,
            f"{state.stages_complete}/{len(state.stages)}",
            state.stage or "",
            percent(state.share),
            to_the_minute(state.last),
            first_line(state.error),
        ]
        for state in states
    ]
    titles = ["ACQUISITION", "STATE", "STAGES", "AT STAGE", "DONE", "LAST CHANGE", "ERROR"]
    counts = Counter(state.state for state in states)
    summary = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return f"{text_table(titles, rows, right=(2, 4))}\n\n{summary}"


def stages_table(state: "AcquisitionState") -> str:
    """List the stages of one acquisition, one per line, and the error of the last run."""
    rows = [
        [
            stage.title,
            "running" if stage.running else stage.state,
            percent(stage.share),
            "" if stage.seconds is None else readable_seconds(stage.seconds),
            to_the_minute(stage.finished),
        ]
        for stage in state.stages
    ]
    table = text_table(["STAGE", "STATE", "DONE", "TIME", "FINISHED"], rows, right=(2, 3))
    error = f"\n\nerror in {state.stage}: {state.error}" if state.error else ""
    return f"{state.name}: {state.state}\n\n{table}{error}"


def percent(fraction: float | None) -> str:
    """Format a fraction, rounded down: 100 % is for what is complete."""
    return "" if fraction is None else f"{min(99, int(100 * fraction))} %"


def to_the_minute(text: str | None) -> str:
    """Format a time in ISO 8601 to the minute, in the local zone."""
    return "" if text is None else datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")


def first_line(text: str | None) -> str:
    """Return the first line of a message, which says most."""
    return (text or "").partition("\n")[0]
