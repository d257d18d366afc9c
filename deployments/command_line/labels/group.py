"""The commands of ``spherovem labels``, in the order in which its help shows them."""

from collections.abc import Mapping
from typing import ClassVar

from deployments.command_line.arguments import CommandGroup


class Labels(CommandGroup):
    """Correct labels by hand.

    Corrections are kept in a journal, RESULTS/NAME/corrections/KIND.jsonl. They are anchored at positions in µm, so that they
    are applied again after the volume was segmented again.
    """

    group: ClassVar[str] = "Segmentation and its quality"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "spherovem labels review spheroid_07 --kind cells --results-root results/",
            "which objects are probably wrong, and where",
        ),
        (
            "spherovem labels apply spheroid_07 edits.jsonl --kind cells --results-root results/",
            "apply operations from a file, and measure again",
        ),
        ("spherovem labels log spheroid_07 --results-root results/", "what was corrected, by whom, and why"),
    )
    commands: ClassVar[Mapping[str, str]] = {
        "review": "deployments.command_line.labels.review.Review",
        "apply": "deployments.command_line.labels.apply.Apply",
        "import": "deployments.command_line.labels.import_labels.ImportLabels",
        "edit": "deployments.command_line.labels.edit.Edit",
        "log": "deployments.command_line.labels.log.Log",
        "undo": "deployments.command_line.labels.undo.UndoEdits",
        "export": "deployments.command_line.labels.export.ExportLabels",
    }
