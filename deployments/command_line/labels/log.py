"""``spherovem labels log``: the journal of corrections."""

import json
from typing import ClassVar

from pydantic import Field
from pydantic_settings import CliToggleFlag

from deployments.command_line.labels.arguments import LabelsCommand
from deployments.command_line.text_tables import text_table
from spherovem_core.corrections import Entry, Journal
from spherovem_core.store.layout import CORRECTED_KINDS, CorrectedKind


class Log(LabelsCommand):
    """List the corrections of an acquisition."""

    group: ClassVar[str] = "Segmentation and its quality"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem labels log spheroid_07 --results-root results/", "corrections of all kinds"),
        ("spherovem labels log spheroid_07 --json", "for scripts"),
    )

    kind: CorrectedKind | None = Field(default=None, description="Kind of object; all kinds by default.")
    json_: CliToggleFlag[bool] = Field(default=False, alias="json", description="Print JSON.")

    def cli_cmd(self) -> None:
        """Print the journals."""
        layout = self.layout
        kinds = CORRECTED_KINDS if self.kind is None else (self.kind,)
        entries = {kind: Journal(layout.journal(kind)).entries() for kind in kinds}
        if self.json_:
            print(
                json.dumps(
                    {kind: [_document(entry) for entry in own] for kind, own in entries.items()}, indent=2
                )
            )
            return
        for kind, own in entries.items():
            rows = [
                [
                    str(entry.number),
                    entry.id,
                    entry.operation.operation,
                    entry.author,
                    entry.time,
                    entry.reason,
                ]
                for entry in own
            ]
            if rows:
                print(text_table([kind, "id", "operation", "author", "time", "reason"], rows))
        if not any(entries.values()):
            print("no corrections")


def _document(entry: Entry) -> dict[str, object]:
    return {
        "number": entry.number,
        "id": entry.id,
        "author": entry.author,
        "time": entry.time,
        "reason": entry.reason,
        **entry.operation.model_dump(mode="json"),
    }
