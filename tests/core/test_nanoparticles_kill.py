"""A killed segmentation of nanoparticles continues and writes the same bytes as one that is not killed."""

import multiprocessing
import random
from dataclasses import dataclass
from pathlib import Path

import killable_nanoparticles
import pytest
from killed_processes import kill, written_bytes
from nanoparticle_scenes import COARSE_NM, Kind, make_scene, store_image

from spherovem_core.store import Layout, open_array
from spherovem_core.store.layout import NANOPARTICLES


@dataclass(frozen=True)
class Results:
    """Results folder of a segmentation, complete or not."""

    folder: Path

    def slices(self) -> int:
        """Count the slices of candidates on disk."""
        return self._files(
            killable_nanoparticles.scratch(Layout(self.folder)), killable_nanoparticles.CANDIDATES
        )

    def blocks(self) -> int:
        """Count the blocks of final labels on disk."""
        return self._files(Layout(self.folder), NANOPARTICLES)

    def _files(self, layout: Layout, group: str) -> int:
        return sum(p.is_file() for p in (layout.volume / group / "0").glob("c/*/*/*"))

    def contents(self) -> dict[str, bytes]:
        files = (p for p in self.folder.rglob("*") if p.is_file())
        return {str(p.relative_to(self.folder)): written_bytes(p) for p in files}


def compare_with_uninterrupted(source: Path, killed: Results, uninterrupted: Results) -> None:
    """Complete the killed run, and compare it with an uninterrupted one."""
    for results in (killed, uninterrupted):
        killable_nanoparticles.segment(source, results.folder, multiprocessing.Event())
    assert open_array(Layout(uninterrupted.folder), NANOPARTICLES)[:].max() > 10
    assert killed.contents() == uninterrupted.contents()


def test_run_killed_during_candidates_and_during_labels_writes_the_same_bytes(tmp_path: Path) -> None:
    source, killed = tmp_path / "source", Results(tmp_path / "killed")
    store_image(source, make_scene((16, 128, 128), (Kind(20, 280.0),), COARSE_NM).image)
    kill(killable_nanoparticles.segment, source, killed.folder, reached=lambda: killed.slices() >= 5)
    assert 5 <= killed.slices() < 16
    kill(killable_nanoparticles.segment, source, killed.folder, reached=lambda: killed.blocks() >= 3)
    assert 3 <= killed.blocks() < 8
    compare_with_uninterrupted(source, killed, Results(tmp_path / "uninterrupted"))


@pytest.mark.slow
def test_run_killed_twenty_times_writes_the_same_bytes(tmp_path: Path) -> None:
    """Kill at random moments: about twelve times during candidates and eight during blocks of labels."""
    source, killed, randomness = tmp_path / "source", Results(tmp_path / "killed"), random.Random(0)
    store_image(source, make_scene((60, 128, 192), (Kind(80, 280.0),), COARSE_NM).image)
    for count, targets in ((killed.slices, range(3, 58, 5)), (killed.blocks, range(2, 42, 5))):
        written = []
        for target in targets:
            enough = target + randomness.randint(0, 3)
            kill(
                killable_nanoparticles.segment,
                source,
                killed.folder,
                reached=lambda c=count, n=enough: c() >= n,
                seconds=randomness.uniform(0.0, 0.01),
            )
            written.append(count())
        assert written == sorted(written)
        assert 0 < written[0] < written[-1]
    compare_with_uninterrupted(source, killed, Results(tmp_path / "uninterrupted"))
