"""``spherovem labels export``: labels and journal for other programs."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import CliToggleFlag

from deployments.command_line.arguments import BadArgumentsError, Workers
from deployments.command_line.labels.arguments import KindCommand
from spherovem_core.execution import ExecutionSettings, open_executor


class ExportLabels(KindCommand):
    """Write the present labels as OME-TIFF, or their journal.

    `labels import` reads the labels back after another program changed them, `labels apply` the journal.
    """

    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "spherovem labels export spheroid_07 --kind cells --out cells.ome.tif --results-root results/",
            "labels with their corrections",
        ),
        ("spherovem labels export spheroid_07 --kind cells --out cells.jsonl --journal", "the operations"),
    )

    out: Path = Field(description="File to write.")
    journal: CliToggleFlag[bool] = Field(
        default=False, description="Write the operations that count, one JSON object a line."
    )
    level: int = Field(default=0, ge=0, le=20, description="Level of the labels' pyramid; 0 is the finest.")
    force: CliToggleFlag[bool] = Field(default=False, description="Replace an existing file.")
    workers: Workers | None = Field(default=None, description="Threads; every core by default.")

    def cli_cmd(self) -> None:
        """Write the file."""
        from deployments.command_line.export import ExportItem, label_items, write_item
        from spherovem_core.corrections import Journal, journal_lines
        from spherovem_core.export import ExportTarget
        from spherovem_core.store import write_text

        layout, out = self.layout, self.out.absolute()
        target = ExportTarget(out.parent, replace=self.force)
        target.check([out.name])
        if self.journal:
            lines = journal_lines(Journal(layout.journal(self.kind)).effective())
            write_text(out, "".join(f"{line}\n" for line in lines))
            print(f"{out}  ({len(lines)} operations)")
            return
        if not out.name.lower().endswith((".tif", ".tiff")):
            raise BadArgumentsError(
                f"--out {self.out}: labels are written as OME-TIFF; end the name in .ome.tif"
            )
        (item,) = label_items(layout, [self.kind], self.level)
        with target.open(), open_executor(ExecutionSettings(workers=self.workers)) as executor:
            write_item(ExportItem(out.name, item.write), target, executor)
