"""A segmentation of nanoparticles that is killed again and again ends with the same bytes as one that is left alone."""

import multiprocessing
import random
from dataclasses import dataclass
from pathlib import Path

import nanoparticle_victim
import pytest
from killed_processes import kill
from nanoparticle_scenes import make_scene, store_image

from spherovem_core.store import Layout, open_array
from spherovem_core.store.layout import NANOPARTICLES


@dataclass(frozen=True)
class Results:
    """Results of a segmentation that may be under way."""

    folder: Path

    def slabs(self) -> int:
        """Slices of the slabs' labels on disk."""
        return self._files(nanoparticle_victim.scratch(Layout(self.folder)), nanoparticle_victim.PROVISIONAL)

    def blocks(self) -> int:
        """Blocks of final labels on disk."""
        return self._files(Layout(self.folder), NANOPARTICLES)

    def _files(self, layout: Layout, group: str) -> int:
        return sum(p.is_file() for p in (layout.volume / group / "0").glob("c/*/*/*"))

    def contents(self) -> dict[str, bytes]:
        files = (p for p in self.folder.rglob("*") if p.is_file())
        return {str(p.relative_to(self.folder)): p.read_bytes() for p in files}


def compare_with_one_left_alone(source: Path, killed: Results, alone: Results) -> None:
    """Let the killed run end, and another from its beginning to its end."""
    for results in (killed, alone):
        nanoparticle_victim.segment(source, results.folder, multiprocessing.Event())
    assert open_array(Layout(alone.folder), NANOPARTICLES)[:].max() > 10
    assert killed.contents() == alone.contents()


def test_killed_among_the_slabs_and_among_the_labels(tmp_path: Path) -> None:
    source, killed = tmp_path / "source", Results(tmp_path / "killed")
    store_image(source, make_scene((16, 128, 128), fraction=0.05).image)
    kill(nanoparticle_victim.segment, source, killed.folder, reached=lambda: killed.slabs() >= 5)
    assert 5 <= killed.slabs() < 16
    kill(nanoparticle_victim.segment, source, killed.folder, reached=lambda: killed.blocks() >= 3)
    assert 3 <= killed.blocks() < 8
    compare_with_one_left_alone(source, killed, Results(tmp_path / "left_alone"))


@pytest.mark.slow
def test_killed_twenty_times(tmp_path: Path) -> None:
    """At random moments: twelve among the slabs, eight among the blocks of labels."""
    source, killed, chance = tmp_path / "source", Results(tmp_path / "killed"), random.Random(0)
    store_image(source, make_scene((60, 128, 192), fraction=0.05).image)
    for count, targets in ((killed.slabs, range(3, 58, 5)), (killed.blocks, range(2, 42, 5))):
        written = []
        for target in targets:
            enough = target + chance.randint(0, 3)
            kill(
                nanoparticle_victim.segment,
                source,
                killed.folder,
                reached=lambda c=count, n=enough: c() >= n,
                seconds=chance.uniform(0.0, 0.01),
            )
            written.append(count())
        assert written == sorted(written)
        assert 0 < written[0] < written[-1]
    compare_with_one_left_alone(source, killed, Results(tmp_path / "left_alone"))
