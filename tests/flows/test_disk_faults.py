"""A full disk, a read-only or a removed results folder: one clear error, nothing complete-looking, and the next run ends."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_acquisition import States, run
from tiny_pipeline import PHANTOM, TINY

from deployments.command_line.main import main
from flows import forecast
from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.ingest import open_stack
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.store import ArrayWriter, Layout, open_array
from spherovem_core.synthetic.phantom import make_phantom, write_acquisition

pytestmark = pytest.mark.usefixtures("prefect_server")


def mount(*arguments: str) -> None:
    """Call mount; the test is skipped where it is not allowed."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mount is not allowed here: {done.stderr.strip()}")


@contextmanager
def unmounting(place: Path) -> Iterator[None]:
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("landing") / "tiny"
    write_acquisition(make_phantom(PHANTOM), folder)
    return folder


@pytest.fixture
def own(source: Path, tmp_path: Path) -> Acquisition:
    root = tmp_path / "root"
    root.mkdir()
    return Acquisition(name="tiny", source=source, results_root=root)


def ingest(acquisition: Acquisition, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> tuple[int, str]:
    """Run the first stage by the command line; return its exit code and its standard error."""
    file = tmp_path / "tiny.yaml"
    file.write_text(json.dumps(TINY))
    arguments = ["process", acquisition.source, "--results-root", acquisition.results_root]
    arguments += ["--parameters", file, "--stop-after", "ingest"]
    code = main([str(argument) for argument in arguments])
    return code, capsys.readouterr().err


def holds_nothing_complete(acquisition: Acquisition) -> None:
    layout = Layout(acquisition.folder)
    with pytest.raises(IncompleteArtifactError):
        open_array(layout, "raw")
    assert list(layout.folder.rglob("*.parquet")) == []
    assert not layout.provenance.exists()


def ends_well(acquisition: Acquisition, parameters: PipelineParameters, task_states: States) -> None:
    assert run(acquisition, parameters, task_states, 1, stop_after="ingest") == {"ingest"}
    stack = open_stack(acquisition.source, parameters.ingest)
    acquired = np.stack([stack.read_slice(z) for z in range(stack.shape[0])])
    np.testing.assert_array_equal(open_array(Layout(acquisition.folder), "raw")[:], acquired)


def test_a_full_disk_ends_the_run_in_one_clear_error(
    own: Acquisition,
    parameters: PipelineParameters,
    task_states: States,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = own.results_root
    mount("-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place))
    with unmounting(place):
        code, error = ingest(own, capsys, tmp_path)
        assert code == 1
        assert "0.00 GB are free; free or add disk space" in error
        # It fills up during the run.
        monkeypatch.setattr(forecast, "check_disk", lambda folder, needed: None)
        code, error = ingest(own, capsys, tmp_path)
        assert code == 1
        assert "could no longer write" in error
        assert "No space left on device" in error
        assert error.count("\n") == 1
        holds_nothing_complete(own)
        mount("-o", "remount,size=100m", str(place))
        ends_well(own, parameters, task_states)


def test_a_read_only_folder_is_refused_in_one_clear_error(
    own: Acquisition,
    parameters: PipelineParameters,
    task_states: States,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = own.results_root
    mount("--bind", str(place), str(place))
    with unmounting(place):
        mount("-o", "remount,ro,bind", str(place))
        code, error = ingest(own, capsys, tmp_path)
        assert code == 1
        assert "cannot be written (Read-only file system); choose another results root" in error
        assert error.count("\n") == 1
        assert list(place.iterdir()) == []
    ends_well(own, parameters, task_states)


def test_a_folder_removed_during_the_run_ends_it_in_one_clear_error(
    own: Acquisition,
    parameters: PipelineParameters,
    task_states: States,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, written = ArrayWriter.write, []

    def removing(writer: ArrayWriter, block: Any, values: Any) -> None:
        write(writer, block, values)
        written.append(block.key)
        if len(written) == 5:
            shutil.rmtree(own.folder, ignore_errors=True)

    with monkeypatch.context() as patched:
        patched.setattr(ArrayWriter, "write", removing)
        code, error = ingest(own, capsys, tmp_path)
    assert code == 1
    assert "was removed or replaced while ingest ran" in error
    assert error.count("\n") == 1
    holds_nothing_complete(own)
    ends_well(own, parameters, task_states)
