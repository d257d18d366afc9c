"""``spherovem status``: acquisitions and how far each one is."""

import json
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from deployments.command_line.acquisition_tables import acquisitions_table, steps_table
from deployments.command_line.arguments import BadArgumentsError, Command, reading_arguments
from deployments.settings import read_settings


class Status(Command):
    """Show how far each acquisition is.

    A state is complete, running, partial (begun, but no run is at work on it now), failed (with the last run's error),
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
        from spherovem_core.status import acquisition_state, acquisition_states, is_results_folder

        root = chosen_root(self.results_root)
        one = is_results_folder(root)
        states = [acquisition_state(root.absolute())] if one else list(acquisition_states(root.absolute()))
        if self.json_:
            print(json.dumps({"acquisitions": [state.document() for state in states]}, indent=2))
        elif one:
            print(steps_table(states[0]))
        elif states:
            print(acquisitions_table(states))
        else:
            print(f"no acquisitions in {root}")


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
