"""Lean storage where it meets other parts: rerun, history, corrections of a region, Prefect's records, readers at work."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from test_lean_storage import LEAN, KilledError, killing, present, run
from tiny_acquisition import KEPT
from tiny_pipeline import TINY

from deployments.command_line.main import main
from deployments.run_parameters import build_parameters
from flows.discarded_steps import discards
from flows.process_acquisition import process_acquisition
from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.integrity import recompute
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest, crop_acquisition
from spherovem_core.stages import LAST_STAGE
from spherovem_core.status import acquisition_state
from spherovem_core.store import Layout, open_array
from spherovem_core.store.discarded import find_discarded
from spherovem_core.store.layout import table_path
from spherovem_core.workflow import RunRequest

RIGID = ("--set", "registration.model=rigid")


def foreseen(copy: Acquisition, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    code = main(["rerun", str(copy.folder), "--plan", *options])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return shown.out


def test_rerun_foresees_what_is_computed_again(copy: Acquisition, capsys: pytest.CaptureFixture[str]) -> None:
    for options in ((), ("--start-at", "registration")):
        said = foreseen(copy, capsys, *RIGID, *options)
        assert "computes 15 of 16 steps; denoising again, whose arrays were discarded" in said, said
        assert "complete results: registration" in said
        assert "output: registration.model affine → rigid" in said
    assert find_discarded(Layout(copy.folder), "denoised").is_wanted is False  # type: ignore[union-attr]


def test_rerun_foresees_that_a_run_is_refused(copy: Acquisition, capsys: pytest.CaptureFixture[str]) -> None:
    """The image was discarded, and the parameters are not those that it was made with."""
    options = ("--plan", "--start-at", "registration", "--set", "denoising.epochs=4")
    assert main(["rerun", str(copy.folder), *RIGID, *options]) == 1
    assert "denoised was discarded" in capsys.readouterr().err


def test_a_discarded_array_is_not_adopted(copy: Acquisition, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(copy.folder), "--adopt", "denoised"]) == 1
    assert "was discarded when all that is computed from it was complete" in capsys.readouterr().err


def test_a_request_of_a_killed_run_does_not_stop_rerun(
    copy: Acquisition, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        killing(patch, "tasks.running.compute_step", before=True)
        with pytest.raises(KilledError):
            run(copy, {"registration": {"model": "rigid"}}, stop_after="registration")
    assert find_discarded(Layout(copy.folder), "denoised").is_wanted  # type: ignore[union-attr]
    assert "everything is complete" in foreseen(copy, capsys)
    said = foreseen(copy, capsys, "--start-at", "segmentation", "--set", "nanoparticles.min_confidence=0.7")
    assert "nanoparticles" in said


def test_a_discarded_array_that_is_computed_again_replaces_nothing(
    copy: Acquisition, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "flows"):
        run(copy, {"registration": {"model": "rigid"}}, stop_after="registration")
    (said,) = [record.getMessage() for record in caplog.records if "replaces" in record.getMessage()]
    assert "complete results: registration (" in said
    assert "denoising" not in said
    assert len(list(Layout(copy.folder).history.iterdir())) == 1


def test_a_run_after_corrections_of_a_region_discards_nothing(
    finished: Acquisition, parameters: PipelineParameters
) -> None:
    region = crop_acquisition(finished, RegionOfInterest(z_stop=9))
    assert discards(LEAN, LAST_STAGE, RunRequest(finished, parameters, WHOLE))
    assert not discards(LEAN, LAST_STAGE, RunRequest(region, parameters, RegionOfInterest(z_stop=9)))
    # As `run_after_corrections` asks for it.
    assert not discards(LEAN, LAST_STAGE, RunRequest(region, parameters, WHOLE))


def test_a_record_of_a_killed_run_does_not_hide_a_result(
    copy: Acquisition, parameters: PipelineParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with Prefect dies while it computes flows for the review, and one without Prefect does the rest."""
    layout = Layout(copy.folder)
    for ledger in layout.scratch.glob("ledgers/measured-review_cells*"):
        ledger.unlink()
    layout.path(table_path("suspects_cells")).unlink()
    with monkeypatch.context() as patch:
        killing(patch, "flows.pipeline.plans_of_lazy_inputs", before=True)
        with pytest.raises(KilledError):
            process_acquisition(copy, parameters, LEAN)
    run(copy)
    strict = build_parameters([TINY, {"nanoparticles": {"min_confidence": 0.7}}])
    with monkeypatch.context() as patch:
        killing(patch, "flows.pipeline.plans_of_lazy_inputs", before=True)
        process_acquisition(copy, strict, LEAN)
    assert present(layout) == set(KEPT)


def test_an_array_that_goes_while_it_is_read_is_no_black_image(copy: Acquisition) -> None:
    layout = Layout(copy.folder)
    recompute(copy.folder, "denoised")
    run(copy, settings=LEAN.model_copy(update={"storage": "full"}))
    opened = open_array(layout, "denoised")
    assert opened[3].any()
    run(copy)
    with pytest.raises(IncompleteArtifactError, match="was discarded or replaced by a run while it was read"):
        opened[4]


@pytest.mark.parametrize("storage", ["lean", "full"])
def test_a_killed_trial_of_other_parameters_leaves_the_results_complete(
    copy: Acquisition, computed: list[str], monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    layout = Layout(copy.folder)
    with monkeypatch.context() as patch:
        killing(patch, "spherovem_core.workflow.run.write_table", before=True)
        with pytest.raises(KilledError):
            run(copy, {"denoising": {"epochs": 4}})
    state = acquisition_state(copy.folder)
    assert state.state == "partial"
    assert {step.name: step.state for step in state.steps}["denoising"] == "partial"
    settings = LEAN.model_copy(update={"storage": storage})
    run(copy, start_at="registration", settings=settings)
    assert computed == []
    assert present(layout) == set(KEPT)
    assert acquisition_state(copy.folder).state == "complete"


def test_a_killed_trial_is_continued(
    copy: Acquisition, computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(copy.folder)
    changed = {"denoising": {"epochs": 4}}
    with monkeypatch.context() as patch:
        killing(patch, "spherovem_core.workflow.run.write_table", before=True)
        with pytest.raises(KilledError):
            run(copy, changed)
    written = (layout.volume / "denoised/0/c/3/0/0").stat().st_mtime_ns
    run(copy, changed, stop_after="denoising")
    assert (layout.volume / "denoised/0/c/3/0/0").stat().st_mtime_ns == written
    assert computed == ["denoising"]
    assert find_discarded(layout, "denoised") is None


def test_corrections_by_hand_keep_nothing_in_the_history(copy: Acquisition, tmp_path: Path) -> None:
    """Every state of them can be made again from the journal."""
    layout = Layout(copy.folder)
    labels = open_array(layout, "registered/labels/cells")
    values = labels[:]
    place = np.argwhere(values == values[values > 0].min())[0]
    point = (np.array(labels.origin_nm) + place * np.array(labels.spacing_nm)) / 1000
    edits = tmp_path / "edits.jsonl"
    edits.write_text(json.dumps({"operation": "delete", "object": {"point_um": list(point)}}))
    assert main(["labels", "apply", str(copy.folder), str(edits), "--kind", "cells", "--device", "cpu"]) == 0
    assert not layout.history.exists()
    assert "flows/cells" in present(layout)
    assert main(["labels", "undo", str(copy.folder), "--kind", "cells", "--device", "cpu"]) == 0
    assert not layout.history.exists()
    assert present(layout) == set(KEPT)
