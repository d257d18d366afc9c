"""Complete results that a run will replace: which, how large, and what is different about the run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spherovem_core.overrides import merge
from spherovem_core.store.discarded import find_discarded
from spherovem_core.store.groups import bytes_of_levels
from spherovem_core.store.layout import Layout
from spherovem_core.workflow.artifacts import last_entry, stored_digest
from spherovem_core.workflow.outputs import ArrayOutput, Output
from spherovem_core.workflow.plan import StepPlan
from spherovem_core.workflow.step import EXCLUDED_OF, JOURNAL, JOURNAL_OF

GB = 1e9


@dataclass(frozen=True)
class ReplacedResult:
    """The complete result of a step that a run will replace.

    Attributes
    ----------
    title
        The step, as people name it.
    stored_bytes
        Bytes of the result on disk.
    reasons
        What is different about the run: parameters with both values, another source or network, a newer version of the step;
        empty where only inputs or corrections changed.
    """

    title: str
    stored_bytes: int
    reasons: tuple[str, ...]


def results_to_replace(todo: Sequence[StepPlan[Any]]) -> list[ReplacedResult]:
    """List the complete results among those that the planned steps will write.

    A discarded array that is computed again as it was replaces nothing.
    """
    found = []
    for plan in todo:
        if stored_digest(plan.layout, plan.step.main_output) is not None and not _is_discarded(plan):
            size = sum(_bytes_of(plan.layout, output) for output in plan.step.outputs)
            found.append(ReplacedResult(plan.step.title, size, tuple(_differences(plan))))
    return found


def _is_discarded(plan: StepPlan[Any]) -> bool:
    """Return whether a step computes an array again that was discarded."""
    output = plan.step.main_output
    left = find_discarded(plan.layout, output.group) if isinstance(output, ArrayOutput) else None
    return left is not None and left.own_digest == plan.digest


def are_superseded(replaced: Sequence[ReplacedResult]) -> bool:
    """Return whether a run replaces results by those of other parameters, sources or versions, not by corrected ones alone."""
    return any(each.reasons for each in replaced)


def describe_replaced(replaced: Sequence[ReplacedResult]) -> str:
    """Describe the results that a run will replace, in one line; empty if there are none."""
    if not replaced:
        return ""
    total = sum(each.stored_bytes for each in replaced)
    steps = ", ".join(f"{each.title} ({_size(each.stored_bytes)})" for each in replaced)
    reasons = "; ".join(f"{each.title}: {', '.join(each.reasons)}" for each in replaced if each.reasons)
    return f"replaces {_size(total)} of complete results: {steps}" + (
        f" because of {reasons}" if reasons else ""
    )


def replaced_markdown(replaced: Sequence[ReplacedResult], kept_in: Path | None) -> str:
    """Return a table of the results that a run will replace."""
    total = sum(each.stored_bytes for each in replaced)
    kept = "" if kept_in is None else f" Tables, report and provenance of before are kept in `{kept_in}`."
    lines = [
        f"This run replaces {_size(total)} of complete results.{kept}",
        "",
        "| step | disk (MB) | what is different |",
        "|---|---:|---|",
    ]
    lines += [
        f"| {each.title} | {each.stored_bytes / 1e6:.1f} | {', '.join(each.reasons) or 'its inputs'} |"
        for each in replaced
    ]
    return "\n".join(lines)


def _differences(plan: StepPlan[Any]) -> Iterator[str]:
    """Describe what differs between the run that made a result and the planned one."""
    before = last_entry(plan.layout, plan.step.main_output, plan.step.name)
    if before is None:
        return
    if before.get("version") != plan.step.version:
        yield f"version {before.get('version')} → {plan.step.version}"
    omitted = plan.step.omitted
    yield from _changed(merge(omitted, before["parameters"]), merge(omitted, plan.own_parameters))
    for name in sorted({*before["external"], *plan.external}):
        is_correction = name == JOURNAL or name.startswith((JOURNAL_OF, EXCLUDED_OF))
        if not is_correction and before["external"].get(name) != plan.external.get(name):
            yield f"other {name}"


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from (f"{name}.{text}" for text in _changed(old, new))
        elif old != new:
            yield f"{name} {_short(old)} → {_short(new)}"


def _size(count: int) -> str:
    return f"{count / GB:.2f} GB" if count >= GB else f"{count / 1e6:.1f} MB"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _bytes_of(layout: Layout, output: Output) -> int:
    """Count the bytes of an output: of an array all levels, without the labels that lie below it; 0 if it was discarded."""
    place = layout.path(output.path)
    if not isinstance(output, ArrayOutput):
        return place.stat().st_size if place.is_file() else 0
    return bytes_of_levels(place.parent)
