"""Results of version 0.1, frozen in tests/data, brought to today's format."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import zarr

from spherovem_core.denoising import models
from spherovem_core.errors import FormatError, StoreNotWritableError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.forecast import steps_to_compute
from spherovem_core.migration import migrate
from spherovem_core.migration import migrate as migrate_again
from spherovem_core.migration.renames import COLUMNS
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.registry import PIPELINE
from spherovem_core.status import acquisition_state
from spherovem_core.steps.output import rewrite_report
from spherovem_core.store import Layout, read_table
from spherovem_core.store.format import FORMAT, check_format, stored_format
from spherovem_core.workflow import RunRequest, plan_step
from spherovem_core.workflow.compute import compute_step

FROZEN = Path(__file__).parents[1] / "data" / "results-format-1.tar.xz"
TITLES = tuple(step.title for step in PIPELINE.steps)
NEW = (
    "specimen",
    "nanoparticles",
    "spatial",
    "review cells",
    "review nuclei",
    "review nanoparticles",
    "output",
)
"""Steps that version 0.1 did not have, or that have outputs now which it did not write."""
COMPUTED = TITLES[TITLES.index("registration") :]
"""Steps that a run after the migration computes: those whose results differ now, and the ones that read from them."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A results root with one acquisition as spherovem 0.1 left it, and its source."""
    with tarfile.open(FROZEN) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def unfinished(root: Path) -> list[str]:
    """List the titles of the steps that a run with the parameters of the results would compute."""
    provenance = json.loads((root / "tiny/provenance.json").read_text())
    acquisition = Acquisition(name="tiny", source=root / "acquisitions/tiny", results_root=root)
    request = RunRequest(acquisition, PipelineParameters.model_validate(provenance["parameters"]))
    external = {step.name: step.external(request) for step in PIPELINE.steps}
    plans = steps_to_compute(PIPELINE, request, PIPELINE.steps, external, {})
    return [plan.step.title for plan in plans]


def arrays(folder: Path) -> dict[str, np.ndarray]:
    places = [path.parent for path in (folder / "volume.zarr").rglob("zarr.json")]
    found = {}
    for place in places:
        if json.loads((place / "zarr.json").read_text())["node_type"] == "array":
            found[place.relative_to(folder).as_posix()] = np.asarray(zarr.open_array(place, mode="r")[:])
    return found


def test_old_results_are_refused_with_the_command_that_migrates_them(root: Path) -> None:
    assert stored_format(root / "tiny") == 1
    with pytest.raises(FormatError, match=r"format 1.*run 'spherovem migrate .*tiny' once"):
        check_format(root / "tiny")
    state = acquisition_state(root / "tiny")
    assert state.error is not None
    assert "spherovem migrate" in state.error


def test_migration_keeps_every_complete_step(root: Path) -> None:
    before = arrays(root / "tiny")
    done = migrate(root / "tiny", source=root / "acquisitions/tiny", trust_source=True)
    assert done is not None
    assert (done.kept, done.dropped, done.source_found) == (
        tuple(title for title in TITLES if title not in NEW),
        NEW,
        True,
    )
    assert stored_format(root / "tiny") == FORMAT
    assert unfinished(root) == list(COMPUTED)
    after = arrays(root / "tiny")
    assert before.keys() == after.keys()
    for path, values in before.items():
        np.testing.assert_array_equal(values, after[path])
    state = acquisition_state(root / "tiny")
    assert (state.state, state.stages_complete, state.error) == ("partial", 2, None)
    states = {step.title: step.state for step in state.steps}
    assert states["specimen"] == "absent"
    assert {name for name, each in states.items() if each == "outdated"} == set(COMPUTED) - (
        set(NEW) - {"nanoparticles", "spatial", "output"}
    )
    assert migrate(root / "tiny") is None


