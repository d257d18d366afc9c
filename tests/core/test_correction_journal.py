"""The journal of corrections: operations that are refused, lines that were damaged, and several writers."""

import errno
import json
import multiprocessing
import threading
from pathlib import Path

import numpy as np
import pytest

from spherovem_core.corrections import (
    Accept,
    Anchor,
    CutLine,
    Delete,
    Journal,
    MaskCodes,
    Merge,
    Split,
    Undo,
    parse_operation,
)
from spherovem_core.errors import CorrectionError, StoreNotWritableError
from spherovem_core.store.layout import Layout


def delete(z: float = 0.1) -> Delete:
    return Delete(object=Anchor(point_um=(z, 2.0, 3.0), volume_um3=4.5))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(Layout(tmp_path / "spheroid").journal("cells"))


def test_absent_journal_is_empty(journal: Journal) -> None:
    assert journal.entries() == ()
    assert journal.digest == ""
    assert not journal.path.exists()


def test_the_operations_of_an_earlier_moment_are_found_again(journal: Journal) -> None:
    (first,) = journal.append([delete()])
    digest, label_digest = journal.digest, journal.label_digest
    assert digest == label_digest != ""
    journal.append([Accept(object=Anchor(point_um=(1.0, 2.0, 3.0)))])
    assert journal.label_digest == label_digest
    assert [entry.number for entry in journal.as_of(digest)] == [1]
    assert [entry.number for entry in journal.as_of(label_digest=label_digest)] == [1, 2]
    journal.append([Undo(of=first.id)])
    assert journal.label_digest == ""
    assert [entry.number for entry in journal.as_of(digest)] == [1]
    assert journal.as_of("") == ()
    with pytest.raises(CorrectionError, match="run again"):
        journal.as_of("another")


