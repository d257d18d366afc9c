"""The parent flow on a tiny phantom: computed steps, cached steps, written files."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from ome_zarr_checks import problems
from schema_checks import differences
from tiny_acquisition import DISCARDED, KEPT, STEPS, Finished, States, run
from tiny_pipeline import TINY

from deployments.command_line.main import main
from deployments.run_parameters import build_parameters
from flows.process_acquisition import process_acquisition
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.store import Layout, open_array
from spherovem_core.store.layout import table_path

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_every_array_and_table_of_the_design_is_written(finished: Acquisition) -> None:
    layout = Layout(finished.folder)
    for group in KEPT:
        assert open_array(layout, group).shape[-3] > 1, group
    for name in ("cells", "nuclei", "nanoparticles", "slices"):
        frame = pd.read_parquet(layout.path(table_path(name)))
        assert len(frame) > 0, name
        assert frame.columns[0] in ("label", "file")
    agglomerates = pd.read_parquet(layout.path(table_path("agglomerates")))
    particles = pd.read_parquet(layout.path(table_path("nanoparticles")))
    assert agglomerates["particle_count"].sum() == len(particles)
    assert set(particles["agglomerate"]) == set(agglomerates["label"])
    others = pd.read_parquet(layout.path(table_path("other_objects")))
    counts = json.loads(layout.mixture.read_text())["others"]
    assert others["reason"].value_counts().to_dict() == counts
    assert "<html" in layout.report.read_text()
    provenance = json.loads(layout.provenance.read_text())
    assert {entry["step"] for entry in provenance["stages"]} == {step.replace(" ", "_") for step in STEPS}
    assert provenance["parameters"]["denoising"]["epochs"] == 3


def test_the_schema_describes_every_output(finished: Acquisition) -> None:
    assert differences(finished.folder) == sorted(f"array {group}: not written" for group in DISCARDED)


def test_the_volume_is_valid_ome_zarr(finished: Acquisition) -> None:
    volume = Layout(finished.folder).volume
    assert problems(volume) == []
    arrays = {path.parents[1].relative_to(volume).as_posix() for path in volume.rglob("0/zarr.json")}
    assert arrays == set(KEPT)


def edit_json(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "unit": (
        lambda volume: edit_json(volume / "raw/zarr.json", '"nanometer"', '"micrometer"'),
        "raw: spatial axes are not z, y, x in nanometer",
    ),
    "scale": (
        lambda volume: edit_json(volume / "registered/zarr.json", "120.0", "60.0"),
        "registered: level 0: scale is not the array's voxel size",
    ),
    "label shape": (
        lambda volume: edit_json(volume / "registered/labels/cells/0/zarr.json", "20,", "21,"),
        "registered/labels/cells: lies on no level of its image",
    ),
    "image-label": (
        lambda volume: edit_json(volume / "registered/labels/nuclei/zarr.json", "image-label", "label-image"),
        "registered/labels/nuclei: no image-label metadata",
    ),
    "deleted file": (
        lambda volume: (volume / "raw/0/c/3/0/0").unlink(),
        "raw: level 0: incomplete",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_that_validators_overlook_is_noticed(
    finished: Acquisition, tmp_path: Path, damage: str
) -> None:
    volume = tmp_path / "volume.zarr"
    shutil.copytree(Layout(finished.folder).volume, volume)
    apply, problem = DAMAGES[damage]
    apply(volume)
    assert problem in problems(volume)


def test_the_demo_compares_with_the_truth(demo: Finished) -> None:
    layout = Layout(demo.acquisition.folder)
    written = json.loads(layout.comparison.read_text())
    assert set(written) == set(demo.figures)
    for key in ("cells_f1", "cells_precision", "cells_recall", "nuclei_f1", "cells_volume_error_median"):
        assert key in written
    assert written["registration_residual_px"] < 1
    assert written["nanoparticles_count_true"] > 0
    for key in ("nanoparticles_dice", "parent_cell_right", "distance_error_median_um"):
        assert written[key] is None or written[key] >= 0


def test_the_command_line_finds_everything_done(
    finished: Acquisition, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(json.dumps(TINY))
    arguments = ["process", finished.source, "--results-root", finished.results_root, "--parameters", file]
    assert main([str(argument) for argument in arguments]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert str(finished.folder / "report.html") in shown.out
    assert "done in" not in shown.out


def test_the_report_is_written_again(finished: Acquisition, capsys: pytest.CaptureFixture[str]) -> None:
    report = Layout(finished.folder).report
    before = report.stat().st_mtime_ns
    assert main(["report", str(finished.folder)]) == 0
    assert report.stat().st_mtime_ns > before
    assert str(report) in capsys.readouterr().out


def test_a_second_run_computes_nothing(
    finished: Acquisition, parameters: PipelineParameters, task_states: States
) -> None:
    assert run(finished, parameters, task_states) == set()


@pytest.mark.slow
def test_a_changed_parameter_recomputes_its_stage_and_those_after(
    finished: Acquisition, parameters: PipelineParameters, task_states: States, tmp_path: Path
) -> None:
    copy = finished.model_copy(update={"results_root": tmp_path})
    shutil.copytree(finished.folder, copy.folder)
    process_acquisition(copy, parameters, ExecutionSettings(device="cpu"))
    threshold = build_parameters([TINY, {"nanoparticles": {"min_confidence": 0.7}}])
    assert run(copy, threshold, task_states) == {
        "nanoparticles",
        "spatial",
        "review nuclei",
        "review nanoparticles",
        "output",
    }
    image = build_parameters(
        [TINY, {"nanoparticles": {"min_confidence": 0.7}, "output": {"report_image_px": 300}}]
    )
    assert run(copy, image, task_states) == {"output"}
    masks = build_parameters([TINY, {"segmentation": {"nuclei": {"probability_threshold": 0.5}}}])
    # The review of cells asks for their flows only where the nuclei around a cell are others than before.
    assert run(copy, masks, task_states) - {"flows cells"} == {
        "flows nuclei",
        "masks nuclei",
        "shape nuclei",
        "nanoparticles",
        "spatial",
        "review cells",
        "review nuclei",
        "review nanoparticles",
        "output",
    }


@pytest.mark.parametrize(
    ("lost", "computed"),
    [
        ("tables/cells.parquet", {"output"}),
        pytest.param("report.html", {"output"}, marks=pytest.mark.slow),
        ("volume.zarr/raw", {"ingest"}),
        pytest.param("volume.zarr/distance_to_nucleus/0/c", {"spatial"}, marks=pytest.mark.slow),
        (
            "volume.zarr/registered/1",
            {
                *("denoising", "registration", "flows cells", "flows nuclei"),
                *("masks cells", "masks nuclei", "nanoparticles"),
            },
        ),
    ],
)
def test_a_deleted_output_is_computed_again(
    finished: Acquisition, parameters: PipelineParameters, task_states: States, lost: str, computed: set[str]
) -> None:
    path = finished.folder / lost
    if not path.exists():
        pytest.skip(f"the tiny volume has no {lost}")
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert run(finished, parameters, task_states) == computed
    assert path.exists()
    assert run(finished, parameters, task_states) == set()


@pytest.mark.slow
def test_two_runs_at_once_compute_each_step_once(
    finished: Acquisition, parameters: PipelineParameters, task_states: States, tmp_path: Path
) -> None:
    copy = finished.model_copy(update={"results_root": tmp_path})
    shutil.copytree(finished.folder, copy.folder)
    changed = build_parameters([TINY, {"nanoparticles": {"min_confidence": 0.4}}])
    computed: list[set[str]] = []
    threads = [
        threading.Thread(target=lambda: computed.append(run(copy, changed, task_states))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    # A copied folder has no records of its own, so the first to hold it completes every stage; the other finds them all.
    assert sorted(map(len, computed)) == [0, len(STEPS)]
