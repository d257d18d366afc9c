"""Contacts between cells: area, gap and distance against closed forms, at unequal spacings."""

import numpy as np
import pandas as pd
import pytest
from edited_labels import random_edits
from numpy.typing import NDArray
from spatial_scenes import Labels, random_tissue

from spherovem_core.known_blocks import KnownResults
from spherovem_core.spacing import SpacingNm
from spherovem_core.spatial import contacts, contacts_of_cells, measure_contacts
from spherovem_core.spatial.contact_changes import WORK

SPACINGS = [(40.0, 40.0, 40.0), (50.0, 10.0, 10.0)]


def positions(shape: tuple[int, ...], spacing_nm: SpacingNm) -> NDArray[np.float64]:
    """Return positions in µm from a point near the middle that is no corner of the grid."""
    axes = [
        (np.arange(n) - n / 2 + shift) * side / 1000
        for n, side, shift in zip(shape, spacing_nm, (0.31, 0.12, 0.43), strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def ball_grid(radius_um: float, spacing_nm: SpacingNm) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    shape = tuple(int(2000 * radius_um / side) + 8 for side in spacing_nm)
    place = positions(shape, spacing_nm)
    return place, np.linalg.norm(place, axis=-1)


def directions(count: int) -> NDArray[np.float64]:
    """Return random directions, and three that are nearly those of the axes, where steps are far apart."""
    rng = np.random.default_rng(1)
    found = np.concatenate([np.eye(3) + 0.05 * rng.normal(size=(3, 3)), rng.normal(size=(count, 3))])
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_flat_contact_has_its_area_at_every_angle(spacing: SpacingNm) -> None:
    """A ball cut in two: the contact is a disc. Voxel faces alone are up to 70 % too much."""
    radius = 20 * max(spacing) / 1000 * (0.6 if spacing[0] > spacing[1] else 1)
    place, far = ball_grid(radius, spacing)
    errors = []
    for normal in directions(6):
        cells = np.where(place @ normal > 0.003, 3, 7).astype(np.uint32)
        cells[far > radius] = 0
        table = measure_contacts(cells, spacing, 0.0)
        assert table[["label", "other_label"]].to_numpy().tolist() == [[3, 7]]
        errors.append(table["contact_area_um2"][0] / (np.pi * (radius**2 - 0.003**2)) - 1)
        assert table["gap_um"][0] == 0
    assert np.abs(errors).max() < 0.03
    assert abs(np.mean(errors)) < 0.012


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("gap", [0.0, 0.1])
def test_a_curved_contact_without_an_edge_has_its_area(spacing: SpacingNm, gap: float) -> None:
    """A ball in a shell, with and without a gap between them; the contact is half-way."""
    radius = 20 * max(spacing) / 1000 * (0.6 if spacing[0] > spacing[1] else 1)
    _, far = ball_grid(radius, spacing)
    inner = 0.6 * radius
    cells = np.where(far < inner - gap / 2, 5, np.where(far > inner + gap / 2, 2, 0)).astype(np.uint32)
    cells[far > radius] = 0
    table = measure_contacts(cells, spacing, 2 * gap)
    assert table["contact_area_um2"][0] == pytest.approx(4 * np.pi * inner**2, rel=0.03)
    assert table["gap_um"][0] == pytest.approx(gap, abs=0.5 * max(spacing) / 1000)
    assert table["centroid_distance_um"][0] < 0.01


@pytest.mark.parametrize("spacing", SPACINGS)
def test_two_balls_that_flatten_each_other_touch_in_a_disc(spacing: SpacingNm) -> None:
    radius = 1.2 if spacing[0] == spacing[1] else 0.7
    place, _ = ball_grid(1.65 * radius, spacing)
    normal = np.array([0.48, 0.6, 0.64])
    apart = 1.2 * radius
    to_first, to_second = (np.linalg.norm(place - s * apart / 2 * normal, axis=-1) for s in (-1, 1))
    cells = np.where(to_first < to_second, 1, 2).astype(np.uint32)
    cells[np.minimum(to_first, to_second) > radius] = 0
    row = measure_contacts(cells, spacing, 0.0).iloc[0]
    assert row["contact_area_um2"] == pytest.approx(np.pi * (radius**2 - apart**2 / 4), rel=0.03)
    # Each ball lacks the cap beyond the contact, which shifts its centroid away from it.
    height = radius - apart / 2
    cap = np.pi * height**2 * (3 * radius - height) / 3
    beyond = 3 * (2 * radius - height) ** 2 / (4 * (3 * radius - height))
    shift = cap * beyond / (4 / 3 * np.pi * radius**3 - cap)
    assert row["centroid_distance_um"] == pytest.approx(apart + 2 * shift, rel=0.01)


def test_the_position_of_a_contact_is_on_it() -> None:
    cells = np.zeros((8, 30, 40), np.uint32)
    cells[2:6, 5:25, 10:20], cells[2:6, 5:25, 20:30] = 4, 9
    table = measure_contacts(cells, (50, 10, 10), 0.0, origin_nm=(0.0, 100.0, 0.0))
    row = table.iloc[0]
    assert [row[f"centroid_{axis}_um"] for axis in "zyx"] == pytest.approx([0.175, 0.245, 0.195])
    assert row["contact_area_um2"] == pytest.approx(4 * 0.05 * 20 * 0.01, rel=1e-6)
    assert not row["cut_by_border"]
    assert measure_contacts(cells[2:], (50, 10, 10), 0.0)["cut_by_border"].tolist() == [True]


@pytest.mark.parametrize(("empty", "touches"), [(1, True), (3, True), (4, False)])
def test_cells_touch_across_a_gap_up_to_the_given_one(empty: int, touches: bool) -> None:
    cells = np.zeros((12, 40, 60), np.uint32)
    cells[2:10, 5:35, 10:30], cells[2:10, 5:35, 30 + empty : 50 + empty] = 1, 2
    table = measure_contacts(cells, (40, 10, 10), 0.03)
    assert len(table) == touches
    if touches:
        assert table["gap_um"][0] == pytest.approx(0.01 * empty)
        # A ball as wide as the gap reaches in from the rim by half its diameter.
        assert table["contact_area_um2"][0] == pytest.approx(8 * 0.04 * 30 * 0.01, rel=0.15)


def test_labels_around_an_edge_do_not_meet_beyond_it() -> None:
    """The area of cells that touch does not depend on the widest gap."""
    cells = np.zeros((20, 70, 80), np.uint32)
    cells[6:14, 20:50, 20:40], cells[6:14, 20:50, 40:60] = 1, 2
    area = [measure_contacts(cells, (40, 10, 10), gap)["contact_area_um2"][0] for gap in (0.0, 0.1, 0.2)]
    assert area[1:] == pytest.approx([area[0]] * 2)


def test_a_third_cell_in_between_ends_a_contact() -> None:
    cells = np.zeros((6, 20, 30), np.uint32)
    cells[:, :, :10], cells[:, :, 10:20], cells[:, :, 20:] = 1, 2, 3
    pairs = measure_contacts(cells, (50, 10, 10), 0.2)[["label", "other_label"]].to_numpy().tolist()
    assert pairs == [[1, 2], [2, 3]]


@pytest.mark.parametrize("gap", [0.0, 0.05])
def test_blocks_leave_no_seam(gap: float, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, _ = random_tissue((14, 60, 70), 3, 12)
    whole = measure_contacts(cells, (50, 10, 10), gap)
    monkeypatch.setattr(contacts, "BLOCK_EDGE", 16)
    blocked = measure_contacts(cells, (50, 10, 10), gap)
    assert len(whole) > 10
    pd.testing.assert_frame_equal(blocked, whole, check_exact=False, rtol=1e-12)


def test_lengths_scale_with_the_spacing() -> None:
    cells, _ = random_tissue((10, 40, 40), 5)
    one, two = (measure_contacts(cells, (50 * k, 10 * k, 10 * k), 0.03 * k) for k in (1, 2))
    np.testing.assert_allclose(two["contact_area_um2"], 4 * one["contact_area_um2"], rtol=1e-9)
    np.testing.assert_allclose(two["gap_um"], 2 * one["gap_um"], atol=1e-9)
    assert two[["label", "other_label"]].equals(one[["label", "other_label"]])


def assert_same_bits(found: pd.DataFrame, full: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, full, check_exact=True)
    for name in full.select_dtypes("float"):
        assert found[name].to_numpy().tobytes() == full[name].to_numpy().tobytes()


def test_only_contacts_around_a_change_are_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts, "BLOCK_EDGE", 32)
    cells, _ = random_tissue((12, 100, 60), 2, 40)
    known = KnownResults()
    measure_contacts(cells, (50, 10, 10), 0.02, known=known)
    count = known.counts[WORK][0]
    edited: Labels = cells.copy()
    edited[4, 2:5, 3] = 99
    again = KnownResults(known.entries)
    assert_same_bits(
        measure_contacts(edited, (50, 10, 10), 0.02, known=again),
        measure_contacts(edited, (50, 10, 10), 0.02),
    )
    evaluated, taken_over = again.counts[WORK]
    # The cell that was painted over lies in two pieces, far apart; the box around both is looked at again.
    assert 0 < evaluated < count / 2 < taken_over


@pytest.mark.parametrize("seed", range(8))
def test_contacts_after_corrections_are_those_of_a_full_measurement(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(contacts, "BLOCK_EDGE", int(rng.choice([12, 24, 128])))
    spacing = ((50.0, 10.0, 10.0), (20.0, 20.0, 20.0), (8.0, 12.0, 5.0), (10.0, 25.0, 30.0))[seed % 4]
    cells, _ = random_tissue((int(rng.integers(9, 16)), 60, 50), seed, 24)
    gap, known = float(rng.choice([0.0, 0.02, 0.05])), KnownResults()
    for _ in range(6):
        again = KnownResults(known.entries)
        found = measure_contacts(cells, spacing, gap, known=again)
        assert_same_bits(found, measure_contacts(cells, spacing, gap))
        cells = random_edits(cells, rng, 2)
    assert len(found)


def test_a_pair_that_stays_may_meet_where_a_cell_between_was_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = np.zeros((8, 120, 40), np.uint32)
    cells[:, :40, :20], cells[:, :40, 20:] = 1, 2
    cells[:, 40:, :12], cells[:, 40:, 28:] = 1, 2
    # Far away from where they touch the two come near each other, with a thin cell in between.
    cells[:, 100:110, :18], cells[:, 100:110, 22:], cells[:, 100:110, 19:21] = 1, 2, 3
    known = KnownResults()
    measure_contacts(cells, (20, 20, 20), 0.1, known=known)
    whole, blocks = contacts.whole_block, []
    monkeypatch.setattr(contacts, "whole_block", lambda block: blocks.append(block) or whole(block))
    cells[cells == 3] = 0
    again = KnownResults(known.entries)
    found = measure_contacts(cells, (20, 20, 20), 0.1, known=again)
    assert blocks
    assert_same_bits(found, measure_contacts(cells, (20, 20, 20), 0.1))


def test_no_cells_have_no_contacts() -> None:
    table = measure_contacts(np.zeros((4, 5, 6), np.uint32), (50, 10, 10), 0.1)
    assert len(table) == 0
    assert table.dtypes.astype(str)["cut_by_border"] == "bool"
    assert table.dtypes.astype(str)["label"] == "uint32"


def test_contacts_are_counted_for_both_cells() -> None:
    pairs = pd.DataFrame({"label": [1, 1], "other_label": [2, 5], "contact_area_um2": [2.0, 3.0]})
    found = contacts_of_cells(np.array([1, 2, 4, 5], np.uint32), pairs)
    assert found["neighbour_count"].tolist() == [2, 1, 0, 1]
    assert found["contact_area_um2"].tolist() == [5.0, 2.0, 0.0, 3.0]
