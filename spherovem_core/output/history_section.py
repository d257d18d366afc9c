"""Section on how the results were computed: versions, device, time and memory per step, and parameters."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from spherovem_core.parameters import PipelineParameters
from spherovem_core.report.page import Panel, Picture, Section, Table
from spherovem_core.report.svg_charts import bars
from spherovem_core.store.adoptions import is_adoption
from spherovem_core.workflow.step import JOURNAL

WRITES_REPORT = "output"
"""Step that builds this page. The page cannot contain the time that building it takes."""


def history_section(provenance: Mapping[str, Any], parameters: PipelineParameters) -> Section:
    """Show how the results were computed, from the provenance document."""
    stages = sorted(provenance["stages"], key=lambda entry: str(entry["finished"]))
    entries = [entry for entry in stages if not is_adoption(entry)]
    steps = pd.DataFrame(
        {
            "step": _step_name(entry),
            "version": entry["version"],
            "device": entry["device"],
            "host": entry.get("host", ""),
            "seconds": float(entry["seconds"]),
            "peak memory (MB)": entry["peak_memory_bytes"] / 1e6,
            "finished": entry["finished"],
        }
        for entry in entries
    )
    packages = provenance["packages"]
    versions = pd.DataFrame({"package": list(packages), "version": list(packages.values())})
    chosen = parameter_table(parameters, PipelineParameters())
    changed = chosen[chosen["changed"] != ""].drop(columns="changed")
    marked = frozenset(np.flatnonzero(chosen["changed"] != "").tolist())
    adopted = adoption_table(stages)
    tables = [
        Table("Changes by hand that were adopted", adopted) if len(adopted) else None,
        Table("Steps", steps),
        Table("Parameters that differ from the defaults", changed) if len(changed) else None,
        Table("All parameters", chosen, marked, folded=True),
        Table("Packages", versions, folded=True),
    ]
    facts = [
        ("Source", str(provenance.get("source", "unknown"))),
        ("Software", f"spherovem {packages.get('spherovem', 'of unknown version')}"),
        ("Devices", ", ".join(sorted({str(entry["device"]) for entry in entries})) or "unknown"),
        ("Computing time", format_duration(float(steps["seconds"].sum()) if len(steps) else 0.0)),
        ("Parameters that differ from the defaults", str(len(changed))),
    ]
    pictures = [_cost(steps)] if len(steps) else []
    return Section(
        "history",
        "How it was computed",
        facts,
        pictures,
        [table for table in tables if table is not None],
        adoption_warnings(stages),
    )


def adoption_warnings(stages: Iterable[Mapping[str, Any]]) -> list[str]:
    """Name the results that a person changed and adopted; they are not what the parameters give."""
    return [
        f"{entry['parameters']['path']} was changed by hand and adopted by {entry['parameters']['author']} on "
        f"{entry['finished']}; it is not what its step computed"
        for entry in stages
        if is_adoption(entry)
    ]


def adoption_table(stages: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """List adopted changes: result, author, time, reason, and content digest before and after."""
    return pd.DataFrame(
        {
            "result": entry["parameters"]["path"],
            "author": entry["parameters"]["author"],
            "time": entry["finished"],
            "reason": entry["parameters"]["reason"] or "none given",
            "content before": entry["parameters"]["content_before"],
            "content after": entry["parameters"]["content_after"],
        }
        for entry in stages
        if is_adoption(entry)
    )


def parameter_table(parameters: BaseModel, defaults: BaseModel) -> pd.DataFrame:
    """List every parameter by its path, with its value and default; `changed` marks the rows where the two differ."""
    usual = dict(_flatten(defaults))
    rows = [
        (
            path,
            _format_parameter(value),
            _format_parameter(usual[path]),
            "changed" if value != usual[path] else "",
        )
        for path, value in _flatten(parameters)
    ]
    return pd.DataFrame(rows, columns=["parameter", "value", "default", "changed"])


def _flatten(parameters: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and value of every parameter, those of nested groups included."""
    values = parameters.model_dump(mode="json")
    for name in type(parameters).model_fields:
        value = getattr(parameters, name)
        if isinstance(value, BaseModel):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", values[name]


def format_duration(seconds: float) -> str:
    """Format a time for a reader."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _step_name(entry: Mapping[str, Any]) -> str:
    name = str(entry["step"]).replace("_", " ")
    if entry.get("external", {}).get(JOURNAL):
        return f"{name} (corrections)"
    return f"{name} (tables)" if entry["step"] == WRITES_REPORT else name


def _format_parameter(value: Any) -> str:
    if value is None:
        return "–"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _cost(steps: pd.DataFrame) -> Picture:
    return Picture(
        [
            _bars(steps["step"].tolist(), steps["seconds"].tolist(), "seconds", "Time"),
            _bars(steps["step"].tolist(), steps["peak memory (MB)"].tolist(), "MB", "Peak memory"),
        ],
        "Time and peak memory of each step. Memory is that of the whole process with its workers.",
    )


def _bars(names: list[str], values: list[float], label: str, title: str) -> Panel:
    texts = [f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in values]
    return bars(names, values, texts, label, title)
