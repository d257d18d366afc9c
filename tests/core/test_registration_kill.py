"""A registration that is killed again and again ends with the same bytes as one that is left alone."""

import json
import multiprocessing
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import registration_victim
from killed_processes import kill
from registration_scenes import make_stack, store_slices

from spherovem_core.store import Layout
from spherovem_core.store.layout import REGISTERED


@dataclass(frozen=True)
class Results:
    """Results of a registration that may be under way."""

    folder: Path

    def pairs(self) -> int:
        """Lines of the ledger: finished pairs, some of them twice."""
        ledger = self.folder / registration_victim.PAIRS
        return ledger.read_bytes().count(b"\n") - 1 if ledger.is_file() else 0

    def slices(self) -> int:
        """Warped slices on disk."""
        return len(list((Layout(self.folder).volume / REGISTERED / "0").glob("c/*/0/0")))

    def records(self) -> dict[str, list[str]]:
        """Every text that the ledger has for each pair."""
        found: dict[str, list[str]] = {}
        for line in (self.folder / registration_victim.PAIRS).read_text().splitlines()[1:]:
            [(pair, record)] = json.loads(line).items()
            found.setdefault(pair, []).append(json.dumps(record))
        return found

    def contents(self) -> dict[str, bytes]:
        """All files but the ledger, in which a pair may stand twice."""
        files = (p for p in self.folder.rglob("*") if p.is_file() and p.name != registration_victim.PAIRS)
        return {str(p.relative_to(self.folder)): p.read_bytes() for p in files}


def write_source(folder: Path, count: int) -> Path:
    """Jittered slices as the denoising leaves them; one was filled from its neighbours, one is lost."""
    slices = make_stack(count=count, shape=(120, 136)).slices
    slices[3], slices[count // 2] = slices[2], 0
    store_slices(folder, slices)
    return folder


def compare_with_one_left_alone(source: Path, killed: Results, alone: Results) -> None:
    """Let the killed run end, and another from its beginning to its end."""
    for results in (killed, alone):
        registration_victim.register(source, results.folder, multiprocessing.Event())
    assert killed.contents() == alone.contents()
    found, expected = killed.records(), alone.records()
    assert all(len(set(texts)) == 1 for texts in found.values())
    assert {pair: texts[0] for pair, texts in found.items()} == {p: text for p, [text] in expected.items()}


def test_killed_among_the_pairs_and_among_the_slices(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", 10)
    killed = Results(tmp_path / "killed")
    kill(registration_victim.register, source, killed.folder, reached=lambda: killed.pairs() >= 4)
    assert 4 <= killed.pairs() < 21
    kill(registration_victim.register, source, killed.folder, reached=lambda: killed.slices() >= 2)
    assert 2 <= killed.slices() < 10
    compare_with_one_left_alone(source, killed, Results(tmp_path / "left_alone"))


@pytest.mark.slow
def test_killed_twenty_one_times(tmp_path: Path) -> None:
    """At random moments: thirteen among the pairs, seven among the slices, one among what follows."""
    source = write_source(tmp_path / "source", 60)
    killed, chance = Results(tmp_path / "killed"), random.Random(0)
    for count, targets in ((killed.pairs, range(12, 169, 13)), (killed.slices, range(2, 60, 9))):
        written = []
        for target in targets:
            enough = target + chance.randint(0, 3)
            kill(
                registration_victim.register,
                source,
                killed.folder,
                reached=lambda c=count, n=enough: c() >= n,
                seconds=chance.uniform(0.0, 0.01),
            )
            written.append(count())
        assert written == sorted(written)
    kill(
        registration_victim.register,
        source,
        killed.folder,
        reached=lambda: killed.slices() == 60,
        seconds=0.006,
    )
    compare_with_one_left_alone(source, killed, Results(tmp_path / "left_alone"))
