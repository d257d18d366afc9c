"""Actions of a person become operations, are shown at once, survive a killed viewer, and are saved to the journal."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from editing_scenes import (
    CELLS,
    DEBRIS,
    ONE,
    SHAPE,
    THREE_LOWER,
    THREE_UPPER,
    TWO,
    cells,
    um,
    write_scene,
)

from deployments.editing import known_objects
from deployments.editing.edited_labels import EditedLabels, basic_region
from deployments.editing.opening import Scene, open_scene
from deployments.editing.session import EditingSession
from deployments.editing.suspects import Suspect, read_suspects
from deployments.editing.unsaved import ended_sessions, read_operations
from spherovem_core.corrections import Journal, MaskCodes, Replace
from spherovem_core.corrections.application import Replay
from spherovem_core.corrections.grid import LabelGrid
from spherovem_core.errors import CorrectionError, IncompleteArtifactError
from spherovem_core.store import Layout, open_array
from spherovem_core.store.layout import table_path

VOXEL_UM3 = 0.05 * 0.01 * 0.01
ELSEWHERE = (1, 150, 10)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return write_scene(tmp_path / "spheroid 7")


@pytest.fixture
def scene(layout: Layout) -> Iterator[Scene]:
    scene = open_scene(layout, "cells", author="Ada")
    yield scene
    scene.session.close()


@pytest.fixture
def session(scene: Scene) -> EditingSession:
    return scene.session


def shown(session: EditingSession, level: int = 0) -> np.ndarray:
    view = session.canvas.labels.views()[level]
    return view[...]


def test_a_merge_gives_one_number_and_anchors_deep_in_both(session: EditingSession) -> None:
    # Both clicks lie a pixel from the border between the two.
    text = session.merge([um((5, 43, 40)), um((5, 46, 40))])
    assert text.startswith("merged 2 objects at z 0.25")
    assert session.object_at(um(ONE)) == session.object_at(um(TWO)) == 70_001
    operation = session.operations[0]
    assert operation.operation == "merge"
    volumes = [anchor.volume_um3 for anchor in operation.objects]
    assert volumes == pytest.approx([np.count_nonzero(cells() == label) * VOXEL_UM3 for label in (1, 70_001)])
    rows = [anchor.point_um[1] for anchor in operation.objects]
    assert rows[0] < 0.38 < 0.52 < rows[1]
    # The number is that of the larger one.
    assert set(np.unique(shown(session))) == {0, 3, 4, 70_001}
    # Every level shows it.
    assert 1 not in shown(session, level=1)


def test_a_split_between_points_cuts_the_neck(session: EditingSession) -> None:
    session.split_between([um(THREE_UPPER), um(THREE_LOWER)])
    upper, lower = session.object_at(um(THREE_UPPER)), session.object_at(um(THREE_LOWER))
    assert {upper, lower} > {3}
    after = shown(session)
    np.testing.assert_array_equal(np.isin(after, [upper, lower]), cells() == 3)
    assert after[5, 108, 95] == upper
    assert after[5, 112, 95] == lower
    # The coarse level is that of the split, not of the labels on disk.
    coarse = shown(session, level=1)
    assert {upper, lower} < set(np.unique(coarse))


def test_a_split_along_a_line_takes_the_object_that_it_crosses_most(session: EditingSession) -> None:
    session.split_along(um((5, 110, 60)), um((5, 110, 130)))
    assert session.object_at(um(THREE_UPPER)) != session.object_at(um(THREE_LOWER))
    operation = session.operations[0]
    assert operation.line.start_um == pytest.approx(um((5, 110, 60)))
    assert len(operation.objects) == 1


@pytest.mark.parametrize("action", ["delete", "reject"])
def test_a_deleted_object_is_gone_from_every_level(session: EditingSession, action: str) -> None:
    session.mark(action, [um(DEBRIS)])
    assert session.operations[0].operation == action
    assert 4 not in shown(session)
    assert 4 not in shown(session, level=1)
    with pytest.raises(CorrectionError, match="the point lies in no object"):
        session.mark("accept", [um(DEBRIS)])


def test_marks_change_no_label_and_count_once(session: EditingSession) -> None:
    session.mark("accept", [um(DEBRIS)])
    session.mark("exclude", [um(DEBRIS)])
    np.testing.assert_array_equal(shown(session), cells())
    assert session.canvas.marks == {4: {"accepted", "excluded"}}
    with pytest.raises(CorrectionError, match="accepted already"):
        session.mark("accept", [um(DEBRIS)])


def test_painting_grows_the_target_erases_and_makes_new_objects(session: EditingSession) -> None:
    region = (slice(5, 6), slice(10, 60), slice(10, 140))
    codes = np.zeros((1, 50, 130), np.uint8)
    codes[0, 10, 85:130] = 2
    codes[0, 40, 20:40] = 1
    codes[0, 0:3, 0:4] = 3
    session.paint(region, codes, [um(DEBRIS), None])
    after = shown(session)
    assert (after[5, 20, 95:140] == 4).all()
    assert (after[5, 50, 30:50] == 0).all()
    (new,) = np.unique(after[5, 10:13, 10:14])
    assert new > 4
    grown = session.canvas.objects.find(4)
    assert grown is not None
    assert grown.voxels == np.count_nonzero(after == 4)
    left = session.canvas.objects.find(70_001)
    assert left is not None
    assert left.voxels == np.count_nonzero(after == 70_001)
    operation = session.operations[0]
    assert isinstance(operation, Replace)
    # The mask is cropped to what was painted.
    assert operation.mask.shape == (1, 41, 130)


def test_painting_keeps_other_objects_if_that_is_wanted(session: EditingSession) -> None:
    region = (slice(5, 6), slice(10, 60), slice(40, 41))
    session.paint(region, np.full((1, 50, 1), 2, np.uint8), [um(ONE)], keep_others=True)
    column = shown(session)[5, 10:60, 40]
    np.testing.assert_array_equal(column, np.where(np.arange(10, 60) < 45, 1, 70_001))
    with pytest.raises(CorrectionError, match="all of it lies on other objects"):
        session.paint(region, np.full((1, 50, 1), 2, np.uint8), [None], keep_others=True)


def test_actions_chain_on_what_is_shown(session: EditingSession) -> None:
    session.merge([um(ONE), um(TWO)])
    session.split_along(um((5, 45, 5)), um((5, 45, 75)))
    whole = np.count_nonzero(np.isin(cells(), [1, 70_001])) * VOXEL_UM3
    assert session.operations[1].objects[0].volume_um3 == pytest.approx(whole)
    assert session.object_at(um(ONE)) != session.object_at(um(TWO))
    session.mark("delete", [um(TWO)])
    assert session.object_at(um(TWO)) == 0
    assert session.object_at(um(ONE)) != 0


def test_undo_and_redo_go_through_every_state(session: EditingSession) -> None:
    states = [shown(session)]
    session.merge([um(ONE), um(TWO)])
    states.append(shown(session))
    session.split_between([um(THREE_UPPER), um(THREE_LOWER)])
    states.append(shown(session))
    session.mark("delete", [um(DEBRIS)])
    for state in reversed(states):
        assert session.undo().startswith("undone: ")
        np.testing.assert_array_equal(shown(session), state)
    with pytest.raises(CorrectionError, match="nothing to undo"):
        session.undo()
    for state in (*states[1:], None):
        session.redo()
        if state is not None:
            np.testing.assert_array_equal(shown(session), state)
    assert session.object_at(um(DEBRIS)) == 0
    with pytest.raises(CorrectionError, match="nothing to do again"):
        session.redo()
    session.undo()
    session.mark("accept", [um(DEBRIS)])
    with pytest.raises(CorrectionError, match="nothing to do again"):
        session.redo()


REFUSED = {
    "a merge of one object": (lambda s: s.merge([um(ONE), um((5, 32, 40))]), "all points lie in one object"),
    "a merge with background": (lambda s: s.merge([um(ONE), um(ELSEWHERE)]), "point 2 lies in no object"),
    "nothing selected": (lambda s: s.mark("delete", []), "choose an object first"),
    "one split point": (lambda s: s.split_between([um(ONE)]), "two points or more"),
    "points in two objects": (
        lambda s: s.split_between([um(ONE), um(TWO)]),
        "in different objects, 1, 70001",
    ),
    "points outside": (lambda s: s.split_between([um(ONE), (9.0, 9.0, 9.0)]), "point 2 lies in no object"),
    "a slanted line": (lambda s: s.split_along(um((4, 110, 60)), um((5, 110, 130))), "in one slice"),
    "a line beside": (lambda s: s.split_along(um((5, 150, 5)), um((5, 150, 30))), "crosses no object"),
    "a line outside": (lambda s: s.split_along((9.0, 9.0, 9.0), (9.0, 9.5, 9.0)), "outside the volume"),
    "a short line": (lambda s: s.split_along(um((5, 110, 94)), um((5, 110, 96))), ""),
    "no paint": (
        lambda s: s.paint((slice(0, 1),) * 3, np.zeros((1, 1, 1), np.uint8), [None]),
        "nothing is painted",
    ),
    "nothing to save": (lambda s: s.save(), "nothing to save"),
}


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "a short line"])
def test_what_does_not_fit_is_said_and_changes_nothing(session: EditingSession, name: str) -> None:
    action, message = REFUSED[name]
    with pytest.raises(CorrectionError, match=message):
        action(session)
    np.testing.assert_array_equal(shown(session), cells())
    assert session.operations == []
    assert not session.unsaved.path.exists()


def test_one_of_several_objects_that_does_not_fit_leaves_all(session: EditingSession) -> None:
    session.mark("exclude", [um(TWO)])
    with pytest.raises(CorrectionError, match="excluded already"):
        session.mark("exclude", [um(ONE), um(TWO)])
    assert session.canvas.marks == {70_001: {"excluded"}}
    assert len(session.operations) == 1


def test_saved_operations_are_in_the_journal_and_shown_next_time(
    session: EditingSession, layout: Layout
) -> None:
    session.merge([um(ONE), um(TWO)])
    session.mark("accept", [um(DEBRIS)])
    before = open_array(layout, CELLS)[...]
    entries = session.save("first look")
    assert [(each.operation.operation, each.author, each.reason) for each in entries] == [
        ("merge", "Ada", "first look"),
        ("accept", "Ada", "first look"),
    ]
    assert session.operations == []
    assert not session.unsaved.path.exists()
    np.testing.assert_array_equal(open_array(layout, CELLS)[...], before)
    session.split_between([um(THREE_UPPER), um(THREE_LOWER)])
    assert [each.number for each in session.save()] == [3]
    session.close()
    again = open_scene(layout, "cells")
    assert again.notes == ()
    assert again.session.object_at(um(ONE)) == again.session.object_at(um(TWO))
    assert again.session.object_at(um(THREE_UPPER)) != again.session.object_at(um(THREE_LOWER))
    assert again.session.canvas.marks == {4: {"accepted"}}
    again.session.close()


def test_a_saved_operation_that_does_not_fit_is_named(session: EditingSession, layout: Layout) -> None:
    session.mark("delete", [um(DEBRIS)])
    operation = session.operations[0]
    session.save()
    Journal(layout.journal("cells")).append([operation])
    again = open_scene(layout, "cells")
    assert len(again.notes) == 1
    assert "line 2 of the journal" in again.notes[0]
    assert "no object is at the point" in again.notes[0]
    again.session.close()


def test_an_edit_of_somebody_else_meanwhile_is_said_and_nothing_is_lost(
    session: EditingSession, layout: Layout
) -> None:
    session.merge([um(ONE), um(TWO)])
    other = open_scene(layout, "cells", author="Grace").session
    other.mark("delete", [um(DEBRIS)])
    other.save()
    other.close()
    with pytest.raises(CorrectionError, match=r"written by Grace.*labels apply") as error:
        session.save()
    assert str(session.unsaved.path) in str(error.value)
    assert read_operations(session.unsaved.path) == session.operations
    session.close()
    again = open_scene(layout, "cells", author="Ada")
    (left,) = ended_sessions(layout, "cells")
    assert again.session.take_over(left) == "1 unsaved operations are back; save them, or undo them"
    assert not left.exists()
    again.session.save()
    assert [each.operation.operation for each in again.session.journal.entries()] == ["delete", "merge"]
    again.session.close()


def test_operations_that_no_longer_fit_stay_in_their_file(session: EditingSession, layout: Layout) -> None:
    session.mark("delete", [um(DEBRIS)])
    session.mark("accept", [um(ONE)])
    session.close()
    (left,) = ended_sessions(layout, "cells")
    again = open_scene(layout, "cells").session
    again.mark("delete", [um(DEBRIS)])
    text = again.take_over(left)
    assert "1 of 2 operations are back; the others do not fit (no object is at" in text
    assert [each.operation for each in read_operations(left)] == ["delete"]
    again.close()


KILLED = """
import os, sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from deployments.editing.opening import open_scene
from editing_scenes import ONE, TWO, um
from spherovem_core.store import Layout
session = open_scene(Layout(Path(sys.argv[1])), "cells", author="Ada").session
session.merge([um(ONE), um(TWO)])
os.kill(os.getpid(), 9)
"""


def test_a_killed_viewer_loses_nothing(layout: Layout) -> None:
    root = Path(__file__).parents[2]
    paths = [str(root), str(root / "tests/core"), str(root / "tests/deployments")]
    done = subprocess.run([sys.executable, "-c", KILLED, str(layout.folder), *paths], check=False)
    assert done.returncode == -9
    (left,) = ended_sessions(layout, "cells")
    assert "Ada" in left.name
    session = open_scene(layout, "cells").session
    # The file of a running session is not offered.
    session.mark("accept", [um(DEBRIS)])
    assert ended_sessions(layout, "cells") == [left]
    session.take_over(left)
    assert session.object_at(um(ONE)) == session.object_at(um(TWO))
    session.close()


def test_suspects_are_read_followed_and_dealt_with(session: EditingSession) -> None:
    assert [each.reason for each in session.suspects] == [
        "no boundary to a neighbour",
        "hourglass shape",
        "odd volume",
    ]
    for suspect in session.suspects:
        assert not session.is_dealt_with(suspect)
        session.follow(suspect)
        assert session.is_dealt_with(suspect)
    assert [each.operation for each in session.operations] == ["merge", "split", "delete"]
    assert session.object_at(um(ONE)) == session.object_at(um(TWO))
    assert session.object_at(um(THREE_UPPER)) != session.object_at(um(THREE_LOWER))
    with pytest.raises(CorrectionError, match="object 4 is not there any more"):
        session.place_of(4, um(DEBRIS))
    with pytest.raises(CorrectionError, match="suggests no operation"):
        session.follow(Suspect(9, 1, 0, "odd", "", um(ONE), "look"))


def test_without_a_table_objects_are_measured_where_they_are_clicked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The box must grow.
    monkeypatch.setattr(known_objects, "FIRST_MARGIN", 3)
    layout = write_scene(tmp_path / "a", with_table=False, with_suspects=False)
    session = open_scene(layout, "cells").session
    assert session.suspects == []
    session.merge([um(ONE), um(TWO)])
    volumes = [anchor.volume_um3 for anchor in session.operations[0].objects]
    assert volumes == pytest.approx([np.count_nonzero(cells() == label) * VOXEL_UM3 for label in (1, 70_001)])
    merged = session.canvas.objects.find(70_001)
    assert merged is not None
    assert merged.voxels == np.count_nonzero(np.isin(cells(), [1, 70_001]))
    session.follow(Suspect(1, 4, 0, "odd", "", um((5, 20, 112)), "delete"))
    assert session.object_at(um(DEBRIS)) == 0
    session.close()


def test_a_table_of_other_labels_is_not_believed(layout: Layout) -> None:
    labels = open_array(layout, CELLS)
    assert known_objects.tabled_objects(layout, "cells", labels)[4].voxels == np.count_nonzero(cells() == 4)
    assert known_objects.tabled_objects(layout, "cells", open_array(layout, "registered")) == {}


def test_a_mask_on_a_coarser_grid_is_placed_by_position(session: EditingSession) -> None:
    mask = MaskCodes.pack(np.full((1, 2, 2), 2, np.uint8), um((1.5, 150.5, 20.5)), (100.0, 20.0, 20.0))
    session.canvas.apply(Replace(mask=mask, targets=(None,)))
    after = shown(session)
    changed = np.argwhere(after != cells())
    assert changed.min(axis=0).tolist() == [1, 150, 20]
    assert changed.max(axis=0).tolist() == [2, 153, 23]


def test_only_what_is_looked_at_is_read() -> None:
    class Counted:
        shape = (1000, 1000, 1000)
        read = 0

        def __getitem__(self, region: tuple[slice, ...]) -> np.ndarray:
            size = [side.stop - side.start for side in region]
            Counted.read += int(np.prod(size))
            return np.ones(size, np.uint32)

    labels = EditedLabels([Counted()], [(1, 1, 1)])
    labels.renumber(1, 7)
    labels.paint((slice(500, 502), slice(0, 2), slice(0, 2)), np.ones((2, 2, 2), np.uint8), [9])
    view = labels.views()[0]
    assert view[500, 0:3, 0:3].tolist() == [[9, 9, 7], [9, 9, 7], [7, 7, 7]]
    assert Counted.read == 9


@pytest.mark.parametrize(
    "key",
    [
        (slice(None), 3, slice(2, 8)),
        (2, slice(None, None, 2), ...),
        (..., -1),
        5,
        (slice(1, 9, 3), slice(7, 2, -2), slice(0, 0)),
        ...,
    ],
)
def test_views_are_indexed_like_arrays(key: object) -> None:
    values = np.arange(10 * 9 * 8).reshape(10, 9, 8)
    region, steps = basic_region(key, values.shape)
    np.testing.assert_array_equal(values[region][steps], values[key])


def test_damaged_input_is_one_clear_error(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(IncompleteArtifactError, match="no complete labels of cells"):
        open_scene(Layout(tmp_path / "nowhere"), "cells")
    path = tmp_path / "suspects.parquet"
    path.write_text("no table")
    with pytest.raises(CorrectionError, match="cannot be read as a table of suspects"):
        read_suspects(layout, "cells", path)
    with pytest.raises(CorrectionError, match=r"no column rank, reason.*labels review"):
        read_suspects(layout, "cells", layout.path(table_path("cells")))
    file = tmp_path / "edits.jsonl"
    file.write_text('{"operation": "merge"}\n')
    with pytest.raises(CorrectionError, match=r"edits.jsonl: line 1: not an operation"):
        read_operations(file)
    assert open_array(layout, CELLS).shape == SHAPE


def test_what_is_shown_is_what_the_application_of_the_journal_makes(session: EditingSession) -> None:
    session.mark("exclude", [um(THREE_UPPER), um(ONE)])
    session.mark("accept", [um(DEBRIS), um(TWO)])
    session.merge([um(ONE), um(TWO)])
    session.split_between([um(THREE_UPPER), um(THREE_LOWER)])
    session.split_along(um((5, 45, 5)), um((5, 45, 75)))
    session.mark("delete", [um(TWO)])
    codes = np.zeros((1, 30, 60), np.uint8)
    codes[0, 15, :50] = 2
    codes[0, 0:3, 0:4] = 3
    session.paint((slice(5, 6), slice(5, 35), slice(80, 140)), codes, [um(DEBRIS), None])
    edited, marks = shown(session), session.canvas.marks
    replay = Replay(cells(), LabelGrid(SHAPE, (50.0, 10.0, 10.0)))
    for entry in session.save():
        assert replay.apply(entry).reason == ""
    applied = replay.canvas.read(tuple(slice(0, side) for side in SHAPE))
    pairs = np.unique(np.stack([edited.ravel(), applied.ravel()]), axis=1)
    # The numbers of new objects may differ, the objects may not.
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
    assert (pairs[0] == 0).tolist() == (pairs[1] == 0).tolist()
    number = dict(pairs.T.tolist())
    found = {
        name: {number[label] for label, own in marks.items() if name in own}
        for name in ("excluded", "accepted")
    }
    # Both parts of the split object, and the rest of the merged one, stay excluded; what was accepted was changed.
    assert found["excluded"] == replay.applied.excluded_labels
    assert len(found["excluded"]) == 3
    assert found["accepted"] == replay.applied.accepted_labels == set()


def test_accepted_objects_are_no_suspects(session: EditingSession, layout: Layout) -> None:
    session.mark("accept", [um(ONE)])
    session.save()
    again = open_scene(layout, "cells").session
    # The merge of 1 with its neighbour was the first suspect.
    assert [suspect.rank for suspect in again.suspects] == [2, 3]
    again.close()
