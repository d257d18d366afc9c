"""``spherovem status``: which acquisitions there are and how far each one is."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from deployments.command_line.arguments import BadArgumentsError, Command
from deployments.command_line.text_tables import text_table
from spherovem_core.utils.progress_rate import readable_seconds

if TYPE_CHECKING:
    from spherovem_core.store.states import AcquisitionState


class Status(Command):
    """Show how far each acquisition is.

    A state is complete, running, partial (begun, but no run goes on with it now), failed (with the last run's error),
    rejected (by the watcher) or absent (nothing computed yet).
    """

    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem status /data/results", "all acquisitions below a results root"),
        ("spherovem status /data/results/spheroid_07", "one acquisition, stage by stage"),
        ("spherovem status --json | jq '.acquisitions[] | select(.state == \"failed\")'", "for scripts"),
    )

    results_root: CliPositionalArg[Path | None] = Field(
        default=None,
        description="Results root, or the results folder of one acquisition.",
    )
    json_: CliToggleFlag[bool] = Field(
        default=False, alias="json", description="Print JSON, with every stage of every acquisition."
    )

    def cli_cmd(self) -> None:
        """Print the states."""
        from spherovem_core.store.states import acquisition_state, acquisition_states, is_results_folder

        root = chosen_root(self.results_root)
        one = is_results_folder(root)
        states = [acquisition_state(root.absolute())] if one else list(acquisition_states(root.absolute()))
        if self.json_:
            print(json.dumps({"acquisitions": [state.document() for state in states]}, indent=2))
        elif one:
            print(stage_table(states[0]))
        elif states:
            print(overview(states))
        else:
            print(f"no acquisitions in {root}")


def chosen_root(given: Path | None) -> Path:
    """Folder that was named, else the results root of the settings.

    Raises
    ------
    BadArgumentsError
        If neither is there.
    """
    from deployments.command_line.arguments import reading_arguments
    from deployments.command_line.process import read_settings

    with reading_arguments():
        root = given or read_settings().results_root
    if root is None:
        raise BadArgumentsError("no results root: name one, or set SPHEROVEM_RESULTS_ROOT")
    if not root.is_dir():
        raise BadArgumentsError(
            f"{root} is no folder; name a results root or an acquisition's results folder"
        )
    return root


def overview(states: "Sequence[AcquisitionState]") -> str:
    """One line an acquisition, and how many are in which state."""
    rows = [
        [
            state.name,
            state.state,
            f"{state.stages_complete}/{len(state.stages)}",
            state.stage or "",
            percent(state.share),
            moment(state.last),
            first_line(state.error),
        ]
        for state in states
    ]
    titles = ["ACQUISITION", "STATE", "STAGES", "AT STAGE", "DONE", "LAST CHANGE", "ERROR"]
    counts: dict[str, int] = {}
    for state in states:
        counts[state.state] = counts.get(state.state, 0) + 1
    summary = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return f"{text_table(titles, rows, right=(2, 4))}\n\n{summary}"


def stage_table(state: "AcquisitionState") -> str:
    """One line a stage of one acquisition."""
    rows = [
        [
            stage.title,
            "running" if stage.running else stage.state,
            percent(stage.share),
            "" if stage.seconds is None else readable_seconds(stage.seconds),
            moment(stage.finished),
        ]
        for stage in state.stages
    ]
    table = text_table(["STAGE", "STATE", "DONE", "TIME", "FINISHED"], rows, right=(2, 3))
    error = f"\n\nerror in {state.stage}: {state.error}" if state.error else ""
    return f"{state.name}: {state.state}\n\n{table}{error}"


def percent(share: float | None) -> str:
    """A share rounded down: 100 % is for what is complete."""
    return "" if share is None else f"{min(99, int(100 * share))} %"


def moment(text: str | None) -> str:
    """A time to the minute, in the local zone."""
    return "" if text is None else datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")


def first_line(text: str | None) -> str:
    """The line of a message that says most."""
    return (text or "").partition("\n")[0]