def test_the_nanoparticles_of_version_0_1_are_reported_with_the_hint_to_compute_them_again(
    root: Path,
) -> None:
    migrate(root / "tiny", source=root / "acquisitions/tiny", trust_source=True)
    text = rewrite_report(root / "tiny", PIPELINE.chapters()).read_text()
    assert "an older version found the nanoparticles" in text
    parameters = json.loads((root / "tiny/provenance.json").read_text())["parameters"]
    assert "posterior_threshold" not in parameters["nanoparticles"]
    assert "smoothing_nm" in parameters["nanoparticles"]


def test_columns_and_tables_get_their_names_of_today(root: Path) -> None:
    old = pd.read_parquet(root / "tiny/tables/nuclei.parquet")
    migrate(root / "tiny", source=root / "acquisitions/tiny", trust_source=True)
    new = read_table(Layout(root / "tiny"), "tables/nuclei.parquet")
    pd.testing.assert_frame_equal(old.rename(columns=COLUMNS), new)
    assert "parent_fraction" in new.columns
    schema = pq.read_schema(root / "tiny/tables/nuclei.parquet")
    assert schema.field("volume_um3").metadata == {b"unit": "µm³".encode()}
    stages = root / "tiny/tables/stages"
    assert sorted(path.stem for path in stages.glob("sp*.parquet")) == [
        f"spatial-{name}" for name in ("cells", "nanoparticles", "nuclei", "radial", "ripley")
    ]


def test_migrated_results_can_be_reported(root: Path) -> None:
    migrate(root / "tiny", without_source=True)
    text = rewrite_report(root / "tiny", PIPELINE.chapters()).read_text()
    assert "Spatial" in text
    assert "measure_space" not in text
    assert "an older version registered the slices and knew neither jumps" in text


def test_a_source_with_other_times_is_not_taken_for_the_old_one_unasked(root: Path) -> None:
    for path in (root / "acquisitions/tiny").iterdir():
        os.utime(path, ns=(1, 1))
    with pytest.raises(FormatError, match=r"have other times.*--trust-source"):
        migrate(root / "tiny", source=root / "acquisitions/tiny")
    assert stored_format(root / "tiny") == 1
    done = migrate(root / "tiny", source=root / "acquisitions/tiny", without_source=True)
    assert done is not None
    assert (done.source_found, done.dropped) == (False, NEW)
    assert unfinished(root) == list(TITLES)


def undo_all_but_ingest(folder: Path) -> None:
    """Leave what a run had written that was killed in its first prediction."""
    for group in (folder / "volume.zarr").iterdir():
        if group.is_dir() and group.name != "raw":
            shutil.rmtree(group)
    for path in (folder / "tables").rglob("*"):
        if path.is_file() and path != folder / "tables/stages/slices.parquet":
            path.unlink()
    for name in ("provenance.json", "report.html", "models/mixture.json"):
        (folder / name).unlink()


def test_the_model_of_a_run_that_was_killed_in_prediction_is_not_trained_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (record,) = (root / "tiny/models").glob("n2v-*/loss.json")
    training = json.loads(record.read_text())["settings"]["parameters"]
    undo_all_but_ingest(root / "tiny")
    damaged = root / "tiny/models/n2v-damaged"
    damaged.mkdir()
    (damaged / "loss.json").write_text('{"settings": []}')
    done = migrate(root / "tiny", source=root / "acquisitions/tiny", trust_source=True)
    assert done is not None
    assert done.kept == ("ingest",)
    assert damaged.exists()

    monkeypatch.setattr(models, "train_network", lambda *_: pytest.fail("trained again"))
    acquisition = Acquisition(name="tiny", source=root / "acquisitions/tiny", results_root=root)
    request = RunRequest(acquisition, PipelineParameters.model_validate({"denoising": training}))
    ingest, denoising = PIPELINE.step("ingest"), PIPELINE.step("denoising")
    raw = plan_step(PIPELINE, ingest, request, ingest.external(request), {}).find()
    assert raw is not None
    compute_step(plan_step(PIPELINE, denoising, request, {}, {"ingest": raw}), ExecutionSettings())


