"""Runs of a landed phantom: from the landing folder to the tables, through watcher, deployment and worker."""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from landing_servers import copy_slowly, set_up, watcher, watching
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun
from prefect_servers import PrefectServer, connected, running_worker
from trivial_deployments import wait_until

from spherovem_core.store import Layout, open_array
from spherovem_core.store.layout import table_path
from spherovem_core.synthetic.phantom import PhantomParameters, make_phantom, write_acquisition

PHANTOM = PhantomParameters(
    shape=(20, 160, 150),
    spacing_nm=(120.0, 40.0, 40.0),
    seed=7,
    cell_diameter_um=2.5,
    nanoparticle_volume_fraction=0.01,
)
QUICK: dict[str, Any] = {
    "denoising": {
        "training_slices": 8,
        "validation_slices": 2,
        "patch_size": 32,
        "patches_per_slice": 16,
        "epochs": 2,
        "network_channels": 8,
        "batch_size": 8,
    },
    "segmentation": {
        "cells": {"network": "phantom-compact", "flow_spacing_nm": 160.0, "min_diameter_um": 1.0},
        "nuclei": {"network": "phantom-compact", "flow_spacing_nm": 160.0},
    },
}
NAME = "spheroid 7 (été)"


def process_landed_phantom(server: PrefectServer, folder: Path, timeout_s: float = 1500.0) -> None:
    """Copy a phantom slowly into a landing folder; expect one run by a worker, through the deployment, to the tables."""
    landing, results_root = folder / "landing", folder / "results"
    (folder / "quick.yaml").write_text(yaml.safe_dump(QUICK))
    write_acquisition(make_phantom(PHANTOM), folder / "acquired")
    set_up(server)
    process = watcher(
        server,
        landing,
        results_root,
        folder / "watcher.log",
        parameters=folder / "quick.yaml",
        device="cpu",
        workers=1,
    )
    with connected(server), running_worker(server, "gpu", limit=1), watching(process):
        wait_until(lambda: "watching " in process.output, 120.0, lambda: process.output)
        copy_slowly(folder / "acquired", landing / NAME, seconds=12.0)
        wait_until(lambda: len(landed_runs()) == 1, 120.0, lambda: process.output)
        (landing / NAME / "slice_0000.tif").touch()  # as a copy tool does that sets times at the end
        wait_until(
            lambda: _is_over(landed_runs()[0]), timeout_s, lambda: f"{landed_runs()}\n{process.output}"
        )
        (run,) = landed_runs()
    assert run.state_name == "Completed", run.state
    assert run.idempotency_key is not None
    assert run.idempotency_key.startswith(f"{NAME}:")
    assert run.parameters["acquisition"]["source"] == str(landing / NAME)
    layout = Layout(results_root / NAME)
    assert open_array(layout, "raw").shape == PHANTOM.shape
    assert len(pd.read_parquet(layout.path(table_path("cells")))) > 0
    assert layout.report.is_file()
    assert "rejected" not in process.output


def landed_runs() -> list[FlowRun]:
    """List the runs of the deployment on-landing."""
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=["on-landing"]))
        )


def _is_over(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()
