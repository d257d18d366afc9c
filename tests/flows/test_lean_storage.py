"""Lean storage: what is discarded, computed again on demand, and left by a kill between two of its instants."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_acquisition import DISCARDED, KEPT
from tiny_pipeline import TINY

from deployments.command_line.main import main
from deployments.run_parameters import build_parameters
from deployments.viewing.layers import volume_layers
from flows.finished_steps import is_finished
from flows.pipeline import run_pipeline
from flows.preflight import check_run
from spherovem_core.blocks import slab_grid
from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.integrity import adopt, recompute, verify_results
from spherovem_core.parameters import PipelineParameters, SliceCuttingParameters
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import WHOLE
from spherovem_core.registry import PIPELINE
from spherovem_core.stages import FIRST_STAGE, LAST_STAGE
from spherovem_core.status import acquisition_state
from spherovem_core.steps.output import rewrite_report
from spherovem_core.store import ArrayWriter, Layout, open_array, read_table
from spherovem_core.store.discarded import discard_array, find_discarded, load_parts, want_discarded
from spherovem_core.store.layout import table_path
from spherovem_core.workflow.run import array_spec
from tasks.finetune_slices import cut_slices_of

LEAN = ExecutionSettings(device="cpu", workers=1)
FULL = LEAN.model_copy(update={"storage": "full"})


class KilledError(BaseException):
    """Stands for a kill: nothing catches it."""


def run(
    acquisition: Acquisition,
    changes: dict[str, Any] | None = None,
    settings: ExecutionSettings = LEAN,
    **options: Any,
) -> None:
    parameters = build_parameters([TINY, changes or {}])
    run_pipeline(acquisition, parameters, settings, without_prefect=True, **options)


def present(layout: Layout) -> set[str]:
    """Return the groups of which any file is there."""
    return {group for group in (*KEPT, *DISCARDED) if (layout.volume / group / "0").exists()}


def denoised_again(acquisition: Acquisition) -> np.ndarray:
    recompute(acquisition.folder, "denoised")
    run(acquisition, settings=FULL)
    return open_array(Layout(acquisition.folder), "denoised")[:]


def test_arrays_that_nothing_needs_are_discarded_and_known(finished: Acquisition) -> None:
    layout = Layout(finished.folder)
    assert present(layout) == set(KEPT)
    state = acquisition_state(finished.folder)
    assert state.state == "complete"
    notes = {step.name: step.note for step in state.steps if step.note}
    assert notes == dict.fromkeys(("denoising", "flows_cells", "flows_nuclei"), "array discarded")
    states = {each.path.removeprefix("volume.zarr/"): each.state for each in verify_results(finished.folder)}
    assert {path for path, found in states.items() if found == "discarded"} == set(DISCARDED)
    assert set(states.values()) == {"sound", "discarded"}
    assert "denoised" not in [layer.group for layer in volume_layers(layout)]
    with pytest.raises(
        IncompleteArtifactError,
        match=r"denoised/0 was discarded .*--recompute volume.zarr/denoised.*--storage full",
    ):
        open_array(layout, "denoised")


def test_status_and_verify_say_what_was_discarded(
    finished: Acquisition, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(finished.folder)]) == 0
    assert "complete, array discarded" in capsys.readouterr().out
    assert main(["verify", str(finished.folder)]) == 0
    assert "volume.zarr/flows/cells" in capsys.readouterr().out


def test_nothing_is_computed_again_because_it_is_gone(
    copy: Acquisition, parameters: PipelineParameters, computed: list[str]
) -> None:
    for settings in (LEAN, FULL):
        run(copy, settings=settings)
        run(copy, settings=settings, start_at="segmentation")
    external = check_run(copy, parameters, LEAN)
    assert is_finished(copy, parameters, LEAN, external, FIRST_STAGE, LAST_STAGE, WHOLE)
    assert computed == []
    assert present(Layout(copy.folder)) == set(KEPT)


def test_full_storage_keeps_what_is_computed_and_lean_discards_it_at_the_next_run(
    copy: Acquisition, parameters: PipelineParameters, computed: list[str]
) -> None:
    layout = Layout(copy.folder)
    report = rewrite_report(copy.folder, PIPELINE.chapters()).read_text()
    denoised_again(copy)
    assert computed == ["denoising"]
    assert present(layout) == {*KEPT, "denoised"}
    assert find_discarded(layout, "denoised") is None
    # The report shows of the discarded image what it shows of the image.
    assert rewrite_report(copy.folder, PIPELINE.chapters()).read_text() == report
    run(copy, settings=FULL)
    assert "denoised" in present(layout)
    external = check_run(copy, parameters, LEAN)
    assert is_finished(copy, parameters, LEAN, external, FIRST_STAGE, LAST_STAGE, WHOLE)
    assert present(layout) == set(KEPT)
    assert rewrite_report(copy.folder, PIPELINE.chapters()).read_text() == report
    assert computed == ["denoising"]


def test_changed_masks_ask_for_the_flows_of_their_kind(copy: Acquisition, computed: list[str]) -> None:
    layout = Layout(copy.folder)
    before = find_discarded(layout, "flows/cells")
    run(copy, {"segmentation": {"cells": {"min_diameter_um": 1.1}}}, stop_after="segmentation")
    assert computed == ["flows_cells", "masks_cells"]
    # The review, which reads the flows, too, is to come.
    assert present(layout) == {*KEPT, "flows/cells"}
    marker = open_array(layout, "flows/cells").details
    assert before is not None
    assert marker["content"] == before.marker["content"]
    run(copy, {"segmentation": {"cells": {"min_diameter_um": 1.1}}})
    assert "flows_nuclei" not in computed
    assert present(layout) == set(KEPT)


def test_a_review_of_known_objects_needs_no_flows(copy: Acquisition, computed: list[str]) -> None:
    run(copy, {"spatial": {"min_parent_fraction": 0.6}})
    assert "review_nuclei" in computed
    assert not {"flows_cells", "flows_nuclei"} & set(computed)
    run(copy)
    assert not {"flows_cells", "flows_nuclei"} & set(computed)


def test_a_review_of_changed_objects_has_the_flows_computed(copy: Acquisition, computed: list[str]) -> None:
    layout = Layout(copy.folder)
    ledgers = list(layout.scratch.glob("ledgers/measured-review_cells*"))
    assert ledgers
    for ledger in ledgers:
        ledger.unlink()
    kept = read_table(layout, table_path("suspects_cells"))
    layout.path(table_path("suspects_cells")).unlink()
    run(copy)
    assert computed == ["flows_cells", "review_cells", "output"] or computed == [
        "flows_cells",
        "review_cells",
    ]
    pd.testing.assert_frame_equal(read_table(layout, table_path("suspects_cells")), kept)
    assert not layout.failure.exists()
    assert present(layout) == set(KEPT)


def test_uncertain_slices_are_cut_without_flows(copy: Acquisition, tmp_path: Path) -> None:
    """They lie on the voxels of the flows, although the level of the image that they are cut from covers a little more."""
    parameters = SliceCuttingParameters(
        kind="cells", places="uncertain", flow_spacing_nm=160.0, slice_count=2
    )
    folders = [tmp_path / "lean", tmp_path / "full"]
    cut_slices_of(copy.folder, folders[0], parameters)
    recompute(copy.folder, "flows/cells")
    run(copy, settings=FULL)
    cut_slices_of(copy.folder, folders[1], parameters)
    lean, full = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in folders
    )
    assert lean
    assert lean == full


def test_changed_registration_asks_for_the_denoised_image(copy: Acquisition, computed: list[str]) -> None:
    changes = {"registration": {"model": "rigid"}}
    run(copy, changes, start_at="registration", stop_after="registration")
    assert computed == ["denoising", "registration"]
    # A run that stops early is there to try parameters: the next one has the image.
    assert "denoised" in present(Layout(copy.folder))
    run(copy, {"registration": {"model": "translation"}}, stop_after="registration")
    assert computed == ["denoising", "registration", "registration"]


def test_a_discarded_image_of_other_parameters_is_not_guessed(copy: Acquisition, computed: list[str]) -> None:
    changes = {"registration": {"model": "rigid"}, "denoising": {"epochs": 4}}
    with pytest.raises(
        IncompleteArtifactError, match=r"denoised was discarded.*other parameters.*start at denoising"
    ):
        run(copy, changes, start_at="registration")
    assert computed == []


def test_an_adopted_array_is_not_discarded(copy: Acquisition, computed: list[str]) -> None:
    denoised_again(copy)
    layout = Layout(copy.folder)
    file = layout.volume / "denoised/0/c/3/0/0"
    shutil.copy(layout.volume / "denoised/0/c/4/0/0", file)
    adopt(copy.folder, "denoised", author="Ada")
    run(copy)
    assert present(layout) == {*KEPT, "denoised"}


def killing(monkeypatch: pytest.MonkeyPatch, target: str, *, before: bool) -> None:
    """Kill the process before or after the first call of a function."""
    module, _, name = target.rpartition(".")
    owner = importlib.import_module(module)
    real = getattr(owner, name)

    def struck(*arguments: Any, **options: Any) -> Any:
        if not before:
            real(*arguments, **options)
        raise KilledError

    monkeypatch.setattr(owner, name, struck)


@pytest.mark.parametrize(
    ("target", "before"),
    [
        ("spherovem_core.store.discarded.write_bytes", True),
        ("spherovem_core.store.discarded.write_bytes", False),
        ("spherovem_core.store.discarded.write_text", False),
        ("spherovem_core.store.groups.empty_trash", True),
    ],
    ids=["before the parts", "before the record", "before the files go", "before the trash goes"],
)
def test_a_kill_while_discarding_leaves_what_the_next_run_finishes(
    copy: Acquisition,
    computed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    before: bool,
) -> None:
    layout = Layout(copy.folder)
    denoised_again(copy)
    computed.clear()
    with monkeypatch.context() as patch:
        killing(patch, target, before=before)
        with pytest.raises(KilledError):
            run(copy)
    assert find_discarded(layout, "denoised") is not None or open_array(layout, "denoised").shape
    run(copy)
    assert computed == []
    assert present(layout) == set(KEPT)
    assert load_parts(layout, "denoised")
    assert not (layout.scratch / "trash").exists()


@pytest.fixture
def unfinished(copy: Acquisition, monkeypatch: pytest.MonkeyPatch) -> Acquisition:
    """A run with other registration that was killed while it denoised again."""
    with monkeypatch.context() as patch:
        killing(patch, "tasks.running.compute_step", before=True)
        with pytest.raises(KilledError):
            run(copy, {"registration": {"model": "rigid"}}, stop_after="registration")
    return copy


def test_a_killed_request_is_withdrawn_when_nothing_needs_the_array(
    unfinished: Acquisition, computed: list[str]
) -> None:
    found = find_discarded(Layout(unfinished.folder), "denoised")
    assert found is not None
    assert found.is_wanted
    assert acquisition_state(unfinished.folder).state == "partial"
    run(unfinished)
    assert computed == []
    found = find_discarded(Layout(unfinished.folder), "denoised")
    assert found is not None
    assert not found.is_wanted


def test_a_killed_request_is_met_by_the_next_run(unfinished: Acquisition, computed: list[str]) -> None:
    run(unfinished, {"registration": {"model": "rigid"}}, stop_after="registration")
    assert computed == ["denoising", "registration"]


def test_what_a_killed_run_computed_again_goes_when_nothing_needs_it(
    copy: Acquisition, computed: list[str]
) -> None:
    layout = Layout(copy.folder)
    values = denoised_again(copy)
    found = discard_array(layout, "denoised", {})
    want_discarded(layout, found)
    part = np.zeros((1, *values.shape[1:]), np.uint8)
    spec = array_spec("denoised", "image", values.shape, "uint8", (120.0, 40.0, 40.0), by_slice=True)
    writer = ArrayWriter(layout, spec, found.own_digest)
    writer.write(slab_grid(values.shape, 1)[0], part)
    assert "denoised" in present(layout)
    computed.clear()
    run(copy)
    assert computed == []
    assert present(layout) == set(KEPT)


def test_the_trash_of_a_kill_is_emptied(copy: Acquisition) -> None:
    layout = Layout(copy.folder)
    left = layout.scratch / "trash" / "left"
    left.mkdir(parents=True)
    run(copy)
    assert not left.exists()


def test_nothing_is_asked_for_by_a_run_that_is_refused(
    copy: Acquisition, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(copy.folder)

    def refuse(*arguments: Any) -> None:
        raise IncompleteArtifactError("refused")

    monkeypatch.setattr("flows.pipeline.show_forecast", refuse)
    with pytest.raises(IncompleteArtifactError, match="refused"):
        run(copy, {"registration": {"model": "rigid"}})
    found = find_discarded(layout, "denoised")
    assert found is not None
    assert not found.is_wanted
