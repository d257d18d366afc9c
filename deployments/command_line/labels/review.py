"""``spherovem labels review``: the objects that are probably wrong."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic_settings import CliToggleFlag

from deployments.command_line.labels.arguments import KindCommand
from deployments.command_line.text_tables import text_table

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


class Review(KindCommand):
    """Rank the objects that are probably wrong, with reason, place and remedy.

    The steps review_cells, review_nuclei and review_nanoparticles of a run make the tables that this command prints,
    tables/suspects_KIND.parquet. A merge is suggested where two objects look like one, a split where one looks like two.
    Positions are in µm, as in the tables of the objects. Objects that a correction accepted are left out.
    """

    group: ClassVar[str] = "Segmentation and its quality"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem labels review spheroid_07 --kind cells --results-root results/", "the first 20 suspects"),
        ("spherovem labels review spheroid_07 --kind nuclei --top 100 --json", "for scripts"),
        (
            "spherovem labels review spheroid_07 --kind cells --sheets cells.html",
            "with pictures of each in three planes",
        ),
    )

    top: int = Field(default=20, ge=1, le=100_000, description="Number of suspects.")
    sheets: Path | None = Field(
        default=None, description="HTML file for pictures of the suspects; an existing one is replaced."
    )
    json_: CliToggleFlag[bool] = Field(default=False, alias="json", description="Print JSON.")

    def cli_cmd(self) -> None:
        """Print the suspects, and draw them where pictures are wanted."""
        from spherovem_core.corrections.state import correction_state, marks_of
        from spherovem_core.review import without_accepted
        from spherovem_core.review.chapter import suspects_name
        from spherovem_core.store import read_table
        from spherovem_core.store.layout import table_path

        every = read_table(self.layout, table_path(suspects_name(self.kind)))
        state = correction_state(self.layout, self.kind)
        suspects = without_accepted(every, marks_of(state)["accepted"])
        accepted = len(every) - len(suspects)
        if state.applied is None:
            logger.warning(
                "the suspects are those of %s as they were before the last corrections; run again to rank the present ones",
                self.kind,
            )
        shown = suspects.head(self.top)
        if self.sheets is not None:
            from spherovem_core.review.contact_sheets import write_sheets

            write_sheets(self.layout, self.kind, shown, self.sheets.absolute())
        if self.json_:
            records = json.loads(shown.to_json(orient="records"))
            print(json.dumps({"kind": self.kind, "suspects": records}, indent=2, ensure_ascii=False))
            return
        print(suspects_text(shown) if len(shown) else f"no suspects among {self.kind}")
        if len(shown):
            print(f"\n{len(shown)} of {len(suspects)} suspects")
        if accepted:
            print(f"{accepted} left out, accepted by hand")
        if self.sheets is not None:
            print(f"pictures: {self.sheets.absolute()}")


def suspects_text(suspects: "pd.DataFrame") -> str:
    """List suspects, one a line."""
    titles = ["RANK", "LABEL", "OTHER", "SUGGESTED", "SCORE", "Z (µm)", "Y (µm)", "X (µm)", "REASON"]
    rows = [
        [
            str(row["rank"]),
            str(row["label"]),
            str(row["other_label"] or ""),
            str(row["operation"]),
            f"{row['score']:.1f}",
            *(f"{row[f'centroid_{axis}_um']:.2f}" for axis in "zyx"),
            str(row["reason"]),
        ]
        for row in suspects.to_dict("records")
    ]
    return text_table(titles, rows, right=(0, 1, 2, 4, 5, 6, 7))
