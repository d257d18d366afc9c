"""``spherovem audit``: how right the segmentation is, from a random sample that a person judges."""

import json
import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic_settings import CliToggleFlag

from deployments.command_line.arguments import BadArgumentsError
from deployments.command_line.labels.arguments import KindCommand
from deployments.command_line.text_tables import text_table

if TYPE_CHECKING:
    import pandas as pd

    from spherovem_core.audit.sample import AuditSample
    from spherovem_core.audit.stored import AuditSources
    from spherovem_core.audit.verdicts import Judged
    from spherovem_core.store import Layout


class Audit(KindCommand):
    """Draw a random sample to judge, and read the verdicts.

    Without --verdicts it draws at most 50 objects and 20 places where one might have been missed. It writes a sheet with pictures
    and a file for verdicts to the folder audits of the results. With --verdicts it reads that file, and prints precision, recall,
    and the corrected count, volume and fractions with 95 % intervals. They are also written to tables/audit_KIND.parquet and to
    the report.
    The same labels and seed give the same sample.
    """

    group: ClassVar[str] = "Segmentation and its quality"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "spherovem audit spheroid_07 --kind cells --results-root results/",
            "draw a sample, write the sheet",
        ),
        (
            "spherovem audit spheroid_07 --kind cells --verdicts results/spheroid_07/audits/cells.csv",
            "read the verdicts",
        ),
    )

    verdicts: Path | None = Field(
        default=None, description="CSV or JSON Lines file with a verdict on every item."
    )
    seed: int = Field(default=0, ge=0, le=2**31, description="Seed of the draw.")
    author: str = Field(default="", description="Who judged; the user of this machine by default.")
    redraw: CliToggleFlag[bool] = Field(
        default=False, description="Draw another sample where one was drawn; its verdicts no longer fit."
    )
    edits: Path | None = Field(
        default=None,
        description="With --verdicts: file for the verdicts as corrections, for spherovem labels apply: right ones are accepted, "
        "false ones rejected.",
    )
    json_: CliToggleFlag[bool] = Field(default=False, alias="json", description="Print JSON.")

    def cli_cmd(self) -> None:
        """Draw a sample, or read the verdicts on one."""
        from spherovem_core.audit.stored import audit_sources

        if self.edits is not None and self.verdicts is None:
            raise BadArgumentsError("--edits: give the verdicts that it is made from, with --verdicts FILE")
        if self.verdicts is not None and not self.verdicts.is_file():
            raise BadArgumentsError(f"--verdicts: {self.verdicts} is not a file")
        if self.verdicts is not None and self.redraw:
            raise BadArgumentsError(
                "--redraw draws another sample, which these verdicts are not about; give one of both"
            )
        layout = self.layout
        sources = audit_sources(layout, self.kind)
        if self.verdicts is None:
            self._draw(layout, sources)
        else:
            self._read(layout, sources, self.verdicts)

    def _draw(self, layout: "Layout", sources: "AuditSources") -> None:
        from spherovem_core.audit.sheet import write_sheet
        from spherovem_core.audit.stored import draw_stored, load_sample, sample_path, save_sample
        from spherovem_core.audit.verdicts import empty_verdicts
        from spherovem_core.errors import AuditError
        from spherovem_core.store import write_text

        filled, sheet = (
            layout.audit(self.kind).with_suffix(".csv"),
            layout.audit(self.kind).with_suffix(".html"),
        )
        if sample_path(layout, self.kind).exists() and not self.redraw:
            old = load_sample(layout, self.kind)
            if (old.seed, old.fingerprint) != (self.seed, sources.fingerprint):
                changed = (
                    "the labels have changed since" if old.seed == self.seed else f"with seed {old.seed}"
                )
                raise AuditError(
                    f"a sample of {self.kind} was drawn ({old.drawn}), {changed}. Give its verdicts with --verdicts "
                    f"{filled}, or draw another one with --redraw"
                )
            sample = old
        else:
            sample = draw_stored(sources, self.seed)
            save_sample(layout, sample)
            write_text(filled, empty_verdicts(sample))
        if not filled.exists():
            write_text(filled, empty_verdicts(sample))
        root = layout.folder.parent
        words = ["spherovem", "audit", layout.folder.name, "--kind", self.kind, "--results-root", str(root)]
        command = shlex.join([*words, "--verdicts", str(filled)])
        write_sheet(layout, self.kind, sample, sheet, filled.name, command)
        if self.json_:
            document = {"kind": self.kind, "sheet": str(sheet), "verdicts": str(filled), **sample.document()}
            print(json.dumps(document, indent=2, ensure_ascii=False))
            return
        print(
            f"sample:   {len(sample.objects)} of {sum(sample.object_counts)} {self.kind}, {len(sample.places)} places"
        )
        print(f"sheet:    {sheet}\nverdicts: {filled}\nthen:     {command}")

    def _read(self, layout: "Layout", sources: "AuditSources", path: Path) -> None:
        from spherovem_core.audit.journal import AuditJournal
        from spherovem_core.audit.stored import check_unchanged, judge_stored, load_sample, write_quantities
        from spherovem_core.audit.verdicts import read_verdicts
        from spherovem_core.errors import IncompleteArtifactError
        from spherovem_core.registry import pipeline_of_results
        from spherovem_core.steps.output import rewrite_report
        from spherovem_core.store import write_text

        sample = load_sample(layout, self.kind)
        check_unchanged(sample, sources)
        judged = read_verdicts(path, sample)
        quantities = judge_stored(sources, judged, sample)
        AuditJournal(layout.audit(self.kind)).append(sample, judged, self.author)
        write_quantities(layout, self.kind, quantities, sample)
        if self.edits is not None:
            write_text(self.edits.absolute(), "".join(f"{line}\n" for line in edit_lines(sample, judged)))
        try:
            pipeline = pipeline_of_results(layout.folder)
            rewrite_report(layout.folder, pipeline.chapters(), pipeline)
        except IncompleteArtifactError as error:
            kept = "the verdicts are kept, and the report of the next run will show them"
            print(f"{kept}: {error}", file=sys.stderr)
        if self.json_:
            rows = json.loads(quantities.to_json(orient="records"))
            print(
                json.dumps(
                    {"kind": self.kind, "sample": sample.identifier, "quantities": rows},
                    indent=2,
                    ensure_ascii=False,
                )
            )
            return
        print(quantities_text(quantities))


