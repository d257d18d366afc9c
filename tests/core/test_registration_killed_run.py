"""Registration that is killed again and again gives the same bytes as an undisturbed run."""

import json
import multiprocessing
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import killable_registration
import numpy as np
import pytest
from elastic_scenes import bend_stack
from killed_processes import kill, written_bytes
from registration_scenes import make_stack, store_slices

from spherovem_core.registration.elastic_fields import ElasticFields
from spherovem_core.store import Layout, open_array
from spherovem_core.store.layout import REGISTERED


@dataclass(frozen=True)
class Results:
    """Results of a registration that can be unfinished."""

    folder: Path

    def pairs(self) -> int:
        """Count the lines of the ledger: finished pairs, some of them twice."""
        ledger = self.folder / killable_registration.PAIRS
        return ledger.read_bytes().count(b"\n") - 1 if ledger.is_file() else 0

    def slices(self) -> int:
        """Count the warped slices on disk."""
        return len(list((Layout(self.folder).volume / REGISTERED / "0").glob("c/*/0/0")))

    def records(self) -> dict[str, list[str]]:
        """Read all records of each pair from the ledger."""
        found: dict[str, list[str]] = {}
        for line in (self.folder / killable_registration.PAIRS).read_text().splitlines()[1:]:
            [(pair, record)] = json.loads(line).items()
            found.setdefault(pair, []).append(json.dumps(record))
        return found

    def contents(self) -> dict[str, bytes]:
        """Read all files but the ledger, which can hold a pair twice, and hidden files, which a killed write can leave."""
        files = (p for p in self.folder.rglob("*") if p.is_file())
        return {
            str(p.relative_to(self.folder)): written_bytes(p)
            for p in files
            if p.name != killable_registration.PAIRS and not p.name.startswith(".")
        }


def write_source(folder: Path, count: int) -> Path:
    """Store jittered slices, one of them a copy of its neighbour and one of them blank."""
    slices = make_stack(count=count, shape=(120, 136)).slices
    slices[3], slices[count // 2] = slices[2], 0
    store_slices(folder, slices)
    return folder


def compare_with_undisturbed(
    source: Path,
    killed: Results,
    alone: Results,
    register: Callable[..., None] = killable_registration.register,
) -> None:
    """Complete the killed run and an undisturbed one, and compare their results."""
    for results in (killed, alone):
        register(source, results.folder, multiprocessing.Event())
    assert killed.contents() == alone.contents()
    found, expected = killed.records(), alone.records()
    assert all(len(set(texts)) == 1 for texts in found.values())
    assert {pair: texts[0] for pair, texts in found.items()} == {p: text for p, [text] in expected.items()}


def test_kills_during_pairs_and_slices_change_no_byte(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", 10)
    killed = Results(tmp_path / "killed")
    kill(killable_registration.register, source, killed.folder, reached=lambda: killed.pairs() >= 4)
    assert 4 <= killed.pairs() < 21
    kill(killable_registration.register, source, killed.folder, reached=lambda: killed.slices() >= 2)
    assert 2 <= killed.slices() < 10
    compare_with_undisturbed(source, killed, Results(tmp_path / "undisturbed"))


def test_kills_during_elastic_refinement_change_no_byte(tmp_path: Path) -> None:
    """Kill in the first and in the second pass over the pairs, and during the slices."""
    source = tmp_path / "source"
    store_slices(source, bend_stack(10, (120, 136), 5.0).slices)
    killed, register = Results(tmp_path / "killed"), killable_registration.register_elastically
    # 21 pairs of good slices at distances 1 to 3; then 8 pairs of neighbours in each pass.
    for reached in (23, 31):
        kill(register, source, killed.folder, reached=lambda n=reached: killed.pairs() >= n)
        assert reached <= killed.pairs() < 45
    kill(register, source, killed.folder, reached=lambda: killed.slices() >= 2)
    assert 2 <= killed.slices() < 10
    compare_with_undisturbed(source, killed, Results(tmp_path / "undisturbed"), register)
    fields = ElasticFields.load(Layout(killed.folder).elastic_fields)
    assert np.flatnonzero(fields.rms_px() == 0.0).tolist() == [3]


def test_kills_while_slices_are_resampled_along_z_change_no_byte(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", 10)
    killed, register = Results(tmp_path / "killed"), killable_registration.register_at_even_steps
    for reached in (2, 5):
        kill(register, source, killed.folder, reached=lambda n=reached: killed.slices() >= n)
        assert reached <= killed.slices() < 10
    compare_with_undisturbed(source, killed, Results(tmp_path / "undisturbed"), register)
    details = open_array(Layout(killed.folder), REGISTERED).details
    assert details["slice_mixtures"][3] == [[2, 0.5], [4, 0.5]]


@pytest.mark.slow
def test_21_kills_change_no_byte(tmp_path: Path) -> None:
    """Kill at random moments: 13 times during the pairs, 7 during the slices, once after them."""
    source = write_source(tmp_path / "source", 60)
    killed, chance = Results(tmp_path / "killed"), random.Random(0)
    for count, targets in ((killed.pairs, range(12, 169, 13)), (killed.slices, range(2, 60, 9))):
        written = []
        for target in targets:
            enough = target + chance.randint(0, 3)
            kill(
                killable_registration.register,
                source,
                killed.folder,
                reached=lambda c=count, n=enough: c() >= n,
                seconds=chance.uniform(0.0, 0.01),
            )
            written.append(count())
        assert written == sorted(written)
    kill(
        killable_registration.register,
        source,
        killed.folder,
        reached=lambda: killed.slices() == 60,
        seconds=0.006,
    )
    compare_with_undisturbed(source, killed, Results(tmp_path / "undisturbed"))