def test_an_unfinished_array_is_dropped_alone(root: Path) -> None:
    marker = root / "tiny/volume.zarr/flows/nuclei/0/zarr.json"
    node = json.loads(marker.read_text())
    node["attributes"]["spherovem"]["complete"] = False
    marker.write_text(json.dumps(node))
    done = migrate(root / "tiny", source=root / "acquisitions/tiny", trust_source=True)
    assert done is not None
    assert done.dropped == ("flows nuclei", *NEW)
    assert unfinished(root) == list(COMPUTED)
    assert "flows nuclei" in COMPUTED


@pytest.mark.parametrize("stop", range(0, 30, 3))
def test_a_killed_migration_continues(root: Path, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    """Every file is replaced by one rename; the process may end before any of them."""
    replaced = 0
    rename = Path.replace

    def replace_or_die(self: Path, target: Path) -> Path:
        nonlocal replaced
        replaced += 1
        if replaced > stop:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace_or_die)
        with pytest.raises(KeyboardInterrupt):
            migrate(root / "tiny", source=root / "acquisitions/tiny", trust_source=True)
    migrate_again(root / "tiny", source=root / "acquisitions/tiny", trust_source=True)
    assert unfinished(root) == list(COMPUTED)


def test_a_newer_format_is_refused(root: Path) -> None:
    (root / "tiny/format.json").write_text('{"format": 99}')
    for refusing in (check_format, migrate):
        with pytest.raises(FormatError, match=r"format 99.*reads format 2; install the version that wrote"):
            refusing(root / "tiny")


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="holds no results"):
        migrate(tmp_path)


def test_a_broken_format_file_is_named(root: Path) -> None:
    (root / "tiny/format.json").write_text("{")
    with pytest.raises(FormatError, match=r"format\.json cannot be read"):
        check_format(root / "tiny")


def test_results_without_the_raw_image_are_kept(root: Path) -> None:
    shutil.rmtree(root / "tiny/volume.zarr/raw")
    done = migrate(root / "tiny", source=root / "acquisitions/tiny", trust_source=True)
    assert done is not None
    assert done.dropped == ("ingest", *NEW)
    assert unfinished(root) == ["ingest", *COMPUTED]


def spoil_table(folder: Path) -> None:
    path = folder / "tables/stages/shape-cells.parquet"
    path.write_bytes(path.read_bytes()[:-9])


def spoil_entry(folder: Path) -> None:
    path = folder / "volume.zarr/flows/cells/0/zarr.json"
    node = json.loads(path.read_text())
    node["attributes"]["spherovem"]["history"][-1] = {"stage": "unheard of"}
    path.write_text(json.dumps(node))


def spoil_journal(folder: Path) -> None:
    (folder / ".spherovem/migration.json").write_text("[]")


@pytest.mark.parametrize(
    ("spoil", "dropped"),
    [(spoil_table, {"shape cells"}), (spoil_entry, {"flows cells"}), (spoil_journal, set())],
)
def test_damage_costs_its_own_step_alone(
    root: Path, spoil: Callable[[Path], None], dropped: set[str]
) -> None:
    spoil(root / "tiny")
    done = migrate(root / "tiny", source=root / "acquisitions/tiny", trust_source=True)
    assert done is not None
    assert set(done.dropped) == dropped | set(NEW)
    assert set(unfinished(root)) == dropped | set(COMPUTED)


def test_a_migration_that_died_at_its_end_is_finished(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["spherovem_core.migration.migrate"], "mark_format", lambda layout: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            migrate(root / "tiny", source=root / "acquisitions/tiny", trust_source=True)
    assert migrate(root / "tiny") is not None
    assert unfinished(root) == list(COMPUTED)


def test_a_folder_that_a_run_holds_is_refused(root: Path) -> None:
    lock = root / "tiny/.spherovem/locks/acquisition.lock"
    holder = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(StoreNotWritableError, match="is being processed"):
            migrate(root / "tiny", source=root / "acquisitions/tiny", trust_source=True)
        process.communicate("\n")
    assert stored_format(root / "tiny") == 1
