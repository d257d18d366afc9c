"""Corrections in the step that makes labels: kept, undone, applied again to another segmentation, and killed."""

import contextlib
import hashlib
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from killable_corrections import (
    LABELS,
    SPACING_NM,
    apply_and_run,
    automatic_labels,
    import_and_run,
    plan,
    run,
    undo_and_run,
)
from killed_processes import kill

from spherovem_core.corrections import (
    Accept,
    Add,
    Anchor,
    Delete,
    Draft,
    Exclude,
    Journal,
    LabelGrid,
    MaskCodes,
    Merge,
    Operation,
    Split,
    append_edits,
    correct_labels,
    correction_state,
    parse_edits,
    read_edits,
    undo_operations,
)
from spherovem_core.corrections.label_import import plan_import
from spherovem_core.errors import CorrectionError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.store import Layout, open_array
from spherovem_core.store.layout import automatic_group


def grid_of(labels: np.ndarray) -> LabelGrid:
    return LabelGrid(labels.shape, SPACING_NM)


def point_in(labels: np.ndarray, label: int, which: float = 0.5) -> Anchor:
    places = np.argwhere(labels == label)
    return Anchor(point_um=grid_of(labels).point_of(places[int(which * (len(places) - 1))]))


def operations(labels: np.ndarray) -> list[Operation]:
    """Edit twelve objects in different places."""
    free = np.argwhere(labels == 0)[-1]
    mask = MaskCodes.pack(np.ones((1, 1, 2)), grid_of(labels).point_of(free - (0, 0, 1)), SPACING_NM)
    return [
        Delete(object=point_in(labels, 2)),
        Merge(objects=(point_in(labels, 1), point_in(labels, 3))),
        Split(objects=(point_in(labels, 40, 0.0), point_in(labels, 40, 1.0))),
        Split(objects=(point_in(labels, 200, 0.0), point_in(labels, 200, 1.0))),
        Delete(object=point_in(labels, 300)),
        Add(mask=mask),
        Accept(object=point_in(labels, 50)),
        Exclude(object=point_in(labels, 60)),
    ]


def lines_of(edits: list[Operation]) -> list[str]:
    return [json.dumps(edit.model_dump(mode="json")) for edit in edits]


