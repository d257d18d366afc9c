"""Flow with the signature of the pipeline that only records its run."""

import json
from typing import Any

from prefect import flow

from spherovem_core.references import Acquisition


@flow(name="note-acquisition", flow_run_name="{acquisition.name}")
def note_acquisition(acquisition: Acquisition, parameters: dict[str, Any], execution: dict[str, Any]) -> None:
    """Append a line with the names of the source files to the file ``runs`` of the results folder."""
    acquisition.folder.mkdir(parents=True, exist_ok=True)
    files = sorted(path.name for path in acquisition.source.iterdir())
    with (acquisition.folder / "runs").open("a") as runs:
        runs.write(json.dumps(files) + "\n")
