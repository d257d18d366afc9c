"""Chapter on corrections by hand: how many of each operation, by whom, and those that do not fit the labels."""

from collections.abc import Sequence

from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Section, Table


def corrections_section(inputs: ReportInputs) -> Section:
    """Count the operations, and list those that do not fit with their reason and place."""
    rows = inputs.corrections
    counts = rows.groupby(["kind", "operation", "author"], as_index=False, sort=False).agg(
        operations=("applied", "size"), applied=("applied", "sum")
    )
    lost = rows[~rows["applied"]].drop(columns="applied")
    tables = [Table("Operations", counts)]
    if len(lost):
        tables.append(Table("Operations that do not fit the labels", lost))
    excluded = [(f"Excluded {name}", str(count)) for name, count in inputs.excluded.items()]
    facts = [
        ("Operations", str(len(rows))),
        ("Applied", str(int(rows["applied"].sum()))),
        ("Not applied", str(len(lost))),
        *excluded,
    ]
    return Section(
        "corrections",
        "Corrections by hand",
        facts,
        tables=tables,
        warnings=corrections_warnings(inputs),
    )


def corrections_warnings(inputs: ReportInputs) -> Sequence[str]:
    """Warn of operations that do not fit the labels."""
    lost = int((~inputs.corrections["applied"]).sum())
    if not lost:
        return ()
    verb = "does" if lost == 1 else "do"
    return (
        f"{lost} of {len(inputs.corrections)} corrections by hand {verb} not fit the labels and {'was' if lost == 1 else 'were'} "
        "not applied; the table below names their places",
    )
