"""``spherovem verify``: results compared with what they held when they were written."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from deployments.command_line.arguments import BadArgumentsError, Command, reading_arguments
from deployments.command_line.text_tables import readable_bytes, text_table
from deployments.settings import read_settings

if TYPE_CHECKING:
    from spherovem_core.integrity import ArtifactState

logger = logging.getLogger(__name__)

SHOWN = 5
"""Findings shown per result; --json has all."""


class Verify(Command):
    """Check that results are as they were computed.

    Reads every file and compares its checksum. A result is sound, changed (other bytes), damaged (and unreadable), missing, or
    unrecorded (written by a version that kept no checksums). A run refuses to use or replace a changed result; --adopt keeps the
    change, --recompute discards it.
    """

    group: ClassVar[str] = "Look at results"
    resumable: ClassVar[bool] = True
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem verify spheroid_07 --results-root results/", "every result, bytes included"),
        (
            "spherovem verify spheroid_07 --results-root results/ --adopt registered/labels/cells --reason 'merged 1 and 3'",
            "keep labels that were edited; the next run measures them again",
        ),
        (
            "spherovem verify spheroid_07 --results-root results/ --recompute tables/cells.parquet",
            "discard a change; the next run computes the table again",
        ),
    )

    name: CliPositionalArg[str] = Field(description="Name of the acquisition, or its results folder.")
    results_root: Path | None = Field(
        default=None, description="Folder that holds one results folder per acquisition."
    )
    adopt: list[str] = Field(
        default=[],
        description="Keep a changed result as it is, and compute what follows from it again; may be repeated.",
        json_schema_extra={"metavar": "PATH"},
    )
    recompute: list[str] = Field(
        default=[],
        description="Discard a result, so that the next run computes it again; may be repeated.",
        json_schema_extra={"metavar": "PATH"},
    )
    author: str = Field(default="", description="Who adopts; the user of the system by default.")
    reason: str = Field(default="", description="Why the change is right; kept in the history.")
    record: CliToggleFlag[bool] = Field(
        default=False, description="Record results without a record as they are now."
    )
    json_: CliToggleFlag[bool] = Field(default=False, alias="json", description="Print JSON.")

    def cli_cmd(self) -> None:
        """Verify, adopt, discard or record."""
        folder = self.folder()
        if not (self.adopt or self.recompute or self.record):
            self.verify(folder)
            return
        from spherovem_core.integrity import adopt, recompute, record_results

        with reading_arguments():
            for path in self.adopt:
                done = adopt(folder, path, author=self.author, reason=self.reason)
                print(f"{done.path} was adopted by {done.author}; the next run computes what follows from it")
            for path in self.recompute:
                print(recompute(folder, path))
        if self.record:
            recorded = record_results(folder)
            print(
                "\n".join([f"recorded {path}" for path in recorded] or ["every result has a record already"])
            )

    def folder(self) -> Path:
        """Return the results folder.

        Raises
        ------
        BadArgumentsError
            If there is no such folder.
        """
        from spherovem_core.status import is_results_folder

        with reading_arguments():
            root = self.results_root or read_settings().results_root
        places = [Path(self.name)] if root is None else [root / self.name, Path(self.name)]
        for place in places:
            if place.is_dir() and is_results_folder(place):
                return place.absolute()
        raise BadArgumentsError(
            f"{places[0]} is no results folder; give an acquisition's name and --results-root DIR, or its results folder"
        )

    def verify(self, folder: Path) -> None:
        """Print the state of every result.

        Raises
        ------
        SpheroVemError
            If one is not sound.
        """
        from spherovem_core.errors import SpheroVemError
        from spherovem_core.integrity import verify_results
        from spherovem_core.store import Layout
        from spherovem_core.store.markers import lock_is_held

        if lock_is_held(Layout(folder).locks / "acquisition.lock"):
            logger.warning(
                "%s is being processed; what it replaces meanwhile may be listed as changed", folder.name
            )
        states = list(verify_results(folder))
        if self.json_:
            print(json.dumps({"artifacts": [state.document() for state in states]}, indent=2))
        else:
            print(states_text(states) if states else f"{folder} holds no results yet")
        counts: Counter[str] = Counter(state.state for state in states if not state.is_sound)
        if counts:
            raise SpheroVemError(explain(folder, counts))


def states_text(states: "list[ArtifactState]") -> str:
    """List results, one per line, and what was found in those that are not sound."""
    rows = [
        [
            state.path,
            state.step,
            state.state,
            str(state.files),
            readable_bytes(state.bytes_on_disk),
            state.details[0] if state.details else "",
        ]
        for state in states
    ]
    table = text_table(["RESULT", "STEP", "STATE", "FILES", "ON DISK", "FINDING"], rows, right=(3, 4))
    more = [f"{state.path}: {finding}" for state in states for finding in _shortened(state.details[1:])]
    return "\n\n".join([table, *(["\n".join(more)] if more else [])])


def explain(folder: Path, counts: "Counter[str]") -> str:
    """Say in one line how many results are not sound, and what to do."""
    found = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    ways = []
    if counts["changed"] or counts["damaged"]:
        ways.append("--adopt RESULT keeps a change, --recompute RESULT discards it")
    if counts["missing"]:
        ways.append("the next run computes what is missing")
    if counts["unrecorded"]:
        ways.append("--record records results without a record as they are")
    return f"{folder.name}: {found}; {'; '.join(ways)}"


def _shortened(findings: tuple[str, ...]) -> list[str]:
    left = len(findings) - SHOWN
    return [*findings[:SHOWN], *([f"and {left} more; --json lists them"] if left > 0 else [])]
