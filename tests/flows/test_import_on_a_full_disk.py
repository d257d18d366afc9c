"""``labels import`` on a disk that fills up: one clear message, nothing half-applied, and the next run goes on."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deployments.command_line.main import main
from flows import forecast
from flows.corrected_run import run_after_corrections
from spherovem_core.corrections import Journal
from spherovem_core.execution import ExecutionSettings
from spherovem_core.references import Acquisition
from spherovem_core.store import Layout, open_array

pytestmark = pytest.mark.usefixtures("prefect_server")

LABELS = "registered/labels/cells"
PAGE = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own; the test is skipped where mounting is not allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"mount is not allowed here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def layout(finished: Acquisition, disk: Path) -> Layout:
    """A finished acquisition on the small disk."""
    shutil.copytree(finished.folder, disk / finished.name, ignore=shutil.ignore_patterns("records"))
    return Layout(disk / finished.name)


@pytest.fixture
def edited(layout: Layout, tmp_path: Path) -> Path:
    """Labels with one cell deleted and two merged, in a file on another disk."""
    labels = open_array(layout, LABELS)[:]
    first, second, third = np.unique(labels)[1:4]
    labels[labels == first] = 0
    labels[labels == third] = second
    np.save(tmp_path / "cells.npy", labels)
    return tmp_path / "cells.npy"


def fill(disk: Path, left: int) -> Path:
    """Fill the disk but for some bytes."""
    filler = disk / "filler"
    free = shutil.disk_usage(disk).free
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(PAGE, (free - left) // PAGE * PAGE))
    return filler


def run(layout: Layout, *arguments: str) -> int:
    where = ["--results-root", str(layout.folder.parent), "--device", "cpu", "--workers", "1"]
    return main([*arguments, *where])


def is_full(found: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> None:
    """Expect one line that says what to do."""
    capsys.readouterr()
    assert found() == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "free or add disk space" in error
    assert "Traceback" not in error


def table(layout: Layout) -> pd.DataFrame:
    return pd.read_parquet(layout.tables / "cells.parquet")


def test_nothing_is_half_applied(
    layout: Layout,
    disk: Path,
    edited: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels, rows = open_array(layout, LABELS)[:], table(layout)
    journal = Journal(layout.journal("cells"))
    importing = ("labels", "import", layout.folder.name, str(edited), "--kind", "cells", "--yes")
    # Without room for a line of the journal.
    filler = fill(disk, 0)
    is_full(lambda: run(layout, *importing), capsys)
    assert not journal.entries()
    np.testing.assert_array_equal(open_array(layout, LABELS)[:], labels)
    pd.testing.assert_frame_equal(table(layout), rows)
    filler.unlink()
    # With room for the journal, but not for what follows; the forecast, which would refuse the run, knows nothing of it.
    monkeypatch.setattr(forecast, "check_disk", lambda folder, needed: None)
    filler = fill(disk, 8 * PAGE)
    is_full(lambda: run(layout, *importing), capsys)
    assert len(journal.entries()) == 2
    pd.testing.assert_frame_equal(table(layout), rows)
    filler.unlink()
    # The rest follows as soon as there is room.
    run_after_corrections(layout, "cells", ExecutionSettings(device="cpu", workers=1), without_prefect=True)
    np.testing.assert_array_equal(open_array(layout, LABELS)[:] > 0, np.load(edited) > 0)
    assert len(table(layout)) == len(rows) - 2
