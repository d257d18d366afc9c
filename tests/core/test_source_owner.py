"""Results folders belong to one acquisition: another of the same name is refused, a moved or changed one is not."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from ingest_samples import textured, write_slices

from spherovem_core.errors import ParameterError
from spherovem_core.references import Acquisition
from spherovem_core.steps.source_owner import check_owner, claim_folder, read_source
from spherovem_core.store import Layout


@pytest.fixture
def first(tmp_path: Path) -> Acquisition:
    """An acquisition ``X/slices`` that has claimed its results folder."""
    acquisition = acquired(tmp_path, "X", seed=0)
    claim(acquisition)
    return acquisition


def acquired(place: Path, parent: str, seed: int) -> Acquisition:
    source = write_slices(place / parent / "slices", textured(seed=seed))
    results = place / "results"
    (results / "slices" / ".spherovem").mkdir(parents=True, exist_ok=True)
    return Acquisition(name="slices", source=source, results_root=results)


def claim(acquisition: Acquisition) -> None:
    claim_folder(acquisition, *read_source(acquisition))


def owner(acquisition: Acquisition) -> str:
    return str(json.loads(Layout(acquisition.folder).source_record.read_text())["source"])


def test_another_acquisition_of_the_same_name_is_refused(first: Acquisition, tmp_path: Path) -> None:
    second = acquired(tmp_path, "Y", seed=1)
    message = (
        r"holds the results of .*X/slices, and .*Y/slices has other files: .* choose another name \(--name\)"
    )
    for refused in (check_owner, claim):
        with pytest.raises(ParameterError, match=message):
            refused(second)
    assert owner(first) == str(first.source)
    claim(first)


def test_files_of_the_same_names_sizes_and_times_are_told_apart(first: Acquisition, tmp_path: Path) -> None:
    second = acquired(tmp_path, "Y", seed=1)
    for path in second.source.iterdir():
        state = (first.source / path.name).stat()
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(ParameterError, match="has other files"):
        check_owner(second)


def test_fewer_slices_of_another_acquisition_are_another(first: Acquisition, tmp_path: Path) -> None:
    second = acquired(tmp_path, "Y", seed=1)
    for path in sorted(second.source.iterdir())[2:]:
        path.unlink()
    with pytest.raises(ParameterError, match="has other files"):
        check_owner(second)


def test_a_moved_source_is_the_same_and_the_record_follows(first: Acquisition, tmp_path: Path) -> None:
    moved = tmp_path / "archive" / "slices"
    shutil.copytree(first.source, moved)
    shutil.rmtree(first.source)
    again = first.model_copy(update={"source": moved})
    claim(again)
    assert owner(again) == str(moved)


def test_a_moved_source_may_have_changed_a_little(first: Acquisition, tmp_path: Path) -> None:
    moved = tmp_path / "archive" / "slices"
    shutil.copytree(first.source, moved)
    (moved / "acquisition.json").write_text('{"spacing_nm": [50, 10, 10]}')
    write_slices(moved, textured((9, 40, 64), seed=0))
    claim(first.model_copy(update={"source": moved}))


def test_a_source_that_changed_in_its_place_is_the_same(first: Acquisition) -> None:
    write_slices(first.source, textured(seed=5))
    claim(first)


def test_results_of_earlier_versions_have_an_owner_too(first: Acquisition, tmp_path: Path) -> None:
    """Without the record, the provenance names the source, and the digests of files are known."""
    Layout(first.folder).source_record.unlink()
    second = acquired(tmp_path, "Y", seed=1)
    with pytest.raises(ParameterError, match="the results of another source"):
        check_owner(second)
    Layout(first.folder).provenance.write_text(json.dumps({"source": str(first.source)}))
    check_owner(first)
    with pytest.raises(ParameterError, match="X/slices"):
        check_owner(second)
    claim(first)
    assert owner(first) == str(first.source)


def test_of_two_that_begin_at_once_one_is_refused(tmp_path: Path) -> None:
    acquisitions = [acquired(tmp_path, parent, seed) for seed, parent in enumerate("WXYZ")]
    ready = Barrier(len(acquisitions))

    def begin(acquisition: Acquisition) -> bool:
        read = read_source(acquisition)
        ready.wait()
        try:
            claim_folder(acquisition, *read)
        except ParameterError:
            return False
        return True

    with ThreadPoolExecutor(len(acquisitions)) as threads:
        claimed = list(threads.map(begin, acquisitions))
    assert sum(claimed) == 1
    assert owner(acquisitions[0]) == str(acquisitions[claimed.index(True)].source)
