"""``spherovem labels undo``: operations taken back."""

from typing import ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg

from deployments.command_line.arguments import BadArgumentsError
from deployments.command_line.labels.arguments import RunAfterwards


class UndoEdits(RunAfterwards):
    """Take back corrections, and measure again.

    The journal keeps the operations and notes that they were undone.
    """

    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "spherovem labels undo spheroid_07 --kind cells --results-root results/",
            "take back the last operation",
        ),
        ("spherovem labels undo spheroid_07 3 --kind cells --results-root results/", "the last three"),
        ("spherovem labels undo spheroid_07 1f0c9ab52e77 --kind cells", "one of them, by its id"),
    )

    which: CliPositionalArg[str] = Field(
        default="1", description="Number of the last operations to take back, or the id of one."
    )

    def cli_cmd(self) -> None:
        """Add the undo to the journal, and run what follows."""
        from spherovem_core.corrections import Journal, undo_operations

        layout = self.layout
        execution = self.check(layout)
        ids = {entry.id for entry in Journal(layout.journal(self.kind)).entries()}
        # An id may be of digits alone.
        is_count = self.which.isdigit() and self.which not in ids
        if is_count and int(self.which) == 0:
            raise BadArgumentsError("0 operations to take back; give a number from 1 on, or an id")
        which = int(self.which) if is_count else [self.which]
        undone = undo_operations(layout, self.kind, which, author=self.author, reason=self.reason)
        for entry in undone:
            print(f"undone: {entry.number}  {entry.id}  {entry.operation.operation} by {entry.author}")
        self.run_flow(layout, execution)
