"""Tables, documents and the report that know that they were changed."""

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from results_scenes import digest, write_results

from spherovem_core.errors import ChangedArtifactError, IncompleteArtifactError
from spherovem_core.registry import PIPELINE
from spherovem_core.steps.nanoparticles import MIXTURE
from spherovem_core.steps.output import PROVENANCE, REPORT
from spherovem_core.store import Layout, find_table, read_table, table_digest, write_table
from spherovem_core.store.file_records import FileRecord, read_record, record_path, save_record
from spherovem_core.store.table_content import table_content
from spherovem_core.workflow.artifacts import check_unchanged, find_artifact, write_document, write_file

CELLS = "tables/cells.parquet"
OUTPUTS = [output for step in PIPELINE.steps for output in step.outputs]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return write_results(tmp_path / "results" / "spheroid")


def touch(path: Path) -> None:
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 60 * 10**9))


def save_with_pandas(layout: Layout, path: str = CELLS) -> None:
    frame = pd.read_parquet(layout.path(path))
    frame.to_parquet(layout.path(path))
    touch(layout.path(path))


def test_a_finished_folder_is_unchanged(layout: Layout) -> None:
    check_unchanged(layout, OUTPUTS)


def test_a_table_saved_by_pandas_is_refused_with_both_ways_on(layout: Layout) -> None:
    save_with_pandas(layout)
    with pytest.raises(
        ChangedArtifactError,
        match=r"cells.parquet was changed.*it (has|holds).*verify spheroid --results-root .* --adopt tables/cells.parquet",
    ):
        read_table(layout, CELLS)
    for attempt in (
        lambda: find_table(layout, CELLS, "any digest"),
        lambda: table_digest(layout, CELLS),
        lambda: write_table(layout, CELLS, pd.DataFrame({"label": [1]}), "new"),
        lambda: check_unchanged(layout, OUTPUTS),
    ):
        with pytest.raises(ChangedArtifactError, match="Nothing was computed or replaced"):
            attempt()


def test_a_table_saved_by_pandas_in_older_results_is_refused_as_well(layout: Layout) -> None:
    shutil.rmtree(layout.checksums)
    assert find_table(layout, CELLS, digest("output")) is not None
    save_with_pandas(layout)
    with pytest.raises(
        ChangedArtifactError, match="written by another program: it holds no digest of a step"
    ):
        find_table(layout, CELLS, digest("output"))


@pytest.mark.parametrize("output", [MIXTURE, PROVENANCE, REPORT], ids=lambda output: output.path)
def test_an_edited_document_is_refused(layout: Layout, output: object) -> None:
    place = layout.path(output.path)  # type: ignore[attr-defined]
    place.write_text(place.read_text().replace("1", "2") + " ")
    with pytest.raises(ChangedArtifactError, match=place.name):
        find_artifact(layout, output, digest("output"))  # type: ignore[arg-type]
    with pytest.raises(ChangedArtifactError, match=place.name):
        write_file(layout, output.path, "new")  # type: ignore[attr-defined]


def test_a_touched_or_copied_file_is_the_same_and_read_once(layout: Layout, tmp_path: Path) -> None:
    copy = Layout(tmp_path / "copy")
    shutil.copytree(layout.folder, copy.folder, copy_function=shutil.copyfile)
    touch(copy.path(CELLS))
    before = read_record(copy, CELLS)
    assert find_table(copy, CELLS, digest("output")) is not None
    after = read_record(copy, CELLS)
    assert before is not None
    assert after is not None
    assert after.state.checksum == before.state.checksum
    assert after.state.mtime_ns == copy.path(CELLS).stat().st_mtime_ns
    check_unchanged(copy, OUTPUTS)


def test_a_deleted_file_is_computed_again_as_ever(layout: Layout) -> None:
    layout.path(CELLS).unlink()
    assert find_table(layout, CELLS, digest("output")) is None
    with pytest.raises(IncompleteArtifactError, match="is not there"):
        read_table(layout, CELLS)
    write_table(layout, CELLS, pd.DataFrame({"label": [1]}), "new")
    assert find_table(layout, CELLS, "new") is not None


def test_a_kill_between_record_and_file_leaves_the_old_file_known(layout: Layout) -> None:
    record = read_record(layout, CELLS)
    assert record is not None
    shutil.copy2(layout.path(CELLS), layout.folder / "old")
    write_table(layout, CELLS, pd.DataFrame({"label": [1]}), "new")
    new = read_record(layout, CELLS)
    assert new is not None
    # As after a kill: the record speaks of the new file, with the old one beside it, and the old file is still there.
    shutil.copy2(layout.folder / "old", layout.path(CELLS))
    save_record(layout, CELLS, FileRecord(new.state, record.state, new.kept))
    assert find_table(layout, CELLS, digest("output")) is not None
    write_table(layout, CELLS, pd.DataFrame({"label": [1]}), "new")
    assert find_table(layout, CELLS, "new") is not None
    assert read_record(layout, CELLS) is not None


def test_a_damaged_record_leaves_a_file_without_record(layout: Layout) -> None:
    record_path(layout, CELLS).write_text("{")
    assert find_table(layout, CELLS, digest("output")) is not None


def test_the_content_of_a_table_is_that_of_its_values(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    frame = pd.DataFrame(
        {"label": [1, 2], "a_um": [0.5, float("nan")], "note": ["x", ""], "flag": [True, False]}
    )

    def content(values: pd.DataFrame, seconds: float) -> str:
        write_table(layout, "tables/t.parquet", values, "d", [{"step": "s", "seconds": seconds}])
        return table_content(pq.read_table(layout.path("tables/t.parquet")))

    first = content(frame, 1.0)
    assert content(frame, 2.0) == first
    others = [
        frame.assign(a_um=[0.5, 0.0]),
        frame.assign(note=["x", "y"]),
        frame.assign(flag=[True, True]),
        frame.rename(columns={"flag": "sign"}),
        frame.iloc[::-1],
        frame.astype({"label": "uint32"}),
        frame.iloc[:1],
    ]
    assert len({first, *(content(each, 1.0) for each in others)}) == 1 + len(others)


def test_a_document_keeps_its_digest(layout: Layout) -> None:
    write_document(layout, MIXTURE.path, {"limit": 1.5, "history": []}, "new")
    assert json.loads(layout.mixture.read_text()) == {"fingerprint": "new", "limit": 1.5, "history": []}
    assert find_artifact(layout, MIXTURE, "new") is not None
