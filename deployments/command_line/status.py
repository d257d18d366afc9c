"""``spherovem status``: acquisitions and how far each one is."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from deployments.command_line.acquisition_tables import acquisitions_table, steps_table
from deployments.command_line.arguments import BadArgumentsError, Command, reading_arguments
from deployments.command_line.text_tables import text_table
from deployments.settings import read_settings

if TYPE_CHECKING:
    from deployments.landing.waiting import Waiting


class Status(Command):
    """Show how far each acquisition is.

    A state is complete, running, partial (begun, but no run is at work on it now), failed (with the last run's error),
    rejected (by the watcher) or absent (nothing computed yet). Below them are the acquisitions that have landed and wait:
    settling (until when), valid (for the server) or queued (for a worker). Where PREFECT_API_URL names the server, they are
    also paused, or running or failed before anything was written.
    """

    settings: ClassVar[tuple[str, ...]] = ("settle_seconds", "sentinel", "sentinel_only")

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
        from spherovem_core.status import acquisition_state, acquisition_states, is_results_folder

        root = chosen_root(self.results_root)
        waiting = waiting_below(root)
        one = is_results_folder(root)
        states = [acquisition_state(root.absolute())] if one else list(acquisition_states(root.absolute()))
        if self.json_:
            document = {
                "acquisitions": [state.document() for state in states],
                "waiting": [each.document() for each in waiting],
            }
            print(json.dumps(document, indent=2))
        elif one:
            print(steps_table(states[0]))
        elif states:
            print(acquisitions_table(states))
        elif not waiting:
            print(f"no acquisitions in {root}")
        if waiting and not self.json_:
            print(f"\n{waiting_table(waiting)}")


def waiting_below(root: Path) -> "list[Waiting]":
    """List the acquisitions that have landed and wait for this results root."""
    from deployments.landing.waiting import waiting_acquisitions

    with reading_arguments():
        return waiting_acquisitions(root.absolute(), read_settings())


def waiting_table(waiting: "list[Waiting]") -> str:
    """List acquisitions that wait, one per line."""
    rows = [
        [each.name, each.state, "" if each.until is None else each.until[11:19], each.detail]
        for each in waiting
    ]
    return text_table(["WAITING", "STATE", "UNTIL", "FOR"], rows)


def chosen_root(given: Path | None) -> Path:
    """Return the given folder, else the results root of the settings.

    Raises
    ------
    BadArgumentsError
        If there is neither, or it is not a folder.
    """
    with reading_arguments():
        root = given or read_settings().results_root
    if root is None:
        raise BadArgumentsError("no results root: name one, or set SPHEROVEM_RESULTS_ROOT")
    if not root.is_dir():
        raise BadArgumentsError(
            f"{root} is not a folder; name a results root or the results folder of an acquisition"
        )
    return root
