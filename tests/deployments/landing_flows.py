"""A flow with the signature of the pipeline that writes down that it ran."""

import json
from typing import Any

from prefect import flow

from spherovem_core.references import Acquisition


@flow(name="note-acquisition", flow_run_name="{acquisition.name}")
def note_acquisition(acquisition: Acquisition, parameters: dict[str, Any], execution: dict[str, Any]) -> None:
    """Add a line to the results folder: which files were there."""
    acquisition.folder.mkdir(parents=True, exist_ok=True)
    files = sorted(path.name for path in acquisition.source.iterdir())
    with (acquisition.folder / "runs").open("a") as runs:
        runs.write(json.dumps(files) + "\n")
