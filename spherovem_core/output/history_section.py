"""How it was computed: versions, device, time and memory a stage, and the parameters."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from spherovem_core.parameters import PipelineParameters
from spherovem_core.report.figures import PALETTE, Margins, finish, new_panel
from spherovem_core.report.page import Panel, Picture, Section, Table

WRITES_REPORT = "write_output"
"""The stage that makes this page: what that takes cannot stand in it."""


def history_section(provenance: Mapping[str, Any], parameters: PipelineParameters) -> Section:
    """Tell how the results came about, from the provenance document."""
    entries = sorted(provenance["stages"], key=lambda entry: str(entry["finished"]))
    stages = pd.DataFrame(
        {
            "stage": _name(entry),
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
    chosen = parameter_table(parameters)
    changed = chosen[chosen["changed"] != ""].drop(columns="changed")
    marked = frozenset(range(len(chosen))) & frozenset(
        (chosen["changed"] != "").to_numpy().nonzero()[0].tolist()
    )
    tables = [
        Table("Stages", stages),
        Table("Parameters that differ from the defaults", changed) if len(changed) else None,
        Table("All parameters", chosen, marked, folded=True),
        Table("Packages", versions, folded=True),
    ]
    facts = [
        ("Source", str(provenance.get("source", "unknown"))),
        ("Software", f"spherovem {packages.get('spherovem', 'of unknown version')}"),
        ("Devices", ", ".join(sorted({str(entry["device"]) for entry in entries})) or "unknown"),
        ("Time of all stages", duration(float(stages["seconds"].sum()) if len(stages) else 0.0)),
        ("Parameters that differ from the defaults", str(len(changed))),
    ]
    pictures = [_cost(stages)] if len(stages) else []
    return Section(
        "history", "How it was computed", facts, pictures, [table for table in tables if table is not None]
    )


def parameter_table(parameters: PipelineParameters) -> pd.DataFrame:
    """Every parameter with its value and its default; `changed` says where the two differ."""
    defaults = PipelineParameters().model_dump(mode="json")
    rows = []
    for stage, values in parameters.model_dump(mode="json").items():
        for name, value in values.items():
            usual = defaults[stage][name]
            rows.append((f"{stage}.{name}", _said(value), _said(usual), "changed" if value != usual else ""))
    return pd.DataFrame(rows, columns=["parameter", "value", "default", "changed"])


def duration(seconds: float) -> str:
    """Write a time for a reader."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _name(entry: Mapping[str, Any]) -> str:
    kind = entry.get("parameters", {}).get("kind")
    if entry["stage"] == WRITES_REPORT:
        return f"{WRITES_REPORT} (tables)"
    return f"{entry['stage']} {kind}" if isinstance(kind, str) else str(entry["stage"])


def _said(value: Any) -> str:
    if value is None:
        return "–"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _cost(stages: pd.DataFrame) -> Picture:
    return Picture(
        [
            _bars(stages["stage"].tolist(), stages["seconds"].tolist(), "seconds", "Time"),
            _bars(stages["stage"].tolist(), stages["peak memory (MB)"].tolist(), "MB", "Peak memory"),
        ],
        "What each stage took; the memory is that of the whole process with its workers.",
    )


def _bars(names: list[str], values: list[float], label: str, title: str) -> Panel:
    axes = new_panel(5.0, 0.75 + 0.21 * len(names), title, Margins(left=1.75, right=0.6))
    bars = axes.barh(range(len(names)), values, color=PALETTE[0], height=0.7)
    axes.bar_label(
        bars,
        [f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in values],
        padding=3,
        fontsize=8,
        color="#123456",
    )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    return finish(axes)
