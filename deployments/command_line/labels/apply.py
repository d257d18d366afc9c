"""``spherovem labels apply``: operations from a file."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from deployments.command_line.arguments import BadArgumentsError
from deployments.command_line.labels.arguments import RunAfterwards
from deployments.command_line.labels.texts import effect


class Apply(RunAfterwards):
    """Apply operations from a file, and measure again.

    Each line of the file is one operation as JSON. All are checked on the present labels before anything is written; one that
    does not fit, or two that edit one place, end in an error that names the line. Operations that the journal has already, by
    their id, are skipped.
    """

    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "spherovem labels apply spheroid_07 edits.jsonl --kind cells --results-root results/",
            "apply all operations of a file",
        ),
        (
            'spherovem labels apply spheroid_07 edits.jsonl --kind nuclei --author Ada --reason "torn nuclei"',
            "with author and reason of lines that state none",
        ),
    )

    edits: CliPositionalArg[Path] = Field(description="File of operations, one JSON object a line.")
    keep_what_fits: CliToggleFlag[bool] = Field(
        default=False, description="Leave out operations that do not fit, instead of an error."
    )

    def cli_cmd(self) -> None:
        """Check the operations, add them to the journal, and run what follows."""
        from spherovem_core.corrections import append_edits, read_edits

        if not self.edits.is_file():
            raise BadArgumentsError(f"{self.edits} does not exist; name a file of one JSON operation a line")
        layout = self.layout
        execution = self.check(layout)
        drafts = read_edits(self.edits)
        entries, checked = append_edits(
            layout,
            self.kind,
            drafts,
            author=self.author,
            reason=self.reason,
            keep_what_fits=self.keep_what_fits,
        )
        for problem in checked.problems:
            print(f"left out: {problem}")
        if checked.known:
            print(f"skipped: {len(checked.known)} operations that the journal has already")
        for entry, outcome in zip(entries, checked.outcomes, strict=True):
            print(f"{entry.number}  {entry.id}  {effect(outcome)}")
        self.run_flow(layout, execution)