def test_a_split_that_cuts_in_another_way_has_another_digest(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels that hold cuts of an earlier version lack the present ones; those without a split are as before."""
    ends = (Anchor(point_um=(1.0, 2.0, 3.0)), Anchor(point_um=(1.0, 2.0, 9.0)))
    journal.append([delete()])
    before = journal.label_digest
    journal.append([Split(objects=ends)])
    now = journal.label_digest
    monkeypatch.setattr(Split, "meaning", 1)
    assert journal.label_digest != now
    journal.append([Undo(of=journal.entries()[-1].id)])
    monkeypatch.undo()
    assert journal.label_digest == before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_leaves_the_journal_as_it_was(
    number: int, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append([delete()])
    before = journal.path.read_bytes()

    def refuse(path: Path, text: str) -> None:
        raise OSError(number, "refused", str(path))

    monkeypatch.setattr("spherovem_core.corrections.journal.write_text", refuse)
    with pytest.raises(StoreNotWritableError, match=r"refused\); the journal is as it was"):
        journal.append([delete()])
    assert journal.path.read_bytes() == before


def test_operations_come_back_as_written(journal: Journal) -> None:
    codes = np.random.default_rng(1).integers(0, 3, (3, 5, 7))
    mask = MaskCodes.pack(codes, (0.05, 0.2, 0.3), (50.0, 10.0, 8.0))
    operations = [
        Merge(objects=(Anchor(point_um=(0.1, 0.2, 0.3)), Anchor(point_um=(0.1, 0.9, 0.3)))),
        Split(
            objects=(Anchor(point_um=(0.1, 0.2, 0.3)),),
            line=CutLine(start_um=(0.1, 0.0, 0.0), end_um=(0.1, 1.0, 0.5)),
        ),
        parse_operation({"operation": "replace", "mask": mask.model_dump(), "targets": [None]}),
        delete(),
    ]
    journal.append(operations, author="Ada", reason="seen in napari")
    again = Journal(journal.path).entries()
    assert [entry.operation for entry in again] == operations
    assert {(entry.author, entry.reason) for entry in again} == {("Ada", "seen in napari")}
    assert [entry.number for entry in again] == [1, 2, 3, 4]
    np.testing.assert_array_equal(again[2].operation.mask.unpack(), codes)


def test_undone_operations_do_not_count_and_undone_to_empty_has_no_digest(journal: Journal) -> None:
    first, second = journal.append([delete(0.1), delete(0.2)])
    both = journal.digest
    journal.append([Undo(of=second.id)])
    assert [entry.id for entry in journal.effective()] == [first.id]
    assert journal.digest not in ("", both)
    journal.append([Undo(of=first.id)])
    assert journal.effective() == ()
    assert journal.digest == ""
    assert len(journal.entries()) == 4


def test_undo_of_nothing_is_refused_and_nothing_is_written(journal: Journal) -> None:
    (entry,) = journal.append([delete()])
    journal.append([Undo(of=entry.id)])
    before = journal.path.read_bytes()
    for of in (entry.id, "absent"):
        with pytest.raises(CorrectionError, match="no operation that counts"):
            journal.append([delete(0.5), Undo(of=of)])
    assert journal.path.read_bytes() == before


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.99])
def test_line_cut_off_in_the_middle_is_refused_and_repaired(journal: Journal, kept: float) -> None:
    journal.append([delete(0.1), delete(0.2)])
    whole = journal.path.read_bytes()
    first = whole.index(b"\n") + 1
    journal.path.write_bytes(whole[: first + int(kept * (len(whole) - first))])
    for use in (journal.entries, lambda: journal.append([delete(0.3)])):
        with pytest.raises(CorrectionError, match=r"line 2 is cut off.*--repair"):
            use()
    assert journal.repair()
    assert [entry.operation for entry in journal.entries()] == [delete(0.1)]
    assert journal.repair() == ""


def test_a_whole_line_without_its_end_counts(journal: Journal) -> None:
    journal.append([delete(0.1), delete(0.2)])
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-1])
    assert len(journal.entries()) == 2
    assert journal.repair() == ""
    journal.append([delete(0.3)])
    assert journal.path.read_bytes().startswith(whole)
    assert len(journal.entries()) == 3


def test_lines_of_two_writers_of_one_state_are_refused(journal: Journal, tmp_path: Path) -> None:
    journal.append([delete(0.1)])
    copy = Journal(tmp_path / "copy.jsonl")
    copy.path.write_bytes(journal.path.read_bytes())
    journal.append([delete(0.2)], author="Ada")
    copy.append([delete(0.3)], author="Ben")
    joined = journal.path.read_text() + copy.path.read_text().splitlines(keepends=True)[1]
    journal.path.write_text(joined)
    with pytest.raises(CorrectionError, match=r"line 3 by Ben does not follow.*two people"):
        journal.entries()


def test_removed_or_changed_line_is_refused(journal: Journal) -> None:
    journal.append([delete(0.1), delete(0.2), delete(0.3)])
    lines = journal.path.read_text().splitlines(keepends=True)
    journal.path.write_text(lines[0] + lines[2])
    with pytest.raises(CorrectionError, match=r"line 2 .*does not follow"):
        journal.entries()
    journal.path.write_text(lines[0].replace("0.1", "0.9") + lines[1])
    with pytest.raises(CorrectionError, match=r"line 2 .*does not follow"):
        journal.entries()


def test_append_after_another_persons_is_refused(journal: Journal) -> None:
    head = journal.head
    journal.append([delete(0.1)], author="Ada")
    with pytest.raises(CorrectionError, match="was written by Ada"):
        journal.append([delete(0.2)], after=head)
    journal.append([delete(0.2)], after=journal.head)
    assert len(journal.entries()) == 2


def _append_ten(path: Path) -> None:
    for n in range(10):
        Journal(path).append([delete(n)])


def test_threads_and_processes_lose_no_line(journal: Journal) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append_ten, args=(journal.path,)) for _ in range(2)]
    workers += [threading.Thread(target=_append_ten, args=(journal.path,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(journal.entries()) == 40


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"operation": "fuse"}, "fuse"),
        ({"operation": "merge", "objects": [{"point_um": [0, 0, 0]}]}, "objects"),
        ({"operation": "delete", "object": {"point_um": [0, float("nan"), 0]}}, "finite"),
        ({"operation": "delete", "object": {"point_um": [0, 0, 0]}, "label": 3}, "label"),
        ({"operation": "split", "objects": [{"point_um": [0, 0, 0]}]}, "two seed points"),
        ([], "operation"),
    ],
)
def test_what_is_no_operation_is_refused_with_its_field(values: object, message: str) -> None:
    with pytest.raises(CorrectionError, match=message):
        parse_operation(values)


def test_lines_that_are_no_operations_are_named(journal: Journal) -> None:
    journal.append([delete()])
    good = journal.path.read_text()
    for bad in ("[]", "{", json.dumps({"operation": "delete"})):
        journal.path.write_text(good + bad + "\n")
        with pytest.raises(CorrectionError, match="line 2"):
            journal.entries()


def test_masks_of_other_sizes_and_damaged_ones_are_refused() -> None:
    mask = MaskCodes.pack(np.ones((2, 3, 4), bool), (0, 0, 0), (50, 10, 10))
    assert mask.unpack().sum() == 24
    for change in (
        {"shape": (2, 3, 5)},
        {"shape": (2, 3, 3)},
        {"content": "AAAA"},
        {"spacing_nm": (0, 1, 1)},
    ):
        with pytest.raises(ValueError, match=r"mask|damaged"):
            MaskCodes.model_validate({**mask.model_dump(), **change})


def test_accept_and_exclude_change_no_label() -> None:
    assert not Accept(object=Anchor(point_um=(0, 0, 0))).changes_labels
    assert delete().changes_labels