def quantities_text(quantities: "pd.DataFrame") -> str:
    """List quantities with their intervals, one a line."""
    rows = [
        [
            str(row["quantity"]),
            "" if math.isnan(row["as_segmented"]) else f"{row['as_segmented']:.4g}",
            f"{row['value']:.4g}",
            f"{row['low']:.4g} to {row['high']:.4g}",
            str(row["unit"]),
            str(row["meaning"]),
        ]
        for row in quantities.to_dict("records")
    ]
    return text_table(
        ["QUANTITY", "SEGMENTED", "CORRECTED", "95 % INTERVAL", "UNIT", "MEANING"], rows, right=(1, 2, 3)
    )


def edit_lines(sample: "AuditSample", judged: "tuple[Judged, ...]") -> list[str]:
    """Return the verdicts on objects as operations of the journal of corrections: accept right ones, reject false ones."""
    verdicts = {each.item: each for each in judged}
    lines = []
    for each in sample.objects:
        operation = {"right": "accept", "false": "reject"}.get(verdicts[each.item].verdict)
        if operation is not None:
            anchor = {"point_um": each.point_um, "volume_um3": each.volume_um3}
            values = {
                "operation": operation,
                "object": anchor,
                "reason": f"audit {sample.identifier}, {each.item}",
            }
            lines.append(json.dumps(values, ensure_ascii=False))
    return lines
