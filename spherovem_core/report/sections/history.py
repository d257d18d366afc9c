"""How it was computed: versions, device, time and memory a stage, and the parameters."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from spherovem_core.parameters import PipelineParameters
from spherovem_core.report.page import Section


def history_section(provenance: Mapping[str, Any], parameters: PipelineParameters) -> Section:
    """Tell how the results came about, from the provenance document."""
    stages = pd.DataFrame(
        {
            "stage": entry["stage"],
            "version": entry["version"],
            "device": entry["device"],
            "seconds": entry["seconds"],
            "peak memory (MB)": entry["peak_memory_bytes"] / 1e6,
            "finished": entry["finished"],
        }
        for entry in provenance["stages"]
    )
    chosen = pd.DataFrame(
        [
            {"parameter": f"{stage}.{name}", "value": str(value)}
            for stage, values in parameters.model_dump(mode="json").items()
            for name, value in values.items()
        ]
    )
    packages = provenance["packages"]
    versions = pd.DataFrame({"package": list(packages), "version": list(packages.values())})
    tables = [("Stages", stages), ("Parameters", chosen), ("Packages", versions)]
    return Section("history", "How it was computed", (), (), tables)
