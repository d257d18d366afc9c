"""Runs that are killed, or start together, or lose their disk end as one that was left alone, or in one clear error."""

import multiprocessing
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import killable_pipeline
import numpy as np
import pandas as pd
import pytest
from killable_pipeline import notes
from killed_processes import kill
from prefect.settings import PREFECT_API_URL
from tiny_acquisition import ARRAYS, DISCARDED, STEPS
from tiny_pipeline import PHANTOM

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.execution import StorageMode
from spherovem_core.references import Acquisition
from spherovem_core.store import Layout, open_array, read_table
from spherovem_core.store.layout import table_path
from spherovem_core.synthetic.phantom import make_phantom, write_acquisition

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.slow, pytest.mark.timeout(3600)]

TABLES = ("cells", "nuclei", "nanoparticles", "slices")


def arrays_of(layout: Layout) -> dict[str, np.ndarray]:
    """Open every array that can be opened, with all its levels."""
    found = {}
    for group in ARRAYS:
        try:
            levels = len(open_array(layout, group).details["level_factors"])
            for level in range(levels):
                found[f"{group}/{level}"] = open_array(layout, group, level)[:]
        except IncompleteArtifactError:
            continue
    return found


def chunks_of(layout: Layout) -> dict[str, bytes]:
    """Read every file of an array's data; metadata hold seconds and memory, which differ."""
    files = (path for path in layout.volume.glob("**/c/**/*") if path.is_file())
    return {str(path.relative_to(layout.volume)): path.read_bytes() for path in files}


@dataclass
class Reader:
    """Reader that opens all artifacts during the runs, and records those that should not be complete."""

    layout: Layout
    truth: dict[str, np.ndarray]
    wrong: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)

    @contextmanager
    def reading(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._read_until, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _read_until(self, stop: threading.Event) -> None:
        while not stop.wait(2):
            self.look()

    def look(self) -> None:
        for name, values in arrays_of(self.layout).items():
            self.seen.add(name)
            if not np.array_equal(values, self.truth[name], equal_nan=values.dtype.kind == "f"):
                self.wrong.add(name)


def compare(killed: Layout, alone: Layout) -> None:
    """Compare arrays byte by byte and tables value by value; the other run kept what lean storage discards."""
    ours, theirs = chunks_of(killed), chunks_of(alone)
    assert any(name.startswith(DISCARDED) for name in theirs)
    theirs = {name: content for name, content in theirs.items() if not name.startswith(DISCARDED)}
    assert set(ours) == set(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []
    for name in TABLES:
        pd.testing.assert_frame_equal(
            read_table(killed, table_path(name)), read_table(alone, table_path(name)), check_exact=True
        )
    assert killed.report.exists()


def has_reached(journal: Path, title: str, share: float) -> bool:
    """Return whether a step has reached this fraction; one without progress has done so when it has begun."""
    silent = title == "output"
    return any(
        name == title
        and ((what == "begin" and silent) or (what == "progress" and done >= share) or what == "end")
        for what, name, done in notes(journal)
    )


def computed_twice(journal: Path) -> list[str]:
    """Return the steps that began again after they had ended."""
    ended: set[str] = set()
    twice = []
    for what, title, _ in notes(journal):
        if what == "end":
            ended.add(title)
        elif what == "begin" and title in ended:
            twice.append(title)
    return twice


def start(acquisition: Acquisition, journal: Path, storage: StorageMode = "lean") -> Any:
    """Run the pipeline in a process of its own, which has begun when this returns."""
    processes = multiprocessing.get_context("forkserver")
    begun = processes.Event()
    arguments = (acquisition, PREFECT_API_URL.value(), journal, begun, storage)
    process = processes.Process(target=killable_pipeline.process, args=arguments)
    process.start()
    assert begun.wait(300)
    return process


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, prefect_server: None) -> Acquisition:
    """A run that nobody disturbed, and that kept all arrays."""
    root = tmp_path_factory.mktemp("alone")
    write_acquisition(make_phantom(PHANTOM), root / "source")
    acquisition = Acquisition(name="tiny", source=root / "source", results_root=root / "results")
    process = start(acquisition, root / "journal", "full")
    process.join()
    assert process.exitcode == 0
    assert {title for what, title, _ in notes(root / "journal") if what == "end"} == set(STEPS)
    return acquisition


def test_kills_in_every_step_lose_nothing(alone: Acquisition, tmp_path: Path) -> None:
    """Twelve kills, one at a random moment of each step, and the run begins again after each."""
    ours = alone.model_copy(update={"results_root": tmp_path / "killed"})
    journal, chance = tmp_path / "journal", random.Random(8)
    truth = Layout(alone.folder)
    reader = Reader(Layout(ours.folder), arrays_of(truth))
    struck = Counter[str]()
    with reader.reading():
        for title in STEPS:
            kill(
                killable_pipeline.process,
                ours,
                PREFECT_API_URL.value(),
                journal,
                reached=partial(has_reached, journal, title, chance.uniform(0.0, 0.9)),
                seconds=chance.uniform(0.0, 0.2),
            )
            reader.look()
            struck[notes(journal)[-1][1]] += 1
        process = start(ours, journal)
        process.join()
    assert process.exitcode == 0
    print(f"killed in {dict(struck)}; {len(notes(journal))} entries in the journal")
    assert sum(struck.values()) == len(STEPS)
    assert len(struck) >= 10
    assert computed_twice(journal) == []
    ends = Counter(title for what, title, _ in notes(journal) if what == "end")
    assert set(ends) <= set(STEPS)
    assert set(ends.values()) == {1}
    reader.look()
    assert reader.wrong == set()
    kept = {name for name in reader.truth if not name.startswith(DISCARDED)}
    assert kept <= reader.seen <= set(reader.truth)
    assert not {name for name in arrays_of(Layout(ours.folder)) if name.startswith(DISCARDED)}
    compare(Layout(ours.folder), truth)


def test_two_runs_that_start_together_compute_each_step_once(alone: Acquisition, tmp_path: Path) -> None:
    ours = alone.model_copy(update={"results_root": tmp_path / "results"})
    journal = tmp_path / "journal"
    both = [start(ours, journal) for _ in range(2)]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert Counter(title for what, title, _ in notes(journal) if what == "begin") == Counter(STEPS)
    compare(Layout(ours.folder), Layout(alone.folder))
