"""Chapter on audits: whether each kind of object was audited, and what was found."""

from collections.abc import Mapping, Sequence

from spherovem_core.audit.stored import AuditState
from spherovem_core.report.chapter import Chapter
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Section, Table

SHOWN = ["quantity", "unit", "as_segmented", "value", "low", "high", "meaning"]


def audit_chapter(states: Mapping[str, AuditState]) -> Chapter:
    """Make the chapter from the state of each kind of object.

    Parameters
    ----------
    states
        State by kind; kinds that were left out are absent.
    """

    def draw(inputs: ReportInputs) -> Section:
        facts = [(kind.capitalize(), state.text) for kind, state in states.items()]
        tables = []
        for kind, state in states.items():
            if state.quantities is not None and state.entry is not None:
                sample = state.entry.sample
                title = (
                    f"{kind.capitalize()}: estimates with 95 % intervals, from {len(sample.objects)} of "
                    f"{sum(sample.object_counts)} objects and {len(sample.places)} places"
                )
                tables.append(Table(title, state.quantities[SHOWN]))
        return Section("audit", "Audit", facts, tables=tables, warnings=warn(inputs))

    def warn(inputs: ReportInputs) -> Sequence[str]:
        outdated = [
            f"the audit of {kind} is of labels that have changed since: its figures are not shown"
            for kind, state in states.items()
            if state.entry is not None and not state.current
        ]
        return (*outdated, *(state.damage for state in states.values() if state.damage))

    return Chapter("Audit", draw, warn)