def files_of(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def values(root: Path, group: str = LABELS.group, level: int = 0) -> np.ndarray:
    return open_array(Layout(root / "one"), group, level)[:]


def correct(root: Path, edits: list[Operation]) -> None:
    append_edits(Layout(root / "one"), "cells", parse_edits(lines_of(edits)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Results of the step without corrections."""
    run(tmp_path)
    return tmp_path


def test_labels_hold_the_corrections_and_the_automatic_ones_stay(root: Path) -> None:
    layout = Layout(root / "one")
    before = files_of(layout.volume / LABELS.group)
    automatic = values(root)
    correct(root, operations(automatic))
    run(root)
    expected, _ = correct_labels(automatic, SPACING_NM, Journal(layout.journal("cells")).effective())
    np.testing.assert_array_equal(values(root), expected)
    kept = automatic_group(LABELS.group)
    assert files_of(layout.volume / kept) == before
    stored = open_array(layout, LABELS.group)
    assert stored.details["count"] == len(np.unique(expected)) - 1
    assert stored.details["automatic"] == open_array(layout, kept).digest
    names = json.loads((layout.volume / "registered/labels/zarr.json").read_text())
    assert names["attributes"]["ome"]["labels"] == ["cells"]
    assert (layout.folder / "computed.txt").read_text() == "computed\n"


def test_edits_that_wait_in_the_journal_are_named_where_they_do_not_fit_twice(root: Path) -> None:
    edits = [Delete(object=point_in(values(root), 2))]
    correct(root, edits)
    with pytest.raises(CorrectionError, match=r"no object is at the point .* the labels do not hold yet"):
        correct(root, edits)
    run(root)
    with pytest.raises(CorrectionError, match="no object is at the point") as raised:
        correct(root, edits)
    assert "do not hold yet" not in str(raised.value)


def test_pyramid_equals_that_of_labels_written_whole(root: Path) -> None:
    from spherovem_core.execution import Execution
    from spherovem_core.store import ArrayWriter, finish_multiscale
    from spherovem_core.workflow.run import array_spec

    correct(root, operations(values(root)))
    run(root)
    stored = open_array(Layout(root / "one"), LABELS.group)
    spec = array_spec("plain", "label", stored.shape, "uint32", SPACING_NM)
    writer = ArrayWriter(Layout(root / "plain"), spec, "plain")
    writer.array[:] = stored[:]
    finish_multiscale(writer, Execution(), [])
    levels = range(1, len(stored.details["level_factors"]))
    assert levels
    for level in levels:
        plain = open_array(Layout(root / "plain"), "plain", level)[:]
        np.testing.assert_array_equal(values(root, level=level), plain)


def test_undone_to_the_last_the_labels_are_byte_for_byte_as_never_corrected(root: Path) -> None:
    layout = Layout(root / "one")
    before = files_of(layout.volume)
    correct(root, operations(values(root)))
    run(root)
    assert files_of(layout.volume) != before
    undo_operations(layout, "cells", 8)
    run(root)
    assert files_of(layout.volume) == before
    assert (layout.folder / "computed.txt").read_text() == "computed\n"


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_labels_do_not_depend_on_the_executor(tmp_path: Path, executor: str) -> None:
    from spherovem_core.execution import open_executor
    from spherovem_core.workflow.compute import compute_step

    run(tmp_path)
    correct(tmp_path, operations(values(tmp_path)))
    expected, _ = correct_labels(
        values(tmp_path), SPACING_NM, Journal(Layout(tmp_path / "one").journal("cells")).effective()
    )
    settings = ExecutionSettings(device="cpu", executor=executor, workers=2)
    with open_executor(settings) as pool:
        compute_step(plan(tmp_path), settings, pool)
    np.testing.assert_array_equal(values(tmp_path), expected)


def test_splits_are_computed_once_and_dropped_when_they_are_undone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spherovem_core.corrections import split_cache

    layout, labels = Layout(root / "one"), values(root)
    correct(root, operations(labels))
    assert len(list(layout.splits("cells").iterdir())) == 2
    expected, _ = correct_labels(labels, SPACING_NM, Journal(layout.journal("cells")).effective())
    monkeypatch.setattr(split_cache, "parts_of_seeds", None)
    run(root)
    np.testing.assert_array_equal(values(root), expected)
    undo_operations(layout, "cells", 5)
    run(root)
    assert len(list(layout.splits("cells").iterdir())) == 1


def test_marks_alone_leave_the_labels_as_they_are(root: Path) -> None:
    layout = Layout(root / "one")
    before = files_of(layout.volume)
    labels = values(root)
    correct(root, [Accept(object=point_in(labels, 5)), Exclude(object=point_in(labels, 6))])
    run(root)
    assert files_of(layout.volume) == before
    state = correction_state(layout, "cells")
    assert state.applied is not None
    assert (state.applied.accepted_labels, state.applied.excluded_labels) == ({5}, {6})


def test_marks_before_and_after_a_change_are_both_known(root: Path) -> None:
    layout = Layout(root / "one")
    labels = values(root)
    correct(root, [Exclude(object=point_in(labels, 6)), Delete(object=point_in(labels, 7))])
    run(root)
    correct(root, [Exclude(object=point_in(labels, 8))])
    run(root)
    state = correction_state(layout, "cells")
    assert state.applied is not None
    assert state.applied.excluded_labels == {6, 8}
    assert [outcome.reason for outcome in state.applied.outcomes] == ["", "", ""]
    undo_operations(layout, "cells", [state.entries[0].id])
    state = correction_state(layout, "cells")
    assert state.applied is not None
    assert state.applied.excluded_labels == {8}


def test_after_another_segmentation_the_journal_is_applied_again_and_says_what_is_lost(root: Path) -> None:
    layout = Layout(root / "one")
    labels, again = values(root), automatic_labels(7)
    chosen = [label for label in range(1, 60) if (labels == label).any()]
    edits: list[Operation] = [Delete(object=point_in(labels, label)) for label in chosen]
    correct(root, edits)
    run(root)
    run(root, seed=7)
    expected, applied = correct_labels(again, SPACING_NM, Journal(layout.journal("cells")).effective())
    np.testing.assert_array_equal(values(root), expected)
    state = correction_state(layout, "cells")
    assert state.applied == applied
    lost = {outcome.number: outcome.reason for outcome in applied.not_applied}
    assert 0 < len(lost) < len(edits)
    for number, why in lost.items():
        then, index = (
            labels == chosen[number - 1],
            grid_of(labels).index_of(edits[number - 1].object.point_um),
        )
        now = again[index]
        if not now:
            assert why == "no object is at the point"
        else:
            ratio = (again == now).sum() / then.sum()
            assert not 1 / 1.5 <= ratio <= 1.5
            assert why.startswith(f"object {now} at the point has")


def test_edits_are_checked_before_anything_is_written(root: Path) -> None:
    layout, labels = Layout(root / "one"), values(root)
    nowhere = Anchor(point_um=grid_of(labels).point_of(np.argwhere(labels == 0)[0]))
    good = Delete(object=point_in(labels, 2))
    with pytest.raises(
        CorrectionError, match=r"nothing was written: line 2, delete: no object is at the point \(z, y, x"
    ):
        correct(root, [good, Delete(object=nowhere)])
    twice = [Merge(objects=(point_in(labels, 1), point_in(labels, 3))), Delete(object=point_in(labels, 3))]
    with pytest.raises(
        CorrectionError, match="line 2, delete: two edits of one place: line 1 changes object 3"
    ):
        correct(root, twice)
    with pytest.raises(
        CorrectionError, match="line 2, delete: two edits of one place: line 1 changes object 2"
    ):
        correct(root, [good, good])
    assert not layout.journal("cells").exists()
    drafts = parse_edits(lines_of([good, Delete(object=nowhere)]))
    entries, checked = append_edits(layout, "cells", drafts, keep_what_fits=True)
    assert len(entries) == 1
    assert len(checked.problems) == 1
    volume = float((labels == 2).sum()) * grid_of(labels).voxel_um3
    assert entries[0].operation.object.volume_um3 == pytest.approx(volume)


def test_nothing_is_added_to_a_journal_that_lost_lines(root: Path) -> None:
    labels = automatic_labels()
    edits = [Draft(Delete(object=point_in(labels, label))) for label in (2, 40)]
    layout = Layout(root / "one")
    append_edits(layout, "cells", edits[:1])
    run(root)
    layout.journal("cells").unlink()
    for write in (
        lambda: append_edits(layout, "cells", edits[1:]),
        lambda: undo_operations(layout, "cells", 1),
        lambda: plan_import(layout, "cells", "none.tif"),
    ):
        with pytest.raises(
            CorrectionError, match=r"holds 1 corrections .* line 1, delete: .* Nothing was written"
        ):
            write()
    assert not layout.journal("cells").exists()


def test_edits_of_windows_are_read(tmp_path: Path) -> None:
    file = tmp_path / "edits.jsonl"
    line = json.dumps(
        {"operation": "delete", "object": {"point_um": [1, 2, 3]}, "reason": "a\u2028b"}, ensure_ascii=False
    )
    file.write_bytes(f"\ufeff{line}\r\n\r\n{line}".encode())
    assert [draft.line for draft in read_edits(file)] == [1, 3]


def test_lines_that_the_journal_has_are_skipped(root: Path) -> None:
    from spherovem_core.corrections import journal_lines

    layout = Layout(root / "one")
    correct(root, operations(values(root)))
    run(root)
    before = layout.journal("cells").read_bytes()
    lines = journal_lines(Journal(layout.journal("cells")).effective())
    entries, checked = append_edits(layout, "cells", parse_edits(lines))
    assert entries == ()
    assert len(checked.known) == 8
    assert layout.journal("cells").read_bytes() == before


def test_a_journal_applies_to_a_copy_of_the_same_labels(root: Path, tmp_path: Path) -> None:
    from spherovem_core.corrections import journal_lines

    labels = values(root)
    other = tmp_path / "other"
    other.mkdir()
    run(other)
    correct(root, [*operations(labels), Delete(object=point_in(labels, 90))])
    run(root)
    lines = journal_lines(Journal(Layout(root / "one").journal("cells")).effective())
    append_edits(Layout(other / "one"), "cells", parse_edits(lines))
    run(other)
    np.testing.assert_array_equal(values(other), values(root))


@pytest.mark.parametrize("line", ['{"operation": "delete"', '[1, 2]', '{"operation": "delete", "object": {"point_um": [1, 2]}}',
    '{"operation": "undo", "of": "x"}', '{"operation": "accept", "object": {"point_um": [1, 2, 3]}, "author": 5}'])  # fmt: skip
def test_a_line_that_is_no_operation_is_named(line: str) -> None:
    good = '{"operation": "accept", "object": {"point_um": [1, 2, 3]}}'
    with pytest.raises(CorrectionError, match="edits: line 3: "):
        parse_edits([good, "", line])


def seconds_of(root: Path, function: object, *arguments: object) -> float:
    """Measure a whole run in a process of its own."""
    import multiprocessing

    start = time.monotonic()
    context = multiprocessing.get_context("forkserver")
    begun = context.Event()
    process = context.Process(target=function, args=(root, *arguments, begun))  # type: ignore[arg-type]
    process.start()
    begun.wait(180)
    start = time.monotonic()
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - start


@pytest.mark.slow
@pytest.mark.parametrize("what", ["apply", "undo", "import"])
def test_killed_at_any_moment_the_next_run_goes_on(tmp_path: Path, what: str) -> None:
    start = tmp_path / "start"
    start.mkdir()
    run(start)
    lines = lines_of(operations(values(start)))
    if what == "undo":
        append_edits(Layout(start / "one"), "cells", parse_edits(lines))
        run(start)
    before = values(start)
    whole = tmp_path / "whole"
    shutil.copytree(start, whole)
    edited = before.copy()
    edited[before == 2] = 0
    edited[before == 3] = 1
    edited[before == 7] = np.where(np.indices(before.shape)[2][before == 7] % 2, 7, 70_000)
    np.save(tmp_path / "edited.npy", edited)
    target, argument = {
        "apply": (apply_and_run, lines),
        "undo": (undo_and_run, 8),
        "import": (import_and_run, str(tmp_path / "edited.npy")),
    }[what]
    had = len(Journal(Layout(start / "one").journal("cells")).entries())
    seconds = seconds_of(whole, target, argument)
    after = values(whole)
    entries = len(Journal(Layout(whole / "one").journal("cells")).entries())
    assert (before != after).any()
    for moment in range(20):
        root = tmp_path / f"killed {moment}"
        shutil.copytree(start, root)
        layout = Layout(root / "one")
        # It may have ended before the last moments.
        with contextlib.suppress(AssertionError):
            kill(target, root, argument, reached=lambda: True, seconds=seconds * moment / 20)
        journal = Journal(layout.journal("cells"))
        found = len(journal.entries())
        assert found in (had, entries)
        if found < entries:
            np.testing.assert_array_equal(values(root), before)
            run(root)
            np.testing.assert_array_equal(values(root), before)
        else:
            run(root)
            np.testing.assert_array_equal(values(root), after)
        kept = layout.volume / automatic_group(LABELS.group)
        assert kept.exists() == bool(journal.label_digest)
        assert not layout.repainted("cells").exists()
        assert (layout.folder / "computed.txt").read_text() == "computed\n"
        shutil.rmtree(root)
