"""``spherovem labels log``: the journal of corrections."""

import json
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from pydantic import Field
from pydantic_settings import CliToggleFlag

from deployments.command_line.labels.arguments import Kind, LabelsCommand
from deployments.command_line.text_tables import text_table

if TYPE_CHECKING:
    from spherovem_core.corrections import CorrectionState, Entry


class Log(LabelsCommand):
    """List the corrections of an acquisition, and what became of each.

    An operation is applied, not applied yet (the next run applies it), undone, or does not fit the present labels, with the
    reason and its place.
    """

    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem labels log spheroid_07 --results-root results/", "corrections of all kinds"),
        ("spherovem labels log spheroid_07 --json", "for scripts"),
        ("spherovem labels log spheroid_07 --repair", "drop a last line that was cut off"),
    )

    kind: Kind | None = Field(default=None, description="Kind of object; all kinds by default.")
    json_: CliToggleFlag[bool] = Field(default=False, alias="json", description="Print JSON.")
    repair: CliToggleFlag[bool] = Field(
        default=False, description="Drop a last line that is cut off, which was never acknowledged."
    )

    def cli_cmd(self) -> None:
        """Print the journals."""
        from spherovem_core.corrections import Journal, correction_state
        from spherovem_core.corrections.state import refuse_lost_lines

        layout = self.layout
        kinds: tuple[Kind, ...] = get_args(Kind) if self.kind is None else (self.kind,)
        journals = {kind: Journal(layout.journal(kind)) for kind in kinds}
        if self.repair:
            for journal in journals.values():
                torn = journal.repair() if journal.path.exists() else ""
                if torn:
                    print(f"dropped from {journal.path}: {torn}")
        rows = {
            kind: [_row(entry, state) for entry in journals[kind].entries()]
            for kind in kinds
            for state in [correction_state(layout, kind)]
        }
        if self.json_:
            print(json.dumps(rows, indent=2))
            return
        titles = [
            "line",
            "id",
            "operation",
            "state",
            "objects",
            "place z, y, x (µm)",
            "author",
            "time",
            "reason",
        ]
        for kind, own in rows.items():
            if own:
                print(f"{kind}:")
                print(text_table(titles, [_cells(row) for row in own]))
        if not any(rows.values()):
            print("no corrections")
        for kind in kinds:
            refuse_lost_lines(layout, kind)


def _row(entry: "Entry", state: "CorrectionState") -> dict[str, Any]:
    """Describe a line and what became of it, as JSON."""
    from spherovem_core.corrections.outcomes import place_of

    counts = any(own.id == entry.id for own in state.entries)
    outcomes = () if state.applied is None else state.applied.outcomes
    found = next((own for own in outcomes if own.id == entry.id), None)
    became = state.outcome(entry) if counts else "undone"
    return {
        "line": entry.number,
        "id": entry.id,
        "author": entry.author,
        "time": entry.time,
        "reason": entry.reason,
        "state": "undo" if entry.operation.operation == "undo" else became.partition(":")[0],
        "why": found.reason if found else "",
        "before": list(found.before) if found else [],
        "after": list(found.after) if found else [],
        "point_um": (found.point_um if found else None) or place_of(entry.operation),
        **entry.operation.model_dump(mode="json"),
    }


def _cells(row: dict[str, Any]) -> list[str]:
    before, after = (", ".join(map(str, row[key])) for key in ("before", "after"))
    objects = before if before == after else f"{before or 'nothing'} -> {after or 'background'}"
    place = "" if row["point_um"] is None else ", ".join(f"{own:.3f}" for own in row["point_um"])
    state = f"{row['state']}: {row['why']}" if row["why"] else row["state"]
    shown = objects if row["state"] == "applied" else ""
    return [
        str(row["line"]),
        row["id"],
        row["operation"],
        state,
        row["of"] if row["operation"] == "undo" else shown,
        place,
        row["author"],
        row["time"],
        row["reason"],
    ]
