"""Aligned FIB-SEM slices of Drosophila and their hand-checked bodies, through to a report in one command."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from deployments.command_line.main import main

DATA = Path(__file__).parents[3] / "shared" / "data" / "fibsem_drosophila"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent"),
    pytest.mark.usefixtures("prefect_server"),
]


def test_bodies_of_a_part_become_a_report_in_one_command(tmp_path: Path) -> None:
    part = np.s_[:60, :140, :150]
    (tmp_path / "slices").mkdir()
    for number, path in enumerate(sorted((DATA / "slices").glob("*.tif"))[: part[0].stop]):
        tifffile.imwrite(tmp_path / "slices" / f"slice_{number:03}.tif", tifffile.imread(path)[part[1:]])
    bodies = np.load(DATA / "bodies.npz")["labels"][part]
    np.savez_compressed(tmp_path / "bodies.npz", labels=bodies, spacing_nm=(10.0, 10.0, 10.0))
    command = [
        "process",
        str(tmp_path / "slices"),
        "--results-root",
        str(tmp_path / "results"),
        "--name",
        "fly",
    ]
    command += ["--spacing-nm", "10", "10", "10", "--device", "cpu", "--start-at", "shape"]
    command += ["--already", "aligned", "denoised", "--labels", f"cells={tmp_path / 'bodies.npz'}"]
    assert main(command) == 0
    results = tmp_path / "results" / "fly"
    cells = pd.read_parquet(results / "tables" / "cells.parquet")
    labels, counts = np.unique(bodies[bodies > 0], return_counts=True)
    assert cells["label"].tolist() == labels.tolist()
    assert cells["voxel_count"].tolist() == counts.tolist()
    assert cells["volume_um3"].to_numpy() == pytest.approx(counts * 1e-6)
    assert pd.read_parquet(results / "tables" / "nuclei.parquet").empty
    report = (results / "report.html").read_text()
    assert "imported from" in report
    assert report.count("none given") >= 4
